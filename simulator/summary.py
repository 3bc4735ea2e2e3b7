"""What a trace says about itself: load, starts, ends and latency, each figure with its sample size and interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from simulator.errors import ParameterError
from simulator.figures import ALL, ANSWERED
from simulator.intervals import Estimate, autocorrelation, mean_estimate, quantile_estimate, share_estimate
from simulator.quantiles import FloatArray
from simulator.trace import STATUSES, Trace

LEVELS: Final[Mapping[str, float]] = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}

MEASURES: Final[Mapping[str, pl.Expr]] = {
    "client_ms": pl.col("client_ms"),
    "execution_ms": pl.col("duration_ms")
    + pl.when(pl.col("cold").fill_null(value=False))
    .then(pl.col("init_ms"))
    .otherwise(pl.col("init_ms").fill_null(0.0)),
    "duration_ms": pl.col("duration_ms"),
    "init_ms": pl.col("init_ms"),
    "inference_ms": pl.col("inference_ms"),
    "ttft_ms": pl.col("ttft_ms"),
}
"""What is timed, the caller's view first. ``execution_ms`` is INIT and handler together; a cold start whose INIT was
not recorded has none, since the handler alone would pass for a fast request."""

_LATENCIES: Final = ("client_ms", "execution_ms", "duration_ms", "inference_ms", "ttft_ms", "init_ms")
_TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@dataclass(frozen=True)
class LatencySummary:
    """The distribution of one measure over one group of requests, in milliseconds."""

    requests: int
    mean: Estimate
    quantiles: Mapping[str, Estimate]
    """Keys of :data:`LEVELS`."""
    max_ms: float
    """NaN where nothing was measured."""

    def to_json(self) -> dict[str, Any]:
        """Give JSON types; what is unknown is null."""
        figures = {name: estimate_json(estimate) for name, estimate in self.quantiles.items()}
        return {
            "n": self.requests,
            "mean_ms": estimate_json(self.mean),
            **figures,
            "max_ms": _finite_or_none(self.max_ms),
        }


@dataclass(frozen=True)
class GroupSummary:
    """What a trace says of all its requests, or of one variant's."""

    requests: int
    statuses: Mapping[str, int]
    """Every status that occurs, with its count."""
    cold: Estimate
    """Share of the requests with a known start that waited for an environment to start."""
    environments: int | None
    """Distinct execution environments; None where none is recorded."""
    latency: Mapping[str, LatencySummary]
    """``all``, ``warm`` and ``cold`` of the trace's main measure, the groups that occur."""
    measures: Mapping[str, LatencySummary]
    """Every measure that was recorded (keys of :data:`MEASURES`)."""
    tokens: Mapping[str, float]
    """Mean of every token column that was recorded."""
    autocorrelation: float
    """Of successive latencies' ranks; NaN where too few."""

    @property
    def correlated(self) -> bool:
        """Whether successive latencies are too alike for the intervals, which take them as independent."""
        n = self.latency[ALL].requests if ALL in self.latency else 0
        return n > 0 and self.autocorrelation > 2.0 / math.sqrt(n)

    def to_json(self) -> dict[str, Any]:
        """Give JSON types; what is unknown is null."""
        return {
            "requests": self.requests,
            "statuses": dict(self.statuses),
            "cold_share": estimate_json(self.cold),
            "environments": self.environments,
            "latency": {name: each.to_json() for name, each in self.latency.items()},
            "measures": {name: each.to_json() for name, each in self.measures.items()},
            "mean_tokens": dict(self.tokens),
            "autocorrelation": _finite_or_none(self.autocorrelation),
            "intervals_too_narrow": self.correlated,
        }


@dataclass(frozen=True)
class TraceSummary:
    """What a trace says about itself."""

    measure: str | None
    """The measure that ``latency`` is of: the one asked for, else the first recorded; None where none was."""
    duration_s: float
    rate_rps: float
    """Mean arrivals a second; NaN for fewer than two."""
    busiest_second: int
    """Most arrivals in one of the seconds counted from the first arrival."""
    interarrival_cv: float
    """Standard deviation of the interarrival times over their mean: 1 for Poisson; NaN for fewer than three."""
    groups: Mapping[str, GroupSummary]
    """``all``, then each variant, where there are several."""

    def to_json(self) -> dict[str, Any]:
        """Give JSON types; what is unknown is null."""
        return {
            "measure": self.measure,
            "duration_s": self.duration_s,
            "rate_rps": _finite_or_none(self.rate_rps),
            "busiest_second": self.busiest_second,
            "interarrival_cv": _finite_or_none(self.interarrival_cv),
            "groups": {name: group.to_json() for name, group in self.groups.items()},
        }


def summarise(trace: Trace, *, measure: str | None = None) -> TraceSummary:
    """Summarise ``trace``.

    Latency counts for the requests that were answered or timed out; a refusal in a few milliseconds is not a fast
    answer.

    Parameters
    ----------
    trace
        What was recorded.
    measure
        A key of :data:`MEASURES`; None takes the first recorded of client, execution, handler, inference, first token
        and INIT.

    Raises
    ------
    ParameterError
        The trace does not have the measure.
    """
    timed = trace.frame.with_columns(expression.alias(f"_{name}") for name, expression in MEASURES.items())
    answered = timed.filter(pl.col("status").is_in(ANSWERED))
    recorded = [name for name in _LATENCIES if answered[f"_{name}"].count() > 0]
    if measure is not None and measure not in recorded:
        raise ParameterError(
            f"measure {measure!r} is not recorded in this trace; it has: {', '.join(recorded) or 'none'}"
        )
    main = measure or (recorded[0] if recorded else None)
    variants = trace.variants()
    groups = {ALL: _group(timed, main)}
    if len(variants) > 1 or (variants and timed["variant"].null_count()):
        groups |= {name: _group(timed.filter(pl.col("variant") == name), main) for name in variants}
    arrival_s = trace.frame["arrival_s"].to_numpy()
    gaps_s = np.diff(arrival_s)
    mean_gap_s = float(gaps_s.mean()) if gaps_s.size else math.nan
    return TraceSummary(
        measure=main,
        duration_s=trace.duration_s,
        rate_rps=1.0 / mean_gap_s if mean_gap_s > 0 else math.nan,
        busiest_second=int(np.unique(np.floor(arrival_s - arrival_s[0]), return_counts=True)[1].max()),
        interarrival_cv=float(gaps_s.std() / mean_gap_s) if gaps_s.size > 1 and mean_gap_s > 0 else math.nan,
        groups=groups,
    )


def latencies_ms(frame: pl.DataFrame, measure: str) -> FloatArray:
    """Give ``measure`` of the answered rows of ``frame`` that recorded it, in milliseconds and the rows' order."""
    answered = frame.filter(pl.col("status").is_in(ANSWERED))
    return _values(answered.select(MEASURES[measure]).to_series())


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """Give an estimate as JSON types; one whose sample is too small has ``samples_needed`` instead of an interval."""
    document: dict[str, Any] = {
        "estimate": _finite_or_none(estimate.value),
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.samples,
    }
    if estimate.needed is not None:
        document["samples_needed"] = estimate.needed
    return document


def _group(timed: pl.DataFrame, main: str | None) -> GroupSummary:
    answered = timed.filter(pl.col("status").is_in(ANSWERED))
    counts = dict(timed["status"].value_counts().iter_rows())
    cold = timed["cold"].drop_nulls()
    latency: dict[str, LatencySummary] = {}
    if main is not None:
        starts = {ALL: pl.lit(value=True), "warm": pl.col("cold").not_(), "cold": pl.col("cold")}
        for name, rows in starts.items():
            values = _values(answered.filter(rows)[f"_{main}"])
            if name == ALL or values.size:
                latency[name] = _latency(values)
    measures = {name: _values(answered[f"_{name}"]) for name in MEASURES}
    environments = timed["environment_id"].n_unique() - int(timed["environment_id"].null_count() > 0)
    return GroupSummary(
        requests=timed.height,
        statuses={name: int(counts[name]) for name in STATUSES if name in counts},
        cold=share_estimate(int(cold.sum()), len(cold)),
        environments=environments or None,
        latency=latency,
        measures={name: _latency(values) for name, values in measures.items() if values.size},
        tokens={name: float(timed[name].mean()) for name in _TOKENS if timed[name].count()},  # type: ignore[arg-type]  # Polars types a column's figure as anything
        autocorrelation=autocorrelation(_values(answered[f"_{main}"])) if main else math.nan,
    )


def _latency(values: FloatArray) -> LatencySummary:
    return LatencySummary(
        requests=int(values.size),
        mean=mean_estimate(values),
        quantiles={name: quantile_estimate(values, level) for name, level in LEVELS.items()},
        max_ms=float(values.max()) if values.size else math.nan,
    )


def _values(column: pl.Series) -> FloatArray:
    return np.asarray(column.drop_nulls().to_numpy(), dtype=np.float64)


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
