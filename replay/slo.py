"""Holding a trace to an objective: the figure, its 95 % interval, the verdict, and the requests behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from simulator.errors import ParameterError
from simulator.figures import ANSWERED, Latency, latency_of
from simulator.intervals import Estimate, mean_estimate, quantile_estimate, share_estimate
from simulator.objective import Objective, Verdict
from simulator.trace import Trace

SLOWEST_SHOWN: Final = 5


@dataclass(frozen=True)
class SlowRequest:
    """One of the slowest requests, with what is known of why."""

    latency_ms: float
    arrival_s: float
    status: str
    cold: bool | None
    init_ms: float | None
    inference_ms: float | None
    request_id: str | None

    def __str__(self) -> str:
        """Write it in one line."""
        start = {True: "cold", False: "warm", None: "start unknown"}[self.cold]
        parts = [f"{self.latency_ms:8.0f} ms at {self.arrival_s:.3f} s", start, self.status]
        if self.init_ms is not None:
            parts.append(f"INIT {self.init_ms:.0f} ms")
        if self.inference_ms is not None:
            parts.append(f"inference {self.inference_ms:.0f} ms")
        if self.request_id is not None:
            parts.append(self.request_id)
        return ", ".join(parts)


@dataclass(frozen=True)
class Judgement:
    """One objective, held against one trace."""

    objective: Objective
    estimate: Estimate
    verdict: Verdict
    """Of the interval: all of it keeps the objective, none of it, or the data cannot tell."""
    slowest: tuple[SlowRequest, ...]
    latency: Latency
    """Which latency was judged."""

    @property
    def met_by_figure(self) -> bool:
        """Whether the figure itself keeps the objective, whatever its doubt."""
        return self.objective.met_by(self.estimate.value)

    def __str__(self) -> str:
        """Write figure, interval, sample size and verdict in one line."""
        figure, objective = self.estimate, self.objective
        shown = f"{objective.metric} = {objective.format_value(figure.value)}"
        if figure.low is None or figure.high is None:
            doubt = f"no 95% interval from {figure.samples} requests: {figure.needed} are needed"
        else:
            low, high = objective.format_value(figure.low), objective.format_value(figure.high)
            doubt = f"95% interval {low} to {high}, n = {figure.samples}"
        return f"{objective}: {self.verdict}; {shown} ({doubt})"

    def to_json(self) -> dict[str, Any]:
        """Give figure, interval and verdict as JSON types."""
        value = self.estimate.value
        return {
            "objective": str(self.objective),
            "verdict": self.verdict,
            "estimate": None if math.isnan(value) else value,
            "low": self.estimate.low,
            "high": self.estimate.high,
            "requests": self.estimate.samples,
            "requests_needed": self.estimate.needed,
        }


def judge(objective: Objective, trace: Trace) -> Judgement:
    """Hold ``trace`` to ``objective``.

    A latency is the caller's (``client_ms``) where it was recorded, else INIT and handler together, of the requests
    that were answered or timed out. ``error_rate`` is the share of all requests that were not ``ok``. ``cold_share``
    is the share of those with a known start that waited for an INIT.

    Raises
    ------
    ParameterError
        The trace lacks what the objective is about.
    """
    latency: Latency = "client_ms" if trace.frame["client_ms"].is_not_null().any() else "execution_ms"
    latencies_ms = latency_of(trace, latency)
    counted = trace.frame["status"].is_in(ANSWERED).to_numpy() & np.isfinite(latencies_ms)
    if objective.is_latency:
        sample = latencies_ms[counted]
        if sample.size == 0:
            raise ParameterError(
                f"objective {str(objective)!r}: no latency in this trace; record client_ms or duration_ms"
            )
        level = objective.level
        estimate = mean_estimate(sample) if level is None else quantile_estimate(sample, level)
    elif objective.metric == "error_rate":
        estimate = share_estimate(int((trace.frame["status"] != "ok").sum()), len(trace))
    else:
        cold = trace.frame["cold"].drop_nulls()
        if cold.is_empty():
            raise ParameterError(f"objective {str(objective)!r}: no start in this trace is known to be cold or warm")
        estimate = share_estimate(int(cold.sum()), len(cold))
    unknown = float("nan")
    verdict = objective.judge(
        unknown if estimate.low is None else estimate.low, unknown if estimate.high is None else estimate.high
    )
    return Judgement(objective, estimate, verdict, _slowest(trace, latencies_ms), latency)


def _slowest(trace: Trace, latencies_ms: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[SlowRequest, ...]:
    frame = (
        trace.frame.with_columns(pl.Series("latency_ms", latencies_ms).fill_nan(None))
        .drop_nulls("latency_ms")
        .sort("latency_ms", descending=True)
        .head(SLOWEST_SHOWN)
    )
    names = SlowRequest.__dataclass_fields__
    return tuple(SlowRequest(**{name: row[name] for name in names}) for row in frame.iter_rows(named=True))
