"""What the demo does when: one schedule that the forecast is made for and the driver then keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from replay.cloud.config import INIT_MODES
from replay.errors import InputError
from simulator.arrivals import ArrivalPlan, PoissonArrivals, poisson, poisson_with_burst
from simulator.quantiles import FloatArray
from simulator.timeline import PlannedStep

LEAST_BASELINE: Final = 400
LEAST_CANDIDATE: Final = 100
"""Fewest requests that the two recordings must hold."""

MODELS: Final = MappingProxyType(
    {"baseline": "anthropic.claude-3-haiku-20240307-v1:0", "optimized": "us.amazon.nova-lite-v1:0"}
)
"""The pair whose latencies on AWS are published and replayed here (lambda_bedrock_2025-12-30)."""

_USE_ARRIVALS: Final = 2
"""Names this use of the seed: nothing else draws from the same stream, the forecast least of all."""


@dataclass(frozen=True)
class DemoPlan:
    """The schedule and its settings.

    Raises
    ------
    InputError
        A value outside its range, or a rate at which the recordings would be too small.
    """

    seed: int = 1
    init: str = "replayed"
    """``replayed`` or ``real``, see :class:`replay.cloud.CloudConfig`."""
    rate_rps: float = 9.0
    """Steady rate of every phase."""
    baseline_s: float = 45.0
    burst_factor: float = 3.0
    """How many times the rate in the middle of the baseline's phase ..."""
    burst_s: float = 5.0
    """... and for how long."""
    candidate_s: float = 20.0
    weights: tuple[float, ...] = (0.1, 0.5, 1.0)
    step_s: float = 30.0
    forecast_gap_s: float = 20.0
    """From the candidate's last planned second to the first step: time for recording and forecasting."""
    step_gap_s: float = 4.0
    """From one step's last planned second to the next: time for recording and shifting."""
    keep_alive_s: float = 60.0
    """Of idle environments. Short, so that one run of minutes sees environments end as one of hours does on AWS."""
    replications: int = 400
    models: Mapping[str, str] = field(default_factory=lambda: MODELS)
    """Variant → Bedrock model."""

    def __post_init__(self) -> None:
        for name in ("rate_rps", "baseline_s", "burst_factor", "burst_s", "candidate_s", "step_s", "keep_alive_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"demo: {name}={value!r} must be above 0")
        for name in ("forecast_gap_s", "step_gap_s", "seed"):
            if not getattr(self, name) >= 0:
                raise InputError(f"demo: {name}={getattr(self, name)!r} must be 0 or more")
        if self.init not in INIT_MODES:
            raise InputError(f"demo: init={self.init!r} is not one of {', '.join(INIT_MODES)}")
        for least, plan, what in (
            (LEAST_BASELINE, self.baseline_arrivals, "baseline"),
            (LEAST_CANDIDATE, self.candidate_arrivals, "candidate"),
        ):
            sure = plan.expected_requests - 3.0 * math.sqrt(plan.expected_requests)
            if sure < least:
                raise InputError(
                    f"demo: rate_rps={self.rate_rps:g} gives about {plan.expected_requests:.0f} requests to the "
                    f"{what}, which may be fewer than the {least} that are needed; raise --rate"
                )

    @property
    def baseline_arrivals(self) -> PoissonArrivals:
        """Poisson, with a burst in the middle."""
        start_s = (self.baseline_s - self.burst_s) / 2.0
        return poisson_with_burst(
            self.rate_rps,
            self.baseline_s,
            factor=self.burst_factor,
            burst_start_s=start_s,
            burst_duration_s=self.burst_s,
        )

    @property
    def candidate_arrivals(self) -> PoissonArrivals:
        """Poisson."""
        return poisson(self.rate_rps, self.candidate_s)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the steps: ``10%``."""
        return tuple(f"{100.0 * weight:g}%" for weight in self.weights)

    @property
    def steps(self) -> list[PlannedStep]:
        """The rollout, as the forecast is asked for it."""
        return [
            PlannedStep(
                label,
                weight,
                poisson(self.rate_rps, self.step_s),
                gap_before_s=self.forecast_gap_s if index == 0 else self.step_gap_s,
            )
            for index, (label, weight) in enumerate(zip(self.labels, self.weights, strict=True))
        ]

    def draw(self, plan: ArrivalPlan, phase: int) -> FloatArray:
        """Draw what the driver sends in the ``phase``-th phase of load: seconds since its start."""
        return plan.draw(np.random.default_rng([self.seed, _USE_ARRIVALS, phase]))

    def to_json(self) -> dict[str, Any]:
        """Give the settings as JSON types."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "models": dict(self.models), "weights": list(self.weights)}
