r"""Levels of groups: every execution environment has a speed of its own, and a short trace shows few of them.

Two environments of one version run on different hosts, so that the same request takes a percent more in one than in the
other, for as long as it lives. Requests of one environment are thus alike, and a trace of a thousand requests in ten
environments says less about the level than a thousand independent ones would. The model is one-way random effects:
a request's logarithm is :math:`y_{ij} = \mu + b_i + e_{ij}`, with :math:`b_i` normal around 0 with deviation s. As in
``drift.py``, s has a posterior on a grid, with a quarter of the prior on exactly 0, so that environments that do not
differ (a handler that waits for a model) widen nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from simulator.draws import IntArray
from simulator.quantiles import FloatArray

MIN_GROUPS: Final = 4
"""Fewer groups than this say nothing of how groups differ."""
_NO_SPREAD_PRIOR: Final = 0.25
_SD_STEPS: Final = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4, 2.0])
_PRIOR_SCALE: Final = 0.5
_HELD_DEVIATIONS: Final = 3.0


@dataclass(frozen=True, eq=False)
class LevelFit:
    """The posterior of how groups differ.

    Parameters
    ----------
    sds, weights
        The grid: deviation between groups (unit of the values) and its posterior weight, shape ``(grid,)`` each.
    doubts
        For each of them, how far the common level may lie from the pooled one because few groups were seen, beyond
        what resampling the requests shows already; shape ``(grid,)``.
    departures
        Each request's posterior mean of its group's departure, shape ``(n,)``.
    groups
        How many groups there are.
    """

    sds: FloatArray = field(repr=False)
    weights: FloatArray = field(repr=False)
    doubts: FloatArray = field(repr=False)
    departures: FloatArray = field(repr=False)
    groups: int

    @property
    def mean_sd(self) -> float:
        """Posterior mean of the deviation between groups."""
        return float(self.sds @ self.weights)

    @property
    def mean_square(self) -> float:
        """Posterior mean of the variance between groups."""
        return float(self.sds**2 @ self.weights)

    def draw(self, rng: np.random.Generator) -> tuple[float, float]:
        """Draw a deviation between groups, and a shift of the common level that agrees with it."""
        index = min(int(np.searchsorted(np.cumsum(self.weights), rng.random())), self.weights.size - 1)
        return float(self.sds[index]), float(self.doubts[index] * rng.standard_normal())


def fit_levels(values: FloatArray, groups: IntArray) -> LevelFit | None:
    """Fit how the levels of groups differ.

    Parameters
    ----------
    values
        Shape ``(n,)``, on a scale on which levels add (logarithms).
    groups
        Group of each value, 0 or more; −1 where it is not known. Shape ``(n,)``.

    Returns
    -------
    LevelFit or None
        None with fewer than :data:`MIN_GROUPS` groups, no group of two, or no spread.
    """
    known = groups >= 0
    names, code, sizes = np.unique(groups[known], return_inverse=True, return_counts=True)
    if names.size < MIN_GROUPS or int(sizes.max(initial=0)) < 2:
        return None
    # One request in a thousand takes ten times as long: held to three deviations, it does not move its group.
    middle = float(np.median(values))
    deviation = float(np.quantile(values, 0.84) - np.quantile(values, 0.16)) / 2.0
    if deviation <= 0.0:
        return None
    held = np.clip(values[known], middle - _HELD_DEVIATIONS * deviation, middle + _HELD_DEVIATIONS * deviation)
    means = np.bincount(code, held) / sizes
    within = float(np.sum((held - means[code]) ** 2)) / max(int(known.sum()) - names.size, 1)
    if within <= 0.0:
        return None
    errors = within / sizes
    sds = _SD_STEPS * deviation
    density = _SD_STEPS[1:] / (1.0 + (_SD_STEPS[1:] / _PRIOR_SCALE) ** 2)
    prior = np.concatenate([[_NO_SPREAD_PRIOR], (1.0 - _NO_SPREAD_PRIOR) * density / density.sum()])
    log_posterior = np.log(prior)
    departures = np.zeros((sds.size, names.size))
    for index, sd in enumerate(sds):
        precision = 1.0 / (sd**2 + errors)
        level = float(means @ precision) / float(precision.sum())
        # Restricted likelihood: the common level is integrated out.
        log_posterior[index] += 0.5 * float(
            np.log(precision).sum() - math.log(float(precision.sum())) - precision @ (means - level) ** 2
        )
        departures[index] = sd**2 * precision * (means - level)
    weights = np.exp(log_posterior - log_posterior.max())
    weights /= weights.sum()
    by_request = np.zeros(values.size)
    by_request[known] = (weights @ departures)[code]
    # Busy environments may be slower than others, so requests are what the common level is over, not environments.
    by_request[known] -= by_request[known].mean()
    doubts = sds * math.sqrt(clustering(groups))
    return LevelFit(sds, weights, doubts, by_request, int(names.size))


def clustering(groups: IntArray) -> float:
    """Give how much groups, rather than requests, make up a mean: the sum of squared shares; 0 where none is known."""
    known = groups[groups >= 0]
    if not known.size:
        return 0.0
    shares = np.unique(known, return_counts=True)[1] / groups.size
    return float((shares**2).sum())
