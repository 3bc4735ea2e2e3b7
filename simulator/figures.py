"""The figures: one number about one step and one variant, forecast with an interval or observed without one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import polars as pl

from simulator.quantiles import FloatArray, quantile, samples_to_bound
from simulator.trace import Trace

if TYPE_CHECKING:
    from simulator.cost import Prices

ALL: Final = "all"
"""The variant name that stands for every request of a step."""

QUANTILE_METRICS: Final[Mapping[str, float]] = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}
METRICS: Final = (*QUANTILE_METRICS, "cold_share", "cost_usd_per_1000")
"""The figures that a forecast and an observation share.

``p50_ms``, ``p95_ms``, ``p99_ms``: latency of the requests that were answered or timed out (statuses ``ok`` and
``timeout``); a refusal in a few milliseconds is not a fast answer. ``cold_share``: share of the requests with a known
start that waited for an INIT. ``cost_usd_per_1000``: mean variable cost of a request × 1,000.
"""

ANSWERED: Final = ("ok", "timeout")
"""The statuses whose latency counts."""

Latency = Literal["client_ms", "execution_ms"]
"""``client_ms``: as the caller saw it; ``execution_ms``: INIT and handler, as Lambda reports them."""


@dataclass(frozen=True)
class Figure:
    """One number about one step and one variant, with its doubt.

    Parameters
    ----------
    step
        Label of the rollout step, such as ``10%``.
    variant
        ``all``, ``baseline`` or ``optimized``.
    metric
        One of :data:`METRICS`.
    estimate
        The figure; None where it cannot be told (the note says why).
    low, high
        Its 95 % interval; None for an observation.
    requests
        How many requests it speaks of; for a forecast the median over its replications.
    note
        What a reader must know, or None.
    """

    step: str
    variant: str
    metric: str
    estimate: float | None
    low: float | None
    high: float | None
    requests: int
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Figure:
        """Read back what :meth:`to_json` gave."""
        return cls(**document)


def observe(
    trace: Trace,
    *,
    step: str,
    prices: Prices | None = None,
    latency: Latency = "client_ms",
    architecture: str = "x86_64",
) -> list[Figure]:
    """Give the observed figures of ``trace``: of all its requests, then of each variant.

    Parameters
    ----------
    trace
        What was recorded during one step.
    step
        Label of that step.
    prices
        What things cost; None leaves the cost out (estimate None).
    latency
        Which latency the quantiles are of.
    architecture
        ``x86_64`` or ``arm64``, for the price of a GB-second.
    """
    frame = trace.frame
    cost_usd = _cost_usd(trace, prices, architecture)
    latencies_ms = latency_of(trace, latency)
    names = [ALL, *trace.variants()]
    figures: list[Figure] = []
    for name in names:
        rows = (
            np.ones(len(trace), dtype=np.bool_)
            if name == ALL
            else (frame["variant"] == name).fill_null(False).to_numpy()
        )
        figures += _figures(trace, rows, latencies_ms, cost_usd, step=step, variant=name)
    return figures


def latency_of(trace: Trace, latency: Latency) -> FloatArray:
    """Give the latency of each row in milliseconds, NaN where it was not recorded."""
    if latency == "client_ms":
        column = trace.frame["client_ms"]
    else:
        # A cold start without its INIT has no execution time: the handler alone would pass for a fast request.
        known = pl.when(pl.col("cold").fill_null(value=False)).then(pl.col("init_ms"))
        init_ms = known.otherwise(pl.col("init_ms").fill_null(0.0))
        column = trace.frame.select(pl.col("duration_ms") + init_ms).to_series()
    return np.asarray(column.cast(pl.Float64).fill_null(math.nan).to_numpy(), dtype=np.float64)


def _cost_usd(trace: Trace, prices: Prices | None, architecture: str) -> FloatArray:
    if prices is None:
        return np.full(len(trace), math.nan)
    # Imported here: the price tables are slow to load, and most figures need none.
    from simulator.cost import trace_cost_usd

    return trace_cost_usd(trace, prices=prices, architecture=architecture)


def _figures(
    trace: Trace,
    rows: np.ndarray[Any, np.dtype[np.bool_]],
    latencies_ms: FloatArray,
    cost_usd: FloatArray,
    *,
    step: str,
    variant: str,
) -> list[Figure]:
    frame = trace.frame.filter(pl.Series(rows))
    answered = rows & trace.frame["status"].is_in(ANSWERED).to_numpy() & np.isfinite(latencies_ms)
    sample = latencies_ms[answered]
    found: list[Figure] = []

    def add(metric: str, value: float, requests: int, note: str | None) -> None:
        known = math.isfinite(value)
        found.append(Figure(step, variant, metric, value if known else None, None, None, requests, note))

    for metric, level in QUANTILE_METRICS.items():
        needed = samples_to_bound(level)
        note = None if sample.size else "no latency was recorded"
        if 0 < sample.size < needed:
            note = f"{sample.size} requests; {needed} are needed to bound this quantile from above"
        add(metric, quantile(sample, level), int(sample.size), note)
    started = frame["cold"].drop_nulls()
    share = float(started.mean() or 0.0) if len(started) else math.nan  # type: ignore[arg-type]  # Polars types a column's figure as anything
    add("cold_share", share, len(started), None if len(started) else "no start was recorded as cold or warm")
    priced = cost_usd[rows & np.isfinite(cost_usd)]
    unpriced = int(rows.sum()) - priced.size
    note = f"{unpriced} of {int(rows.sum())} requests could not be priced" if unpriced else None
    add("cost_usd_per_1000", float(priced.mean()) * 1000.0 if priced.size else math.nan, int(priced.size), note)
    return found
