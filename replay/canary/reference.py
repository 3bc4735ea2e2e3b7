"""The baseline as it was before the rollout: where the thresholds come from.

A threshold must be fixed before the data that it is applied to; then any threshold is a valid one, and a better one
only means more power.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.canary.plan import COST, ObjectiveSpec

_LEAST_EFFECT, _MOST_EFFECT = 1.5, 4.0
_LEAST_SOUND, _MOST_SOUND = 0.05, 0.8
_CAP_FACTOR = 5.0


@dataclass(frozen=True)
class Reference:
    """The baseline's history in the figures that the tests need.

    Parameters
    ----------
    requests
        How many requests it rests on.
    threshold_ms
        Quantile objective → the baseline's quantile.
    effect_odds
        Quantile objective → odds ratio of "slower than tolerated" that a regression as large as the margin makes.
    sound_odds
        Quantile objective → odds ratio of "beyond the margin" that an unchanged candidate has.
    rates
        Rate objective → the baseline's rate.
    cost_cap_usd
        Costs are cut to it.
    requests_per_s
        The traffic then.
    unseen
        Objectives that the source says nothing about; they are not judged.
    notes
        What a reader must know.
    """

    requests: int = 0
    threshold_ms: Mapping[str, float] = field(default_factory=dict)
    effect_odds: Mapping[str, float] = field(default_factory=dict)
    sound_odds: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    cost_cap_usd: float = 1.0
    requests_per_s: float = 0.0
    unseen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {**asdict(self), "unseen": list(self.unseen), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Reference:
        """Read back what :meth:`to_json` gave."""
        return cls(**{**document, "unseen": tuple(document["unseen"]), "notes": tuple(document["notes"])})


def reference_of(
    objectives: Sequence[ObjectiveSpec],
    latencies_ms: Mapping[str, NDArray[np.float64]],
    rates: Mapping[str, float],
    *,
    requests: int,
    requests_per_s: float,
    cost_usd: NDArray[np.float64] | None = None,
) -> Reference:
    """Fix the thresholds from the baseline's history.

    Parameters
    ----------
    latencies_ms
        Column → latencies of the answered requests; NaN is left out.
    rates
        Rate objective → the baseline's rate.
    """
    threshold: dict[str, float] = {}
    effect: dict[str, float] = {}
    sound: dict[str, float] = {}
    notes: list[str] = []
    unseen: list[str] = []
    for spec in objectives:
        if not spec.is_quantile:
            continue
        values = np.asarray(latencies_ms.get(spec.column, np.empty(0)), dtype=np.float64)
        values = values[np.isfinite(values)]
        if values.size == 0:
            notes.append(f"{spec.metric}: the baseline's history holds no {spec.column}, so it is not judged")
            unseen.append(spec.metric)
            continue
        if spec.tolerance is None or spec.margin is None:
            continue
        needed = round(10 / (1 - spec.probability))
        if values.size < needed:
            notes.append(f"{spec.metric}: threshold from {values.size} requests, {needed} would settle it")
        at_ms = float(np.quantile(values, spec.probability))
        threshold[spec.metric] = at_ms
        odds = _odds_over(values, at_ms)
        slowed = (1 + spec.margin) / (1 + spec.tolerance)
        effect[spec.metric] = _clamp(_odds_over(values, at_ms / slowed) / odds, _LEAST_EFFECT, _MOST_EFFECT)
        sound[spec.metric] = _clamp(_odds_over(values, at_ms * (1 + spec.margin)) / odds, _LEAST_SOUND, _MOST_SOUND)
    cap = 1.0
    if cost_usd is not None and np.isfinite(cost_usd).any():
        # Fixed from the past, so a bet on the cut cost stays bounded; a candidate 5 times as dear is found long before.
        # Where a limit is given, a mean over it must be able to show.
        limit_usd = max((spec.max or 0.0) / 1000 if spec.metric == COST else 0.0 for spec in objectives)
        cap = _CAP_FACTOR * max(float(np.nanquantile(cost_usd, 0.99)), limit_usd)
    elif any(spec.metric == COST for spec in objectives):
        notes.append(f"{COST}: the baseline's history holds no cost, so it is not judged")
        unseen.append(COST)
    return Reference(
        requests, threshold, effect, sound, dict(rates), cap or 1.0, requests_per_s, tuple(unseen), tuple(notes)
    )


def _odds_over(values: NDArray[np.float64], limit: float) -> float:
    # Half an event on both sides: a share of 0 or 1 in a finite sample is not one.
    over = float((values > limit).sum())
    return (over + 0.5) / (values.size - over + 0.5)


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
