"""A forecast held against what happened: figure by figure, inside the interval or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simulator.figures import Figure


@dataclass(frozen=True)
class ComparisonRow:
    """One figure, forecast and observed.

    ``inside`` is None where one of the two is missing. ``width`` is high − low in the metric's unit, ``width_share``
    the same over the estimate (None where that is 0), ``error_share`` is (estimate − observed) / observed.
    """

    step: str
    variant: str
    metric: str
    estimate: float | None
    low: float | None
    high: float | None
    observed: float | None
    inside: bool | None
    width: float | None
    width_share: float | None
    error_share: float | None
    requests_forecast: int
    requests_observed: int
    note: str | None


@dataclass(frozen=True)
class Comparison:
    """All rows, and how often the intervals held.

    ``checked`` counts the rows with both sides, ``inside`` those of them whose observation lies in its interval,
    ``coverage`` is inside / checked (None without any). ``mean_width_share`` and ``mean_error_share`` give, by metric,
    the mean relative width and the mean absolute relative error.
    """

    rows: tuple[ComparisonRow, ...]
    checked: int
    inside: int
    coverage: float | None
    mean_width_share: dict[str, float]
    mean_error_share: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON types."""
        return asdict(self)


def compare(forecast: Sequence[Figure], observed: Sequence[Figure]) -> Comparison:
    """Join ``forecast`` and ``observed`` by step, variant and metric, in the order of ``forecast``.

    A figure that only one side has appears with the other side empty.
    """
    seen = {(figure.step, figure.variant, figure.metric): figure for figure in observed}
    foreseen = {(figure.step, figure.variant, figure.metric) for figure in forecast}
    rows = [_row(figure, seen.get((figure.step, figure.variant, figure.metric))) for figure in forecast]
    rows += [_row(None, figure) for key, figure in seen.items() if key not in foreseen]
    verdicts = [row.inside for row in rows if row.inside is not None]
    return Comparison(
        rows=tuple(rows),
        checked=len(verdicts),
        inside=sum(verdicts),
        coverage=sum(verdicts) / len(verdicts) if verdicts else None,
        mean_width_share=_means([(row.metric, row.width_share) for row in rows if row.inside is not None]),
        mean_error_share=_means(
            [
                (row.metric, abs(row.error_share))
                for row in rows
                if row.inside is not None and row.error_share is not None
            ]
        ),
    )


def _row(forecast: Figure | None, observed: Figure | None) -> ComparisonRow:
    one = forecast or observed
    assert one is not None  # noqa: S101  (both None would be a row about nothing)
    estimate, low, high = (forecast.estimate, forecast.low, forecast.high) if forecast else (None, None, None)
    value = observed.estimate if observed else None
    inside = low <= value <= high if low is not None and high is not None and value is not None else None
    width = high - low if low is not None and high is not None else None
    notes = [figure.note for figure in (forecast, observed) if figure is not None and figure.note]
    return ComparisonRow(
        step=one.step,
        variant=one.variant,
        metric=one.metric,
        estimate=estimate,
        low=low,
        high=high,
        observed=value,
        inside=inside,
        width=width,
        width_share=width / estimate if width is not None and estimate else None,
        error_share=(estimate - value) / value if estimate is not None and value else None,
        requests_forecast=forecast.requests if forecast else 0,
        requests_observed=observed.requests if observed else 0,
        note="; ".join(dict.fromkeys(notes)) or None,
    )


def _means(pairs: Sequence[tuple[str, float | None]]) -> dict[str, float]:
    by_metric: dict[str, list[float]] = {}
    for metric, value in pairs:
        if value is not None:
            by_metric.setdefault(metric, []).append(value)
    return {metric: math.fsum(values) / len(values) for metric, values in by_metric.items()}
