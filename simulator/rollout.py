"""The rollout: which share of the requests goes to the second version, over time."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from simulator.errors import ParameterError
from simulator.quantiles import FloatArray


@dataclass(frozen=True)
class Stage:
    """From ``start_s`` on, a request goes to the second version with probability ``weight``."""

    start_s: float
    weight: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.start_s):
            raise ParameterError(f"start_s={self.start_s!r} must be a number of seconds")
        check_weight(self.weight)


@dataclass(frozen=True)
class Rollout:
    """The weights of the alias over time: stages in order of time, the first one reaching back to the beginning."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise ParameterError("a rollout needs at least one stage")
        starts_s = [stage.start_s for stage in self.stages]
        if any(later <= earlier for earlier, later in itertools.pairwise(starts_s)):
            raise ParameterError(f"stages start at {starts_s}; each must start after the one before")

    @classmethod
    def constant(cls, weight: float) -> Rollout:
        """Give the rollout that keeps one weight."""
        return cls((Stage(0.0, weight),))

    def weights_at(self, time_s: FloatArray) -> FloatArray:
        """Give the weight at each of ``time_s``, any shape."""
        starts_s = np.array([stage.start_s for stage in self.stages])
        weights = np.array([stage.weight for stage in self.stages])
        index = np.searchsorted(starts_s, time_s, side="right") - 1
        return weights[np.maximum(index, 0)]


def check_weight(weight: float) -> float:
    """Give ``weight`` back if it is a probability.

    Raises
    ------
    ParameterError
        It is outside [0, 1] or not a number.
    """
    if not 0.0 <= weight <= 1.0:
        raise ParameterError(f"weight {weight!r} is outside 0 to 1; 0.1 sends every tenth request to the candidate")
    return weight
