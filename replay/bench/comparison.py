"""Which arm is faster: differences with intervals that hold for all pairs at once, and ranks that follow from them.

With k arms there are k (k - 1) / 2 pairs; at 95 % each, ten arms would show about two differences that are none. Here
each pair's interval is made at a confidence (Bonferroni) at which *all* of them hold together with the asked one, and
an arm is called faster only where its interval excludes 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

from numpy.typing import ArrayLike

from simulator.intervals import Estimate, difference_estimate, mean_estimate, quantile_estimate
from simulator.quantiles import CONFIDENCE, FloatArray

Statistic = Callable[[ArrayLike, float], Estimate]
"""Estimates one figure of a sample at a confidence."""


def mean() -> Statistic:
    """Compare means."""
    return mean_estimate


def quantile_at(level: float) -> Statistic:
    """Compare quantiles at ``level``."""

    def estimate(values: ArrayLike, confidence: float) -> Estimate:
        return quantile_estimate(values, level, confidence)

    return estimate


@dataclass(frozen=True)
class Difference:
    """Arm ``first`` minus arm ``second``, in the figure's unit, at a confidence that holds for all pairs at once."""

    first: str
    second: str
    estimate: Estimate

    @property
    def verdict(self) -> str:
        """``lower``, ``higher`` (the first against the second), ``unclear``, or ``too few`` samples to tell."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None:
            return "too few"
        if high < 0:
            return "lower"
        return "higher" if low > 0 else "unclear"


@dataclass(frozen=True)
class Rank:
    """Where an arm stands: every rank from ``best`` to ``worst`` is possible at the asked confidence; 1 is lowest."""

    arm: str
    best: int
    worst: int


def differences(
    samples: Mapping[str, FloatArray], statistic: Statistic, confidence: float = CONFIDENCE
) -> list[Difference]:
    """Compare every pair of arms; the intervals hold together with ``confidence``.

    Parameters
    ----------
    samples
        Arm → values, each of shape ``(n,)``, in one unit.
    statistic
        The figure to compare: :func:`mean` or :func:`quantile_at`.
    """
    pairs = list(combinations(samples, 2))
    if not pairs:
        return []
    each = 1.0 - (1.0 - confidence) / len(pairs)
    estimates = {name: statistic(values, each) for name, values in samples.items()}
    return [Difference(a, b, difference_estimate(estimates[a], estimates[b])) for a, b in pairs]


def ranks(samples: Mapping[str, FloatArray], statistic: Statistic, confidence: float = CONFIDENCE) -> list[Rank]:
    """Rank the arms, lowest first; the ranges hold together with ``confidence``.

    An arm's best rank is one more than the arms surely below it, its worst the number of arms not surely above it
    (Mogstad, Romano, Shaikh and Wilhelm 2024, "Inference for ranks"). Arms that cannot be told apart share a range.
    """
    below = dict.fromkeys(samples, 0)
    above = dict.fromkeys(samples, 0)
    for difference in differences(samples, statistic, confidence):
        if difference.verdict == "lower":
            above[difference.first] += 1
            below[difference.second] += 1
        elif difference.verdict == "higher":
            below[difference.first] += 1
            above[difference.second] += 1
    found = [Rank(name, below[name] + 1, len(samples) - above[name]) for name in samples]
    return sorted(found, key=lambda rank: (rank.best, rank.worst))


def beyond_fences(values: FloatArray, factor: float = 3.0) -> list[int]:
    """Give the positions of values beyond Tukey's outer fences: shown in a report, never dropped.

    The fences lie ``factor`` interquartile ranges outside the quartiles; fewer than 8 values have none.
    """
    if values.size < 8:
        return []
    low = quantile_estimate(values, 0.25).value
    high = quantile_estimate(values, 0.75).value
    reach = factor * (high - low)
    return [int(index) for index, value in enumerate(values) if value < low - reach or value > high + reach]
