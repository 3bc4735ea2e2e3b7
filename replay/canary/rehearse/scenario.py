"""What a rehearsal simulates: traffic, a baseline, and what is wrong with the candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.errors import ParameterError
from simulator.figures import latency_of
from simulator.trace import read_trace

Floats = NDArray[np.float64]

FUNCTION_TIMEOUT_MS: Final = 29_000.0
"""What the deployed function allows; a slower answer is a time-out."""

PUBLISHED_LEVELS: Final = (0.0, 0.50, 0.95, 0.99, 1.0)
PUBLISHED_MS: Final = (500.0, 650.0, 850.0, 1200.0, 3000.0)
"""Latency of the published baseline (API Gateway, Lambda and Claude 3 Haiku, 2025-12-30): p50 650, p95 850, p99
1,200 ms; the ends are ours."""


@dataclass(frozen=True)
class LatencyModel:
    """Latencies by their quantile function, interpolated in the logarithm.

    Parameters
    ----------
    levels
        Ascending from 0 to 1.
    values_ms
        The quantiles at these levels, ascending, positive.
    """

    levels: tuple[float, ...] = PUBLISHED_LEVELS
    values_ms: tuple[float, ...] = PUBLISHED_MS

    def __post_init__(self) -> None:
        if len(self.levels) != len(self.values_ms) or self.levels[0] != 0 or self.levels[-1] != 1:
            raise ParameterError("latency model: levels must go from 0 to 1, with one value each")
        if any(b < a for a, b in zip(self.values_ms, self.values_ms[1:], strict=False)) or self.values_ms[0] <= 0:
            raise ParameterError(f"latency model: values {self.values_ms} must be positive and ascend")

    @classmethod
    def of_sample(cls, values_ms: Floats) -> LatencyModel:
        """Give the model of a recorded sample: 200 of its quantiles."""
        levels = np.linspace(0, 1, 201)
        values = np.maximum(np.quantile(values_ms[np.isfinite(values_ms)], levels), 1e-3)
        return cls(tuple(levels.tolist()), tuple(values.tolist()))

    def at(self, levels: Floats, tail: float = 1.0) -> Floats:
        """Give the latency at each level.

        Parameters
        ----------
        tail
            Stretches the tail: the p99 becomes this many times as long, the p90 and below stay, in between the factor
            grows evenly.
        """
        values: Floats = np.exp(np.interp(levels, self.levels, np.log(self.values_ms)))
        if tail != 1.0:
            values = values * (1 + (tail - 1) * np.clip((levels - 0.90) / 0.09, 0, 1))
        return values


@dataclass(frozen=True)
class Scenario:
    """One kind of rehearsal.

    Parameters
    ----------
    name
        What tables call it.
    rate_rps
        Requests a second, Poisson.
    base_error_rate
        Failures of the baseline.
    errors
        The candidate fails this many times as often.
    tail
        The candidate's p99 is this many times as long (see :meth:`LatencyModel.at`).
    slow_share, slow_factor
        This share of the candidate's requests takes this many times as long.
    cold_share
        Share of cold starts in a steady pool.
    cold
        The candidate's cold share is this many times as high as a pool of its size explains.
    from_s
        The regression begins this long after the rollout's start.
    harmful
        Whether a rollback is right.
    """

    name: str
    rate_rps: float = 10.0
    base_error_rate: float = 0.01
    errors: float = 1.0
    tail: float = 1.0
    slow_share: float = 0.0
    slow_factor: float = 1.0
    cold_share: float = 0.004
    cold: float = 1.0
    from_s: float = 0.0
    latency: LatencyModel = field(default_factory=LatencyModel)
    init_ms: float = 500.0

    def __post_init__(self) -> None:
        for name in ("rate_rps", "errors", "tail", "slow_factor", "cold", "init_ms"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ParameterError(f"scenario {self.name}: {name} {getattr(self, name)!r} must be above 0")
        for name in ("base_error_rate", "slow_share", "cold_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"scenario {self.name}: {name} {getattr(self, name)!r} must lie in [0, 1]")

    @property
    def harmful(self) -> bool:
        """Whether the candidate is worse than the baseline at all."""
        return self.errors > 1 or self.tail > 1 or self.slow_share > 0 or self.cold > 1


def standard(rate_rps: float = 10.0) -> tuple[Scenario, ...]:
    """Give the scenarios of the benchmark."""
    return (
        Scenario("sound", rate_rps),
        Scenario("errors × 2", rate_rps, errors=2.0),
        Scenario("errors × 3", rate_rps, errors=3.0),
        Scenario("errors × 5", rate_rps, errors=5.0),
        Scenario("p99 × 1.2", rate_rps, tail=1.2),
        Scenario("p99 × 1.5", rate_rps, tail=1.5),
        Scenario("p99 × 2", rate_rps, tail=2.0),
        Scenario("7 of 10 are 100 × slower", rate_rps, slow_share=0.7, slow_factor=100.0),
        Scenario("cold storm × 25", rate_rps, cold=25.0),
        Scenario("errors × 3 after 30 min", rate_rps, errors=3.0, from_s=1800.0),
        Scenario("low traffic, sound", rate_rps / 50),
        Scenario("low traffic, errors × 5", rate_rps / 50, errors=5.0),
    )


def with_latencies(scenarios: Sequence[Scenario], path: Path) -> list[Scenario]:
    """Give the scenarios with the warm latencies (handler and INIT) of a recorded trace.

    Raises
    ------
    TraceError
        The trace cannot be read.
    ParameterError
        It holds no latency of an answered request.
    """
    trace = read_trace(path)
    answered = (trace.frame["status"] == "ok").to_numpy() & ~trace.frame["cold"].fill_null(False).to_numpy()
    sample = latency_of(trace, "execution_ms")[answered]
    if not np.isfinite(sample).any():
        raise ParameterError(f"{path}: no warm answer with duration_ms in it; record one from the logs")
    return [replace(scenario, latency=LatencyModel.of_sample(sample)) for scenario in scenarios]
