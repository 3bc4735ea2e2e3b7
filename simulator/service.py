"""The service model of one variant: what a request takes, warm and cold, and what its tokens cost, from its trace.

A warm request is drawn as a whole, as the caller saw it, and split into handler and overhead by the share of the
recorded row that it resembles: the two belong together, and the median of their sum is not the sum of their medians.
Both variants are asked at the same uniforms, sorted by latency, so that what differs between them is the variant and
not the luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from simulator.draws import IntArray, Randomness, Use
from simulator.environments import ColdFit, ColdRows, fit_cold
from simulator.errors import FitError
from simulator.figures import Latency
from simulator.quantiles import FloatArray, samples_to_bound
from simulator.sample import PreparedSample, SampleFit, fit_sample
from simulator.trace import Trace

MIN_WARM_REQUESTS: Final = 5
"""Fewer warm requests than this cannot be called a measurement."""


@dataclass(frozen=True, eq=False)
class ServiceFit:
    """The fitted model of one variant.

    Parameters
    ----------
    variant
        Its name.
    warm
        The law of a warm request's total time, in milliseconds.
    handler_share
        Handler's share of the total in each recorded warm row, shape ``(warm rows,)``.
    inference_share
        Share of the model's call in the handler of each row; 1 where it was not recorded. Shape ``(warm rows,)``.
    input_tokens, output_tokens
        Of each row, those read from the cache left out; NaN where not recorded. Shape ``(warm rows,)``.
    token_usd
        Cost of each row's tokens in USD, NaN where it cannot be told.
    cold
        What a cold start costs.
    memory_mb
        Recorded memory, None where it was not recorded.
    left_out
        Recorded requests that did not end ``ok``, by status.
    recorded_rps
        Mean rate of the recording.
    """

    variant: str
    warm: SampleFit
    handler_share: FloatArray = field(repr=False)
    inference_share: FloatArray = field(repr=False)
    input_tokens: FloatArray = field(repr=False)
    output_tokens: FloatArray = field(repr=False)
    token_usd: FloatArray = field(repr=False)
    cold: ColdFit
    memory_mb: int | None
    left_out: Mapping[str, int]
    recorded_rps: float

    def prepare(self, start_s: float, end_s: float) -> PreparedService:
        """Prepare drawing for the time between ``start_s`` and ``end_s`` on the recording's clock."""
        return PreparedService(self, self.warm.prepare(start_s, end_s))

    def summary(self) -> dict[str, Any]:
        """Say how the model was fitted, as JSON types; shares are of the variant's typical latency."""
        warm = self.warm
        return {
            "warm_requests": warm.values,
            "cold_starts": self.cold.starts,
            "cold_source": self.cold.source,
            "init_source": self.cold.init_source,
            "windows": 0 if warm.level is None else int(warm.level.time_s.size),
            "drift_sd_share": None if warm.level is None else warm.level.mean_sd,
            "drift_probability": None if warm.level is None else warm.level.drift_probability,
            "environments": 0 if warm.groups is None else warm.groups.groups,
            "environment_sd_share": None if warm.groups is None else warm.groups.mean_sd,
            "tail_shape": None if warm.tail is None else warm.tail.mean_shape,
            "tail_excesses": 0 if warm.tail is None else warm.tail.excesses,
            "memory_mb": self.memory_mb,
            "left_out": dict(self.left_out),
            "recorded_rps": self.recorded_rps,
        }

    def note(self, level: float) -> str | None:
        """Say what a reader of the ``level`` quantile must know about this fit's size, or None."""
        needed = samples_to_bound(level)
        if self.warm.values >= needed:
            return None
        return f"extrapolated from {self.warm.values} recorded requests; {needed} would settle it"


@dataclass(frozen=True, eq=False)
class DrawnService:
    """One version's draws, arrays of shape ``(n,)``; ``token_usd`` is what its tokens cost (may be NaN).

    ``row`` is the recorded warm row that each request resembles.
    """

    handler_ms: FloatArray
    inference_ms: FloatArray
    """How much of the handler is the model's call."""
    overhead_ms: FloatArray
    cold_handler_ms: FloatArray
    setup_ms: FloatArray
    init_ms: FloatArray
    token_usd: FloatArray
    row: IntArray
    environment_log_sd: float
    """By how much the level of execution environments differs, on the scale of logarithms."""


class PreparedService:
    """Draws the service of one variant, one replication after the other."""

    def __init__(self, fit: ServiceFit, warm: PreparedSample) -> None:
        self.fit = fit
        self.warm = warm

    def draw(self, randomness: Randomness, time_s: FloatArray, *, version: int, attempt: int = 0) -> DrawnService:
        """Draw one replication.

        Parameters
        ----------
        randomness
            The replication's numbers.
        time_s
            When each request arrives, on the recording's clock, shape ``(n,)``.
        version
            Index of the version: each has doubts of its own, but all share the requests' uniforms.
        attempt
            Which attempt of each request.
        """
        requests = time_s.size
        doubt = randomness.generator(Use.FIT, attempt=version)
        warm = self.warm.draw(doubt)
        cold = self.fit.cold.draw(doubt)
        total_ms, row = warm.at(randomness.uniforms(Use.HANDLER, requests, attempt), time_s)
        handler_ms = total_ms * self.fit.handler_share[row]
        overhead_ms = total_ms - handler_ms
        cold_handler_ms, setup_ms = cold.handler_and_setup_ms(
            randomness.uniforms(Use.SETUP, requests, attempt), handler_ms, overhead_ms
        )
        init_ms = cold.init_ms(randomness.uniforms(Use.INIT, requests, attempt))
        return DrawnService(
            handler_ms=handler_ms,
            inference_ms=handler_ms * self.fit.inference_share[row],
            overhead_ms=overhead_ms,
            cold_handler_ms=cold_handler_ms,
            setup_ms=setup_ms,
            init_ms=init_ms,
            token_usd=self.fit.token_usd[row],
            row=row,
            environment_log_sd=warm.group_log_sd,
        )


def fit_services(
    traces: Mapping[str, Trace], *, latency: Latency, token_usd: Mapping[str, FloatArray]
) -> dict[str, ServiceFit]:
    """Fit every variant.

    Parameters
    ----------
    traces
        Variant → its own rows.
    latency
        ``client_ms``: the total is what the caller saw, and rows without it are left out; ``execution_ms``: the total
        is the handler.
    token_usd
        Variant → cost of the tokens of each row of its trace, shape ``(rows,)``.

    Raises
    ------
    FitError
        A variant with fewer than :data:`MIN_WARM_REQUESTS` usable warm rows.
    """
    tables = {variant: _usable(trace, variant, latency) for variant, trace in traces.items()}
    cold_rows = {variant: _cold_rows(table) for variant, table in tables.items()}
    alone = {variant: _fit_warm(table) for variant, table in tables.items()}
    return {
        variant: _fit_service(
            variant,
            traces[variant],
            tables[variant],
            _fit_warm(tables[variant], _beside(variant, traces, alone)),
            cold_rows[variant],
            list(cold_rows.values()),
            latency,
            token_usd[variant],
        )
        for variant in traces
    }


def _beside(variant: str, traces: Mapping[str, Trace], alone: Mapping[str, SampleFit]) -> SampleFit | None:
    """Give the other variant's sample, which may drift alike; None where there is none, or it is the same recording."""
    others = [name for name in traces if traces[name].frame is not traces[variant].frame]
    return alone[others[0]] if others else None


def _fit_warm(table: pl.DataFrame, like: SampleFit | None = None) -> SampleFit:
    warm = table.filter(~pl.col("cold"))
    return fit_sample(warm["total_ms"].to_numpy(), warm["arrival_s"].to_numpy(), environments_of(warm), like=like)


def _usable(trace: Trace, variant: str, latency: Latency) -> pl.DataFrame:
    """Give the rows that ended ``ok`` with ``total_ms`` (INIT apart), ``handler_ms``, ``init`` and their row index."""
    total = pl.col("client_ms") - pl.col("init_ms").fill_null(0.0) if latency == "client_ms" else pl.col("duration_ms")
    table = (
        trace.frame.with_row_index("row")
        .with_columns(total_ms=total, cold=pl.col("cold").fill_null(value=False))
        # A function whose own time was not recorded is all handler: the sum is right, only its parts are not known.
        .with_columns(handler_ms=pl.min_horizontal(pl.col("duration_ms").fill_null(pl.col("total_ms")), "total_ms"))
        .filter((pl.col("status") == "ok") & (pl.col("total_ms") > 0.0))
    )
    if latency == "execution_ms":
        # A start whose INIT was not recorded does not say what it executed.
        table = table.filter(~pl.col("cold") | pl.col("init_ms").is_not_null())
    warm = table.filter(~pl.col("cold"))
    if len(warm) < MIN_WARM_REQUESTS:
        raise FitError(
            f"variant {variant!r}: {len(warm)} warm requests with status ok and {latency}; "
            f"record at least {MIN_WARM_REQUESTS} (a p99 wants {samples_to_bound(0.99)})"
        )
    return table


def environments_of(table: pl.DataFrame) -> IntArray:
    """Give each row its execution environment as a number from 0; −1 where none is recorded."""
    codes = table["environment_id"].rank("dense").cast(pl.Int64) - 1
    return codes.fill_null(-1).to_numpy()


def _share(table: pl.DataFrame, part: str, whole: str) -> FloatArray:
    share = (table[part] / table[whole]).fill_null(1.0).fill_nan(1.0).clip(0.0, 1.0)
    return np.asarray(share.to_numpy(), dtype=np.float64)


def _tokens(table: pl.DataFrame, name: str, also: str | None = None) -> FloatArray:
    tokens = table[name].cast(pl.Float64)
    if also is not None:
        tokens = tokens + table[also].cast(pl.Float64).fill_null(0.0)
    return np.asarray(tokens.fill_null(np.nan).to_numpy(), dtype=np.float64)


def _cold_rows(table: pl.DataFrame) -> ColdRows:
    warm, cold = table.filter(~pl.col("cold")), table.filter(pl.col("cold"))
    warm_total_ms = warm["total_ms"].to_numpy()
    return ColdRows(
        total_ms=cold["total_ms"].to_numpy(),
        handler_ms=cold["handler_ms"].to_numpy(),
        init_ms=cold["init_ms"].fill_null(np.nan).to_numpy(),
        warm_total_ms=float(np.median(warm_total_ms)),
        warm_handler_ms=float(np.median(warm["handler_ms"].to_numpy())),
        warm_total_variance=float(warm_total_ms.var()),
    )


def _fit_service(
    variant: str,
    trace: Trace,
    table: pl.DataFrame,
    law: SampleFit,
    own: ColdRows,
    both: Sequence[ColdRows],
    latency: Latency,
    token_usd: FloatArray,
) -> ServiceFit:
    warm = table.filter(~pl.col("cold"))
    total_ms = warm["total_ms"].to_numpy()
    memory = warm["memory_mb"].drop_nulls()
    ended = trace.frame["status"].value_counts().iter_rows()
    return ServiceFit(
        variant=variant,
        warm=law,
        handler_share=warm["handler_ms"].to_numpy() / total_ms,
        inference_share=_share(warm, "inference_ms", "handler_ms"),
        input_tokens=_tokens(warm, "input_tokens", "cache_write_tokens"),
        output_tokens=_tokens(warm, "output_tokens"),
        token_usd=token_usd[warm["row"].to_numpy()],
        cold=fit_cold(own, both, caller_recorded=latency == "client_ms"),
        memory_mb=int(memory.mode()[0]) if len(memory) else None,
        left_out={str(status): int(count) for status, count in ended if status != "ok"},
        recorded_rps=len(trace) / trace.duration_s if trace.duration_s > 0 else 0.0,
    )
