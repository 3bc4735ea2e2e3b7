"""One arm's figure with its confidence sequence: what a reason shows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from replay.canary.batch import Tally
from replay.canary.histogram import value_at_rank
from replay.canary.plan import COST, ObjectiveSpec
from replay.canary.reference import Reference
from replay.canary.sequential import quantile_ranks, rate_interval

_ALPHA = 0.05
"""The intervals shown hold at all looks at once with probability 95 %."""


@dataclass(frozen=True)
class ArmFigure:
    """A figure, its interval (None where the sample does not bound it), its unit and how many requests it speaks of."""

    estimate: float
    low: float | None
    high: float | None
    unit: str
    requests: int

    def format(self, value: float) -> str:
        """Write a value in the figure's unit."""
        if self.unit == "share":
            return f"{value * 100:.3g} %"
        return f"{value:.0f} ms" if self.unit == "ms" else f"{value:.3g} USD"

    def __str__(self) -> str:
        """Write figure and interval: ``2.1 % [1.3 %, 3.2 %]``."""
        low = "?" if self.low is None else self.format(self.low)
        high = "?" if self.high is None else self.format(self.high)
        interval = "" if self.unit == "usd" else f" [{low}, {high}]"
        return f"{self.format(self.estimate)}{interval} (n = {self.requests})"

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return asdict(self)


def figure_of(spec: ObjectiveSpec, tally: Tally, reference: Reference) -> ArmFigure | None:
    """Give the figure of ``spec`` from a tally; None where it holds nothing about it.

    A quantile comes from the histogram. Where only counts over limits were kept, the share over the threshold is given
    instead, which is what the test rests on.
    """
    if spec.metric == COST:
        total, of = tally.sums.get(COST, (0.0, 0))
        return ArmFigure(total / of * 1000, None, None, "usd", of) if of else None
    if not spec.is_quantile:
        return _rate(*tally.counts.get(spec.metric, (0, 0)))
    buckets = tally.histograms.get(spec.column)
    if buckets:
        n = sum(buckets.values())
        low, high = quantile_ranks(spec.probability, n, _ALPHA)
        estimate = value_at_rank(buckets, max(1, math.ceil(spec.probability * n)))
        return ArmFigure(
            estimate,
            None if low is None else value_at_rank(buckets, low),
            None if high is None else value_at_rank(buckets, high),
            "ms",
            n,
        )
    name = f"{spec.metric}>tolerance" if spec.metric in reference.threshold_ms else f"{spec.metric}>max"
    return _rate(*tally.counts.get(name, (0, 0)))


def _rate(events: int, requests: int) -> ArmFigure | None:
    if not requests:
        return None
    low, high = rate_interval(events, requests, _ALPHA)
    return ArmFigure(events / requests, low, high, "share", requests)
