r"""The tail beyond the data: a generalised Pareto law above a high threshold, with the doubt about its parameters.

Excesses over a high threshold follow a generalised Pareto law whatever the body looks like (Pickands 1975; Balkema and
de Haan 1974). With few excesses its shape is hardly known, so the fit is a posterior on a grid, from which each
replication of a forecast draws its own tail, instead of one best guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from simulator.quantiles import FloatArray

SHAPE_PRIOR_SD: Final = 0.15
"""Prior of the shape on the scale of log latency: normal around 0 (an exponential tail of the logarithm, thus a power
law of the latency; a lognormal is lighter, slightly below 0). It keeps five excesses from claiming anything."""

_SHAPES: Final = np.linspace(-0.6, 0.45, 22)
_SCALE_STEPS: Final = 41


@dataclass(frozen=True)
class GeneralisedPareto:
    """One generalised Pareto law of excesses: ``shape`` (0: exponential), ``scale`` (above 0, unit of the excess)."""

    shape: float
    scale: float

    def quantile(self, level: FloatArray) -> FloatArray:
        """Give the excess at each of ``level``, in [0, 1)."""
        log_survival = np.log1p(-level)
        if abs(self.shape) < 1e-9:
            return np.asarray(-self.scale * log_survival, dtype=np.float64)
        return np.asarray(self.scale * np.expm1(-self.shape * log_survival) / self.shape, dtype=np.float64)

    def above(self, excess: float) -> GeneralisedPareto:
        """Give the law of what exceeds ``excess`` further (threshold stability)."""
        return GeneralisedPareto(self.shape, max(self.scale + self.shape * excess, 0.05 * self.scale))


@dataclass(frozen=True, eq=False)
class TailFit:
    """The posterior of a tail on a grid of shapes and scales; ``weights`` sums to 1, shape ``(grid,)`` each."""

    shapes: FloatArray = field(repr=False)
    scales: FloatArray = field(repr=False)
    weights: FloatArray = field(repr=False)
    excesses: int

    @property
    def mean_shape(self) -> float:
        """Posterior mean of the shape."""
        return float(self.shapes @ self.weights)

    def draw(self, rng: np.random.Generator) -> GeneralisedPareto:
        """Draw one law from the posterior."""
        index = int(np.searchsorted(np.cumsum(self.weights), rng.random()))
        index = min(index, self.weights.size - 1)
        return GeneralisedPareto(float(self.shapes[index]), float(self.scales[index]))


def fit_tail(excesses: FloatArray) -> TailFit:
    """Fit a tail to ``excesses`` (0 or more, at least one above 0), shape ``(k,)``.

    The prior is normal in the shape (:data:`SHAPE_PRIOR_SD`) and flat in the logarithm of the scale.
    """
    mean = float(excesses.mean())
    # A scale outside mean / 20 … 5 × mean has no weight left, whatever the shape.
    log_scales = np.log(mean) + np.linspace(math.log(0.05), math.log(5.0), _SCALE_STEPS)
    shapes, scales = (grid.ravel() for grid in np.meshgrid(_SHAPES, np.exp(log_scales), indexing="ij"))
    ratio = 1.0 + shapes[:, None] * excesses[None, :] / scales[:, None]
    inside = np.all(ratio > 0.0, axis=1)
    log_ratio = np.log(np.where(ratio > 0.0, ratio, 1.0)).sum(axis=1)
    exponential = np.abs(shapes) < 1e-9
    safe_shapes = np.where(exponential, 1.0, shapes)
    log_likelihood = np.where(
        exponential, -excesses.sum() / scales, -(1.0 + 1.0 / safe_shapes) * log_ratio
    ) - excesses.size * np.log(scales)
    log_posterior = np.where(inside, log_likelihood - 0.5 * (shapes / SHAPE_PRIOR_SD) ** 2, -np.inf)
    weights = np.exp(log_posterior - log_posterior.max())
    return TailFit(shapes, scales, weights / weights.sum(), int(excesses.size))
