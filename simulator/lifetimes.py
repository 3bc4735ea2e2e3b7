"""How old an environment becomes: the second way, beside idling, to end.

AWS recycles environments that are never idle for long: in recordings of 2020 none outlived 7,400 seconds, and one in a
few hours ended without a reason that a trace shows. The law is a hazard by age, constant within
stretches (a piecewise exponential law), with a gamma prior that keeps short recordings from claiming much.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from simulator.quantiles import FloatArray

EDGES_S: Final[FloatArray] = np.array([*np.arange(0.0, 6601.0, 600.0), 7000.0, 7400.0])
"""Ages between which the hazard is constant; the last stretch has no end."""
PRIOR_HAZARD_PER_S: Final[FloatArray] = np.array([1.0 / 14_400.0] * 12 + [1.0 / 400.0, 1.0 / 200.0])
"""What is taken for likely before a trace has spoken: an end in four hours, and hardly a life beyond 7,400 s. So it was
in recordings of 2020 (28 h each): environments were reused up to an age of 7,328 s, never later."""
_PRIOR_ENDS: Final = 0.1
"""How many observed ends the prior is worth in each stretch."""


@dataclass(frozen=True, eq=False)
class LifetimeFit:
    """Ends and time at risk by age.

    Parameters
    ----------
    ends
        Expected number of environments that ended by age in each stretch of :data:`EDGES_S`, shape ``(stretches,)``.
    exposure_s
        Time that environments spent in it, shape ``(stretches,)``.
    """

    ends: FloatArray = field(repr=False)
    exposure_s: FloatArray = field(repr=False)

    def draw(self, rng: np.random.Generator) -> DrawnLifetime:
        """Draw one version of the law from the posterior (gamma, stretch by stretch)."""
        shape = self.ends + _PRIOR_ENDS
        # A hazard of nothing would let the last environments live for ever; a year is long enough.
        return DrawnLifetime(np.maximum(self.mean().hazard * rng.standard_gamma(shape) / shape, 1.0 / (365 * 86400.0)))

    def mean(self) -> DrawnLifetime:
        """Give the law at the posterior mean."""
        return DrawnLifetime((self.ends + _PRIOR_ENDS) / (self.exposure_s + _PRIOR_ENDS / PRIOR_HAZARD_PER_S))


@dataclass(frozen=True, eq=False)
class DrawnLifetime:
    """One version of the law: a hazard per second in each stretch of :data:`EDGES_S`, all above 0."""

    hazard: FloatArray = field(repr=False)

    def cumulative(self, age_s: FloatArray) -> FloatArray:
        """Give the hazard summed up to each age; the probability to live longer is exp(−this)."""
        beyond = np.maximum(age_s - EDGES_S[-1], 0.0) * self.hazard[-1]
        return np.asarray(np.interp(age_s, EDGES_S, self._steps) + beyond, dtype=np.float64)

    def at(self, uniforms: FloatArray) -> FloatArray:
        """Give the age in seconds at which an environment ends, at each of ``uniforms`` in [0, 1)."""
        wanted = -np.log1p(-uniforms)
        beyond = np.maximum(wanted - self._steps[-1], 0.0) / self.hazard[-1]
        return np.asarray(np.interp(wanted, self._steps, EDGES_S) + beyond, dtype=np.float64)

    @property
    def _steps(self) -> FloatArray:
        return np.concatenate([[0.0], np.cumsum(np.diff(EDGES_S) * self.hazard[:-1])])


def fit_lifetime(
    from_s: FloatArray, to_s: FloatArray, share: FloatArray, law: DrawnLifetime | None = None
) -> LifetimeFit:
    """Count ends and exposure by age.

    Parameters
    ----------
    from_s, to_s
        Ages between which each environment was at risk, shape ``(k,)``.
    share
        Expected number (0 to 1) of ends by age in each of these stretches, shape ``(k,)``.
    law
        The law by which an end lies within its stretch; None for evenly.
    """
    until_s = np.append(EDGES_S[1:], np.inf)
    within_s = np.maximum(np.minimum(to_s[:, None], until_s) - np.maximum(from_s[:, None], EDGES_S), 0.0)
    weight = within_s * (law.hazard if law is not None else 1.0)
    total = weight.sum(axis=1)
    spread = np.divide(weight, total[:, None], out=np.zeros_like(weight), where=total[:, None] > 0.0)
    # Of a stretch in which it ended, an environment lived half on average.
    lived_s = within_s * (1.0 - 0.5 * share[:, None])
    return LifetimeFit((spread * share[:, None]).sum(axis=0), lived_s.sum(axis=0))
