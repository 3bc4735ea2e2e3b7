"""What each row of a trace cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from simulator.cost.prices import Prices
from simulator.cost.request import FloatArray, lambda_cost_usd, request_cost_usd, token_cost_usd
from simulator.errors import ParameterError
from simulator.trace import Trace

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@dataclass(frozen=True)
class Unpriced:
    """Why some rows have no cost."""

    reason: str
    rows: int


@dataclass(frozen=True)
class TraceCost:
    """The cost of a trace row by row: arrays of shape ``(rows,)`` in USD, NaN where it cannot be told."""

    lambda_usd: FloatArray
    request_usd: FloatArray
    token_usd: FloatArray
    unpriced: tuple[Unpriced, ...]
    """One entry a reason; a row can be counted under two."""

    @property
    def total_usd(self) -> FloatArray:
        """Lambda, request and tokens together; NaN where one of them is."""
        return self.lambda_usd + self.request_usd + self.token_usd

    def mean_usd(self) -> float | None:
        """Give the mean cost of the priced rows, None where no row is priced."""
        total = self.total_usd
        priced = total[np.isfinite(total)]
        return float(priced.mean()) if priced.size else None


def trace_cost(trace: Trace, *, prices: Prices, architecture: str = "x86_64", gateway: str = "http_api") -> TraceCost:
    """Price every row of ``trace``.

    The rules where a row does not say everything:

    - ``billed_ms`` missing: ``duration_ms`` (with ``init_ms`` where cold) rounded up to a whole millisecond, as Lambda
      does it; a cold row without ``init_ms`` stays unpriced.
    - A throttled row without a duration never ran: it pays the gateway, not Lambda. (A gateway's own throttle would be
      free, but a trace does not tell the two apart; the difference is a millionth of a dollar.)
    - Tokens are priced where ``trace.metadata.models`` names the variant's model. A trace that names no model and has
      no tokens called none. A row that did not end ``ok`` and has no tokens is taken to have used none.

    Raises
    ------
    ParameterError
        An unknown architecture or gateway. A model without a price does not raise: it is a reason in ``unpriced``.
    """
    reasons: list[Unpriced] = []
    frame = trace.frame
    ran = _ran(frame)
    billed_ms = np.where(ran, _billed_ms(frame), 0.0)
    _note(reasons, np.isnan(billed_ms), "billed_ms (or duration_ms, with init_ms where cold) is not recorded")
    memory_mb = np.where(ran, _floats(frame, "memory_mb"), 0.0)
    _note(reasons, np.isnan(memory_mb), "memory_mb is not recorded")
    provisioned = frame["provisioned"].fill_null(value=False).to_numpy()
    lambda_usd = lambda_cost_usd(
        billed_ms, memory_mb, prices=prices, provisioned=provisioned, architecture=architecture
    )
    per_request = request_cost_usd(prices=prices, gateway=gateway)
    invocation = prices.lambda_requests_per_million_usd / 1e6
    request_usd = np.where(ran, per_request, per_request - invocation)
    return TraceCost(lambda_usd, request_usd, _token_usd(trace, prices, reasons), tuple(reasons))


def trace_cost_usd(
    trace: Trace, *, prices: Prices, architecture: str = "x86_64", gateway: str = "http_api"
) -> FloatArray:
    """Give the cost of every row in USD, shape ``(rows,)``: NaN where :func:`trace_cost` cannot tell."""
    return trace_cost(trace, prices=prices, architecture=architecture, gateway=gateway).total_usd


def _ran(frame: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    never = (pl.col("status") == "throttled") & pl.col("billed_ms").is_null() & pl.col("duration_ms").is_null()
    return frame.select(~never).to_series().to_numpy()


def _billed_ms(frame: pl.DataFrame) -> FloatArray:
    init_ms = pl.when(pl.col("cold").fill_null(value=False)).then(pl.col("init_ms")).otherwise(0.0)
    computed = (pl.col("duration_ms") + init_ms).ceil()
    return frame.select(pl.coalesce("billed_ms", computed).fill_null(np.nan)).to_series().to_numpy()


def _floats(frame: pl.DataFrame, name: str) -> FloatArray:
    return frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()


def _token_usd(trace: Trace, prices: Prices, reasons: list[Unpriced]) -> FloatArray:
    frame = trace.frame
    cost = np.zeros(len(trace))
    counted = frame.select(pl.any_horizontal(pl.col(*_TOKENS).is_not_null())).to_series().to_numpy()
    succeeded = (frame["status"] == "ok").to_numpy()
    variants = frame["variant"].fill_null("").to_numpy()
    for variant in sorted(set(variants)):
        rows = variants == variant
        name = repr(str(variant)) if variant else "the rows without a variant"
        model = _model_of(trace, str(variant))
        if model is None:
            missing = rows & counted
            _note(reasons, missing, f"the trace's metadata name no model for {name}")
            cost[missing] = np.nan
            continue
        missing = rows & ~counted & succeeded
        _note(reasons, missing, f"no tokens are recorded for {name} ({model})")
        cost[missing] = np.nan
        priced = rows & counted
        if not priced.any():
            continue
        tokens = [frame[column].fill_null(0).to_numpy()[priced] for column in _TOKENS]
        try:
            cost[priced] = token_cost_usd(model, *tokens, prices=prices)
        except ParameterError as error:
            _note(reasons, priced, str(error))
            cost[priced] = np.nan
    return cost


def _model_of(trace: Trace, variant: str) -> str | None:
    models = trace.metadata.models
    if variant in models:
        return models[variant]
    # A trace of one model needs no variants.
    return next(iter(models.values())) if not variant and len(models) == 1 else None


def _note(reasons: list[Unpriced], rows: np.ndarray[tuple[int], np.dtype[np.bool_]], reason: str) -> None:
    count = int(rows.sum())
    if count:
        reasons.append(Unpriced(reason, count))
