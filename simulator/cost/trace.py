"""What each row of a trace cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.cost.prices import Prices
from simulator.cost.request import TOKEN_KINDS, FloatArray, lambda_cost_usd, request_cost_usd, token_parts_usd
from simulator.errors import ParameterError
from simulator.trace import Trace

BoolArray = NDArray[np.bool_]

PARTS: Final = (
    "lambda_init",
    "lambda_handler",
    "lambda_requests",
    "gateway",
    *(f"{kind}_tokens" for kind in TOKEN_KINDS),
)
"""What a row's cost is made of."""

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@dataclass(frozen=True)
class Unpriced:
    """Why some rows have no cost."""

    reason: str
    rows: int


@dataclass(frozen=True)
class TraceCost:
    """The cost of a trace row by row, in USD; NaN where it cannot be told."""

    parts: Mapping[str, FloatArray]
    """One of :data:`PARTS` → array of shape ``(rows,)``."""
    ran: BoolArray
    """Rows that reached an environment, shape ``(rows,)``."""
    unpriced: tuple[Unpriced, ...]
    """One entry a reason; a row can be counted under two."""

    @property
    def lambda_usd(self) -> FloatArray:
        """GB-seconds, INIT included."""
        return self.parts["lambda_init"] + self.parts["lambda_handler"]

    @property
    def request_usd(self) -> FloatArray:
        """What a request pays for being one: the invocation, and its way through the gateway."""
        return self.parts["lambda_requests"] + self.parts["gateway"]

    @property
    def token_usd(self) -> FloatArray:
        """Tokens of every kind."""
        return np.asarray(sum(self.parts[f"{kind}_tokens"] for kind in TOKEN_KINDS), dtype=np.float64)

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
    init_ms = np.minimum(_billed_init_ms(frame), billed_ms)

    def gb_seconds_usd(ms: FloatArray) -> FloatArray:
        return lambda_cost_usd(ms, memory_mb, prices=prices, provisioned=provisioned, architecture=architecture)

    invocation = prices.lambda_requests_per_million_usd / 1e6
    parts = {
        "lambda_init": gb_seconds_usd(init_ms),
        "lambda_handler": gb_seconds_usd(billed_ms - init_ms),
        "lambda_requests": np.where(ran, invocation, 0.0),
        "gateway": np.full(len(trace), request_cost_usd(prices=prices, gateway=gateway) - invocation),
        **{f"{kind}_tokens": usd for kind, usd in _token_usd(trace, prices, reasons).items()},
    }
    return TraceCost(parts, ran, tuple(reasons))


def trace_cost_usd(
    trace: Trace, *, prices: Prices, architecture: str = "x86_64", gateway: str = "http_api"
) -> FloatArray:
    """Give the cost of every row in USD, shape ``(rows,)``: NaN where :func:`trace_cost` cannot tell."""
    return trace_cost(trace, prices=prices, architecture=architecture, gateway=gateway).total_usd


def _ran(frame: pl.DataFrame) -> BoolArray:
    never = (pl.col("status") == "throttled") & pl.col("billed_ms").is_null() & pl.col("duration_ms").is_null()
    return frame.select(~never).to_series().to_numpy()


def _billed_ms(frame: pl.DataFrame) -> FloatArray:
    init_ms = pl.when(pl.col("cold").fill_null(value=False)).then(pl.col("init_ms")).otherwise(0.0)
    computed = (pl.col("duration_ms") + init_ms).ceil()
    return frame.select(pl.coalesce("billed_ms", computed).fill_null(np.nan)).to_series().to_numpy()


def _billed_init_ms(frame: pl.DataFrame) -> FloatArray:
    """Give the part of the billed time that was INIT; 0 where the row does not tell them apart."""
    beyond = (pl.col("billed_ms") - pl.col("duration_ms").ceil()).clip(0.0)
    cold = pl.col("cold").fill_null(value=False) & ~pl.col("provisioned").fill_null(value=False)
    init_ms = pl.when(cold).then(pl.coalesce("init_ms", beyond)).otherwise(0.0).fill_null(0.0)
    return frame.select(init_ms).to_series().to_numpy()


def _floats(frame: pl.DataFrame, name: str) -> FloatArray:
    return frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()


def _token_usd(trace: Trace, prices: Prices, reasons: list[Unpriced]) -> dict[str, FloatArray]:
    frame = trace.frame
    cost = {kind: np.zeros(len(trace)) for kind in TOKEN_KINDS}

    def unknown(rows: BoolArray, reason: str) -> None:
        _note(reasons, rows, reason)
        for usd in cost.values():
            usd[rows] = np.nan

    counted = frame.select(pl.any_horizontal(pl.col(*_TOKENS).is_not_null())).to_series().to_numpy()
    succeeded = (frame["status"] == "ok").to_numpy()
    variants = frame["variant"].fill_null("").to_numpy()
    for variant in sorted(set(variants)):
        rows = variants == variant
        name = repr(str(variant)) if variant else "the rows without a variant"
        model = _model_of(trace, str(variant))
        if model is None:
            unknown(rows & counted, f"the trace's metadata name no model for {name}")
            continue
        unknown(rows & ~counted & succeeded, f"no tokens are recorded for {name} ({model})")
        priced = rows & counted
        if not priced.any():
            continue
        tokens = [frame[column].fill_null(0).to_numpy()[priced] for column in _TOKENS]
        try:
            for kind, usd in token_parts_usd(model, *tokens, prices=prices).items():
                cost[kind][priced] = usd
        except ParameterError as error:
            unknown(priced, str(error))
    return cost


def _model_of(trace: Trace, variant: str) -> str | None:
    models = trace.metadata.models
    if variant in models:
        return models[variant]
    # A trace of one model needs no variants.
    return next(iter(models.values())) if not variant and len(models) == 1 else None


def _note(reasons: list[Unpriced], rows: BoolArray, reason: str) -> None:
    count = int(rows.sum())
    if count:
        reasons.append(Unpriced(reason, count))
