"""What a run says: per cell the figures with their intervals, what stands out, and what a reader must know."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from replay.bench.comparison import Difference, Rank, beyond_fences, differences, mean, quantile_at, ranks
from replay.bench.records import Measurement, Run
from simulator.intervals import (
    Estimate,
    autocorrelation,
    mean_estimate,
    quantile_estimate,
    share_estimate,
    standard_deviation_estimate,
)
from simulator.quantiles import FloatArray

LEVELS: Final[Mapping[str, float]] = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
METRICS: Final[Mapping[str, str]] = {
    "ttft_ms": "time to first token",
    "total_ms": "total time",
    "inter_token_ms": "time between tokens",
}
SPIKE_FACTOR: Final = 1.5
"""A first request this many times as slow as the median of the others is called a spike."""
LATE_SHARE: Final = 0.02
"""A dispatch delay above this share of the median latency is worth a note: the figures then hold our own lateness."""

Cell = tuple[str, str, str]


@dataclass(frozen=True)
class Outlier:
    """A value beyond the outer fences of its cell: shown, and in every figure."""

    sequence: int
    value_ms: float
    at_s: float


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one cell, in milliseconds."""

    metric: str
    mean: Estimate
    quantiles: Mapping[str, Estimate]
    standard_deviation: Estimate
    lowest: float
    highest: float
    outliers: tuple[Outlier, ...]
    autocorrelation: float

    @property
    def variance(self) -> Estimate:
        """The variance, in ms²."""
        sd = self.standard_deviation
        low, high = (None if end is None else end**2 for end in (sd.low, sd.high))
        return Estimate(sd.value**2, low, high, sd.samples, sd.needed)

    @property
    def worst_to_best(self) -> float:
        """Highest divided by lowest."""
        return self.highest / self.lowest if self.lowest > 0 else math.inf


@dataclass(frozen=True)
class First:
    """The first request to a target, set apart."""

    ttft_ms: float | None
    total_ms: float | None
    times_median: float | None
    """Its TTFT divided by the median of the cell's others."""

    @property
    def is_spike(self) -> bool:
        """Whether it was much slower than the others."""
        return self.times_median is not None and self.times_median >= SPIKE_FACTOR


@dataclass(frozen=True)
class CellSummary:
    """One target under one arm and load."""

    target: str
    arm: str
    load: str
    label: str
    """What tells it from the run's other cells."""
    requests: int
    statuses: Mapping[str, int]
    errors: Mapping[str, int]
    """Message → how often."""
    metrics: Mapping[str, MetricSummary]
    failures: Estimate
    """Share of requests that were not answered."""
    input_tokens: float | None
    """Mean as the model counts, cached ones included."""
    output_tokens: float | None
    cache_hit_share: float | None
    """Share of the answered requests that read from the prompt cache; None where none could."""
    opened: int
    """Requests that had to open a connection although the arm wants it reused."""
    dispatch_p99_ms: float
    cost_usd_per_1000: float | None
    regions: Mapping[str, int]
    first: First | None

    @property
    def cell(self) -> Cell:
        """Target, arm and load."""
        return self.target, self.arm, self.load


@dataclass(frozen=True)
class Comparison:
    """All cells against each other by one figure."""

    metric: str
    figure: str
    differences: tuple[Difference, ...]
    ranks: tuple[Rank, ...]


@dataclass(frozen=True)
class Summary:
    """All that a run says."""

    cells: tuple[CellSummary, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = field(default=())


def summarise(run: Run) -> Summary:
    """Summarise a run."""
    groups = by_cell(run.measured())
    firsts = {m.cell: m for m in run.measurements if m.phase == "first"}
    cells = tuple(_cell(cell, run, rows, firsts.get(cell)) for cell, rows in groups.items())
    samples = {run.label(cell): rows for cell, rows in groups.items()}
    comparisons = tuple(
        compare_cells(samples, metric, figure) for metric in ("ttft_ms", "total_ms") for figure in ("p50", "mean")
    )
    return Summary(cells, tuple(c for c in comparisons if c.ranks), tuple(_notes(cells, run)))


def by_cell(measurements: Sequence[Measurement]) -> dict[Cell, list[Measurement]]:
    """Group by cell, in the order in which the cells' labels sort."""
    groups: dict[Cell, list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault(measurement.cell, []).append(measurement)
    return dict(sorted(groups.items()))


def values_of(measurements: Sequence[Measurement], metric: str) -> FloatArray:
    """Give a metric of the answered requests, in the order given; ``inter_token_ms`` is each request's mean gap."""
    found: list[float] = []
    for m in measurements:
        if m.status != "ok":
            continue
        value = _mean_gap(m) if metric == "inter_token_ms" else getattr(m, metric)
        if value is not None:
            found.append(value)
    return np.asarray(found, dtype=np.float64)


def compare_cells(groups: Mapping[str, Sequence[Measurement]], metric: str, figure: str) -> Comparison:
    """Compare every pair of cells by one figure (``mean``, ``p50`` …); the intervals hold for all pairs at once."""
    statistic = mean() if figure == "mean" else quantile_at(LEVELS[figure])
    samples = {label: values_of(rows, metric) for label, rows in groups.items()}
    samples = {label: values for label, values in samples.items() if values.size}
    if len(samples) < 2:
        return Comparison(metric, figure, (), ())
    return Comparison(metric, figure, tuple(differences(samples, statistic)), tuple(ranks(samples, statistic)))


def to_json(summary: Summary) -> dict[str, Any]:
    """Give a summary as JSON types; NaN and infinity become null."""
    document: dict[str, Any] = asdict(summary)
    for cell, written in zip(summary.cells, document["cells"], strict=True):
        for name, metric in cell.metrics.items():
            written["metrics"][name]["variance"] = asdict(metric.variance)
            written["metrics"][name]["worst_to_best"] = metric.worst_to_best
    for comparison, written in zip(summary.comparisons, document["comparisons"], strict=True):
        for difference, each in zip(comparison.differences, written["differences"], strict=True):
            each["verdict"] = difference.verdict
    plain: dict[str, Any] = _plain(document)
    return plain


def _cell(cell: Cell, run: Run, rows: Sequence[Measurement], first: Measurement | None) -> CellSummary:
    target, arm, load = cell
    ok = [m for m in rows if m.status == "ok"]
    metrics = {metric: found for metric in METRICS if (found := _metric(metric, ok)) is not None}
    reads = [m.cache_read_tokens for m in ok if m.cache_read_tokens is not None]
    could_hit = run.arms[arm].cache == "read" or any(reads)
    costs = [m.cost_usd for m in rows]
    known = [cost for cost in costs if cost is not None]
    delays = [m.dispatch_delay_ms for m in rows]
    inputs = [
        m.input_tokens + (m.cache_read_tokens or 0) + (m.cache_write_tokens or 0)
        for m in ok
        if m.input_tokens is not None
    ]
    outputs = [m.output_tokens for m in ok if m.output_tokens is not None]
    return CellSummary(
        target=target,
        arm=arm,
        load=load,
        label=run.label(cell),
        requests=len(rows),
        statuses=dict(Counter(m.status for m in rows)),
        errors=dict(Counter(m.error for m in rows if m.error)),
        metrics=metrics,
        failures=share_estimate(len(rows) - len(ok), len(rows)),
        input_tokens=float(np.mean(inputs)) if inputs else None,
        output_tokens=float(np.mean(outputs)) if outputs else None,
        cache_hit_share=sum(1 for read in reads if read) / len(reads) if could_hit and reads else None,
        opened=sum(1 for m in rows if m.connection == "opened"),
        dispatch_p99_ms=float(np.quantile(delays, 0.99)) if delays else 0.0,
        cost_usd_per_1000=1000.0 * sum(known) / len(known) if known and len(known) == len(costs) else None,
        regions=dict(Counter(m.region for m in ok if m.region)),
        first=_first(first, metrics),
    )


def _metric(metric: str, ok: Sequence[Measurement]) -> MetricSummary | None:
    rows = [m for m in ok if (_mean_gap(m) if metric == "inter_token_ms" else getattr(m, metric)) is not None]
    values = values_of(rows, metric)
    if not values.size:
        return None
    outliers = tuple(
        Outlier(rows[index].sequence, float(values[index]), rows[index].intended_s) for index in beyond_fences(values)
    )
    return MetricSummary(
        metric=metric,
        mean=mean_estimate(values),
        quantiles={name: quantile_estimate(values, level) for name, level in LEVELS.items()},
        standard_deviation=standard_deviation_estimate(values),
        lowest=float(values.min()),
        highest=float(values.max()),
        outliers=outliers,
        autocorrelation=autocorrelation(values),
    )


def _first(first: Measurement | None, metrics: Mapping[str, MetricSummary]) -> First | None:
    if first is None or first.status != "ok":
        return None
    ttft = metrics.get("ttft_ms")
    times = first.ttft_ms / ttft.quantiles["p50"].value if ttft is not None and first.ttft_ms is not None else None
    return First(first.ttft_ms, first.total_ms, times)


def _mean_gap(m: Measurement) -> float | None:
    return sum(m.inter_token_ms) / len(m.inter_token_ms) if m.inter_token_ms else None


def _notes(cells: Sequence[CellSummary], run: Run) -> list[str]:
    notes = [f"the run ended early: {run.ended}"] if run.ended != "complete" else []
    notes += run.warnings
    for cell in cells:
        label = cell.label
        answered = cell.statuses.get("ok", 0)
        if answered < cell.requests:
            what = ", ".join(f"{count} {status}" for status, count in cell.statuses.items() if status != "ok")
            notes.append(f"{label}: {what} of {cell.requests}; the figures are of the {answered} answered")
        total, ttft = cell.metrics.get("total_ms"), cell.metrics.get("ttft_ms")
        if ttft is not None and cell.dispatch_p99_ms > LATE_SHARE * ttft.quantiles["p50"].value:
            notes.append(
                f"{label}: the benchmark itself was late (p99 {cell.dispatch_p99_ms:.1f} ms); its figures hold that"
            )
        if ttft is not None and abs(ttft.autocorrelation) > 2.6 / math.sqrt(max(ttft.mean.samples, 1)):
            notes.append(
                f"{label}: neighbouring requests resemble each other (rank correlation {ttft.autocorrelation:+.2f}); "
                "the intervals are narrower than the truth"
            )
        if cell.opened:
            notes.append(f"{label}: {cell.opened} requests had to open a connection; raise the connections made ahead")
        if cell.first is not None and cell.first.is_spike:
            notes.append(
                f"{label}: the first request's TTFT was {cell.first.ttft_ms:.0f} ms, {cell.first.times_median:.1f} × "
                "the median of the others; it stands apart and is in no figure"
            )
        for metric in (ttft, total):
            if metric is not None and metric.outliers:
                shown = ", ".join(f"#{o.sequence} {o.value_ms:.0f} ms" for o in metric.outliers[:5])
                notes.append(
                    f"{label}: {len(metric.outliers)} outlier{'s' if len(metric.outliers) > 1 else ''} in "
                    f"{METRICS[metric.metric]} ({shown}), all kept"
                )
        if cell.cache_hit_share is not None and run.arms[cell.arm].cache == "read" and cell.cache_hit_share < 1:
            notes.append(f"{label}: only {cell.cache_hit_share:.0%} of the requests found the prompt cache")
    return notes


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
