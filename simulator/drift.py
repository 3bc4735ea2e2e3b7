r"""Drift: how a level that was measured window by window wanders, and where it may stand later.

The model of a level at time t is :math:`y(t) = \mu + z(t)`, with z a stationary Ornstein-Uhlenbeck process (Gaussian,
correlation :math:`e^{-|\Delta t| / \theta}`, standard deviation s) and each window's measurement carrying its own
known error. It covers what traces show: windows that differ at random (small θ), a level that stays where it wandered
to (large θ), and no drift at all (s = 0, which has a prior weight of its own, so that undrifting data do not widen an
interval). s and θ are never fixed: their posterior lies on a grid, and each replication of a forecast draws its own
pair, then a path that agrees with the windows measured (Rasmussen and Williams, Gaussian Processes for Machine
Learning, sections 2.2, 2.7 and 4.2.1). So the doubt grows with the distance from the data, up to what they say about s.

What is drawn is the level's *departure from its mean over the windows*: μ itself is what the pooled sample shows, and
resampling that sample carries the doubt about μ already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.quantiles import FloatArray

_SD_STEPS: Final = np.array([0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 0.65, 1.0, 1.5])
_THETA_STEPS: Final = np.array([0.05, 0.125, 1.0 / 3.0, 1.0, 3.0])
NO_DRIFT_PRIOR: Final = 0.5
_PRIOR_SCALE: Final = 0.1
_LEAST_ERROR: Final = 1e-6
"""Error of a window that counts as none, as a share of the largest drift."""
_LIKE_SHARE: Final = 0.5
"""How far one variant's drift is taken to be the other's: same function, region and hour, another model."""


@dataclass(frozen=True, eq=False)
class DriftFit:
    """The posterior of a drifting level.

    Parameters
    ----------
    time_s, value, error
        The windows: when, the level measured, the standard error of that measurement; shape ``(windows,)`` each.
    sds, thetas_s, weights
        The grid: standard deviation of the drift, its correlation time, posterior weight; shape ``(grid,)`` each.
    """

    time_s: FloatArray = field(repr=False)
    value: FloatArray = field(repr=False)
    error: FloatArray = field(repr=False)
    sds: FloatArray = field(repr=False)
    thetas_s: FloatArray = field(repr=False)
    weights: FloatArray = field(repr=False)

    @property
    def mean_sd(self) -> float:
        """Posterior mean of the drift's standard deviation, in the unit of the level."""
        return float(self.sds @ self.weights)

    @property
    def drift_probability(self) -> float:
        """Posterior probability that the level drifts at all."""
        return float(self.weights[self.sds > 0.0].sum())

    @cached_property
    def departures(self) -> FloatArray:
        """Posterior mean of each window's departure from the mean over the windows, shape ``(windows,)``."""
        level = np.zeros(self.time_s.size)
        believable = np.flatnonzero(self.weights > 1e-4)
        for index in believable:
            level += self.weights[index] * self._departure(int(index), self.time_s)[0]
        return level / float(self.weights[believable].sum())

    def at(self, future_s: FloatArray) -> DriftPaths:
        """Prepare paths at ``future_s``, shape ``(m,)``."""
        return DriftPaths(self, future_s)

    def _departure(self, index: int, at_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give mean ``(m,)`` and covariance ``(m, m)`` of the departure at ``at_s``, given the windows."""
        windows = self.time_s.size
        mean, covariance = self._level(index, np.concatenate([at_s, self.time_s]))
        contrast = np.hstack([np.eye(at_s.size), np.full((at_s.size, windows), -1.0 / windows)])
        return contrast @ mean, contrast @ covariance @ contrast.T

    def _level(self, index: int, at_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give mean ``(m,)`` and covariance ``(m, m)`` of the level at ``at_s``, given the windows."""
        sd, theta_s = float(self.sds[index]), float(self.thetas_s[index])
        noise = _kernel(self.time_s, self.time_s, sd, theta_s) + np.diag(self.error**2)
        cross = _kernel(at_s, self.time_s, sd, theta_s)
        solved = np.linalg.solve(noise, np.column_stack([self.value, np.ones_like(self.value), cross.T]))
        # The mean level μ has a flat prior: generalised least squares, and its own doubt is added to the covariance.
        precision = float(solved[:, 1].sum())
        level = float(solved[:, 0].sum()) / precision
        mean = level + cross @ (solved[:, 0] - level * solved[:, 1])
        unexplained = 1.0 - cross @ solved[:, 1]
        covariance = (
            _kernel(at_s, at_s, sd, theta_s) - cross @ solved[:, 2:] + np.outer(unexplained, unexplained) / precision
        )
        return mean, covariance


class DriftPaths:
    """Draws paths of a drifting level's departure at fixed times."""

    def __init__(self, fit: DriftFit, future_s: FloatArray) -> None:
        self._fit = fit
        self.future_s = future_s
        self._prepared: dict[int, tuple[FloatArray, FloatArray]] = {}
        self._cumulative = np.cumsum(fit.weights)

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw the departure at each of the times, shape ``(m,)``."""
        index = min(int(np.searchsorted(self._cumulative, rng.random())), self._cumulative.size - 1)
        if index not in self._prepared:
            mean, covariance = self._fit._departure(index, self.future_s)  # noqa: SLF001  (two halves of one idea)
            values, vectors = np.linalg.eigh(covariance)
            self._prepared[index] = mean, vectors * np.sqrt(np.maximum(values, 0.0))
        mean, root = self._prepared[index]
        return np.asarray(mean + root @ rng.standard_normal(mean.size), dtype=np.float64)


def fit_drift(
    time_s: FloatArray,
    value: FloatArray,
    error: FloatArray,
    *,
    scale: float,
    no_drift: float = NO_DRIFT_PRIOR,
    like: DriftFit | None = None,
) -> DriftFit:
    """Fit the drift of a level.

    Parameters
    ----------
    time_s, value, error
        The windows, shape ``(windows,)`` each, at least one; the errors above 0.
    scale
        What a large drift would be, in the unit of ``value``: the spread within a window.
    no_drift
        Prior probability of no drift at all; the rest of the prior of the drift's standard deviation is half-Cauchy
        with a tenth of ``scale``.
    like
        The drift of something that may drift alike, in the same unit: half of the prior is its posterior. So a short
        recording, which cannot see a slow drift, does not rule one out that a longer one beside it shows.
    """
    span_s = max(float(time_s[-1] - time_s[0]), 1e-9)
    sds, thetas_s = [0.0], [span_s]
    prior = [no_drift]
    steps = _SD_STEPS[1:]
    # Each grid point stands for its stretch of a logarithmic axis: density × value × (equal) step.
    density = steps / (1.0 + (steps / _PRIOR_SCALE) ** 2)
    density = (1.0 - no_drift) * density / density.sum()
    for step, mass in zip(steps, density, strict=True):
        for theta_step in _THETA_STEPS:
            sds.append(step * scale)
            thetas_s.append(theta_step * span_s)
            prior.append(mass / _THETA_STEPS.size)
    if like is not None:
        believable = like.weights > 1e-6
        sds += like.sds[believable].tolist()
        thetas_s += like.thetas_s[believable].tolist()
        prior = [
            *((1.0 - _LIKE_SHARE) * mass for mass in prior),
            *(_LIKE_SHARE * like.weights[believable]).tolist(),
        ]
    # Windows of one time without any error between them would leave a covariance that nothing inverts.
    error = np.maximum(error, _LEAST_ERROR * max(sds))
    log_posterior = np.log(prior) + np.array(
        [_log_marginal(time_s, value, error, sd, theta_s) for sd, theta_s in zip(sds, thetas_s, strict=True)]
    )
    weights = np.exp(log_posterior - log_posterior.max())
    return DriftFit(time_s, value, error, np.array(sds), np.array(thetas_s), weights / weights.sum())


def _log_marginal(time_s: FloatArray, value: FloatArray, error: FloatArray, sd: float, theta_s: float) -> float:
    """Give the restricted log likelihood: the windows' with the mean level integrated out."""
    covariance = _kernel(time_s, time_s, sd, theta_s) + np.diag(error**2)
    _, log_determinant = np.linalg.slogdet(covariance)
    solved = np.linalg.solve(covariance, np.column_stack([value, np.ones_like(value)]))
    precision = float(solved[:, 1].sum())
    residual = float(value @ solved[:, 0]) - float(solved[:, 0].sum()) ** 2 / precision
    return -0.5 * (float(log_determinant) + math.log(precision) + residual)


def _kernel(left_s: FloatArray, right_s: FloatArray, sd: float, theta_s: float) -> NDArray[np.float64]:
    lag_s = np.abs(left_s[:, None] - right_s[None, :])
    return np.asarray(sd**2 * np.exp(-lag_s / theta_s), dtype=np.float64)
