"""Metric observations by metric, and the statistics that CloudWatch gives of them."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MetricKey = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name, and the dimensions in order."""

_PERCENTILE: Final = re.compile(r"(?P<kind>p|tm|wm|tc|ts)(?P<high>\d{1,2}(?:\.\d{1,10})?|100)")
_RANGE: Final = re.compile(r"(?P<kind>TM|WM|TC|TS|PR)\((?P<low>[\d.]*%?):(?P<high>[\d.]*%?)\)")


def metric_key(namespace: str, name: str, dimensions: Mapping[str, str]) -> MetricKey:
    """Give the identity of a metric: exactly these dimensions, in any order."""
    return namespace, name, tuple(sorted(dimensions.items()))


@dataclass(frozen=True, order=True)
class Observation:
    """One value, or a summary of several (a *statistic set*), at one time."""

    timestamp_s: float
    total: float
    low: float
    high: float
    count: float = 1.0
    unit: str | None = None

    @classmethod
    def single(cls, timestamp_s: float, value: float, unit: str | None = None, count: float = 1.0) -> Observation:
        """Make the observation of one value, seen ``count`` times."""
        return cls(timestamp_s, value * count, value, value, count, unit)


class MetricSeries:
    """All observations, one list in order of time for each metric."""

    def __init__(self) -> None:
        self._series: dict[MetricKey, list[Observation]] = {}

    def add(self, key: MetricKey, observation: Observation) -> None:
        """Add one observation; most come in order of time, so this is an append."""
        series = self._series.setdefault(key, [])
        if not series or series[-1].timestamp_s <= observation.timestamp_s:
            series.append(observation)
        else:
            insort(series, observation, key=lambda known: known.timestamp_s)

    def keys(self) -> list[MetricKey]:
        """Give every metric that has been observed."""
        return list(self._series)

    def between(self, key: MetricKey, start_s: float, end_s: float, unit: str | None = None) -> list[Observation]:
        """Give the observations of a metric with ``start_s`` ≤ time < ``end_s``."""
        series = self._series.get(key, [])
        first = bisect_left(series, start_s, key=lambda known: known.timestamp_s)
        last = bisect_left(series, end_s, key=lambda known: known.timestamp_s)
        found = series[first:last]
        return found if unit is None else [known for known in found if known.unit == unit]


def by_period(observations: Iterable[Observation], period_s: int) -> list[tuple[float, list[Observation]]]:
    """Group observations in order of time into periods; empty periods are left out.

    Periods begin at multiples of ``period_s`` from the epoch, as CloudWatch's do.
    """
    groups: dict[float, list[Observation]] = {}
    for observation in observations:
        groups.setdefault(math.floor(observation.timestamp_s / period_s) * period_s, []).append(observation)
    return sorted(groups.items())


def is_statistic(name: str) -> bool:
    """Say whether a statistic of this name exists here."""
    return name in _SIMPLE or name == "IQM" or bool(_PERCENTILE.fullmatch(name) or _RANGE.fullmatch(name))


def statistic(name: str, observations: list[Observation]) -> float | None:
    """Compute one statistic of the observations of a period (CloudWatch user guide, "Statistics definitions").

    Parameters
    ----------
    name
        ``SampleCount``, ``Sum``, ``Average``, ``Minimum``, ``Maximum``; ``p99.9``; trimmed mean, winsorized mean,
        trimmed count and sum up to a percentile (``tm90``, ``wm90``, ``tc90``, ``ts90``) or within bounds
        (``TM(10%:90%)``, ``TC(0.005:0.030)``); percentile rank (``PR(:300)``); ``IQM``.
    observations
        At least one. A statistic set counts as spread evenly between its minimum and maximum only for the five
        simple statistics; the others need single values and give None without them, as CloudWatch does.

    Returns
    -------
    float or None
        None where the name is unknown or there is nothing to compute it from.
    """
    if name in _SIMPLE:
        return _SIMPLE[name](observations)
    if any(known.low != known.high for known in observations):
        return None
    values = sorted((known.low, known.count) for known in observations)
    if name == "IQM":
        return _within(values, "TM", 25.0, 75.0)
    if match := _PERCENTILE.fullmatch(name):
        high = float(match["high"])
        return percentile(values, high) if match["kind"] == "p" else _within(values, match["kind"].upper(), 0.0, high)
    if match := _RANGE.fullmatch(name):
        lower, upper = str(match["low"]), str(match["high"])
        if "%" in lower + upper and match["kind"] != "PR":
            return _within(values, match["kind"], float(lower.rstrip("%") or 0), float(upper.rstrip("%") or 100))
        return _between(values, match["kind"], float(lower or "-inf"), float(upper or "inf"))
    return None


_SIMPLE: Final[Mapping[str, Callable[[list[Observation]], float]]] = {
    "SampleCount": lambda found: sum(known.count for known in found),
    "Sum": lambda found: math.fsum(known.total for known in found),
    "Average": lambda found: math.fsum(known.total for known in found) / sum(known.count for known in found),
    "Minimum": lambda found: min(known.low for known in found),
    "Maximum": lambda found: max(known.high for known in found),
}


def percentile(values: list[tuple[float, float]], percent: float) -> float:
    """Give the value below which ``percent`` of the weight lies, interpolated between neighbours.

    The k-th of n values stands at 100 (k − 1) / (n − 1) percent, so that p0 is the minimum and p100 the maximum.
    CloudWatch's own estimate comes from a sketch; they agree where a period holds enough values to speak of a
    percentile.
    """
    total = sum(count for _, count in values)
    rank = percent / 100.0 * (total - 1)
    before = 0.0
    for (value, count), (following, _) in pairwise([*values, values[-1]]):
        if rank <= before + count - 1:
            return value
        if rank < before + count:
            return value + (rank - (before + count - 1)) * (following - value)
        before += count
    return values[-1][0]


def _within(values: list[tuple[float, float]], kind: str, low_percent: float, high_percent: float) -> float | None:
    low, high = percentile(values, low_percent), percentile(values, high_percent)
    if kind == "WM":
        total = sum(count for _, count in values)
        return math.fsum(min(max(value, low), high) * count for value, count in values) / total
    inside = [(value, count) for value, count in values if low <= value <= high]
    return _of(inside, kind)


def _between(values: list[tuple[float, float]], kind: str, low: float, high: float) -> float | None:
    # The lower bound is outside, the upper one inside (user guide).
    inside = [(value, count) for value, count in values if low < value <= high]
    if kind == "PR":
        return 100.0 * sum(count for _, count in inside) / sum(count for _, count in values)
    if kind == "WM":
        total = sum(count for _, count in values)
        return math.fsum(min(max(value, low), high) * count for value, count in values) / total
    return _of(inside, kind)


def _of(inside: list[tuple[float, float]], kind: str) -> float | None:
    count = sum(weight for _, weight in inside)
    total = math.fsum(value * weight for value, weight in inside)
    if kind == "TC":
        return count
    if kind == "TS":
        return total
    return total / count if count else None
