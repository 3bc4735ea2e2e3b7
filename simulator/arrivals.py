"""When requests arrive: plans that the driver follows and the forecast simulates, drawn from the same code.

A plan says how long it lasts and draws arrival times. A Poisson plan draws one unit-rate process and stretches it by
the planned rate (the time-change theorem), so that with one seed a plan at twice the rate holds the same requests,
earlier.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from simulator.errors import ParameterError
from simulator.quantiles import FloatArray
from simulator.running_sum import running_sum
from simulator.trace import Trace


class ArrivalPlan(Protocol):
    """When requests arrive, as a thing that can be drawn again and again."""

    @property
    def duration_s(self) -> float:
        """How long the plan lasts, in seconds."""
        ...

    @property
    def expected_requests(self) -> float:
        """How many requests it brings on average."""
        ...

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw arrival times: seconds since the plan's start, ascending, shape ``(n,)``, each in [0, duration_s)."""
        ...

    def scaled(self, factor: float) -> ArrivalPlan:
        """Give the plan under ``factor`` times the load, above 0."""
        ...


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one rate.

    Parameters
    ----------
    duration_s
        Seconds, above 0.
    rate_rps
        Requests a second, 0 or more.

    Raises
    ------
    ParameterError
        A duration that is not a positive number, or a rate that is negative or not finite.
    """

    duration_s: float
    rate_rps: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise ParameterError(f"duration_s={self.duration_s!r} must be above 0 seconds")
        if not (math.isfinite(self.rate_rps) and self.rate_rps >= 0):
            raise ParameterError(f"rate_rps={self.rate_rps!r} must be 0 or more requests a second")


@dataclass(frozen=True)
class PoissonArrivals:
    """Independent arrivals at a rate that is constant within each segment."""

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not self.segments:
            raise ParameterError("a Poisson plan needs at least one segment of time")

    @property
    def duration_s(self) -> float:
        """Sum of the segments."""
        return math.fsum(segment.duration_s for segment in self.segments)

    @property
    def expected_requests(self) -> float:
        """Sum of rate × duration."""
        return math.fsum(segment.rate_rps * segment.duration_s for segment in self.segments)

    def scaled(self, factor: float) -> PoissonArrivals:
        """Give the plan at ``factor`` times the rate."""
        return PoissonArrivals(tuple(Segment(one.duration_s, one.rate_rps * factor) for one in self.segments))

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw arrival times, see :class:`ArrivalPlan`."""
        ends_s = np.cumsum([0.0, *(segment.duration_s for segment in self.segments)])
        ends_unit = np.cumsum([0.0, *(segment.duration_s * segment.rate_rps for segment in self.segments)])
        total = float(ends_unit[-1])
        # Exponential gaps until the unit-rate process has passed the expected number; the size only sets the batch.
        batch = max(16, math.ceil(total + 6.0 * math.sqrt(total)))
        gaps = [rng.standard_exponential(batch)]
        while math.fsum(float(part.sum()) for part in gaps) < total:
            gaps.append(rng.standard_exponential(batch))
        unit_times = running_sum(np.concatenate(gaps) if len(gaps) > 1 else gaps[0])
        unit_times = unit_times[: int(np.searchsorted(unit_times, total))]
        if len(self.segments) == 1 and total:
            arrival_s = unit_times / self.segments[0].rate_rps
            return np.asarray(np.minimum(arrival_s, np.nextafter(ends_s[-1], 0.0)), dtype=np.float64)
        # A segment without requests is a flat stretch of the cumulative rate: its start must not be interpolated to.
        index = np.searchsorted(ends_unit, unit_times, side="right") - 1
        rates = np.array([segment.rate_rps for segment in self.segments])
        arrival_s = ends_s[index] + (unit_times - ends_unit[index]) / rates[index]
        return np.asarray(np.minimum(arrival_s, np.nextafter(ends_s[-1], 0.0)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class ReplayedArrivals:
    """Recorded arrivals, at their recorded times or compressed in time.

    Parameters
    ----------
    arrival_s
        Seconds since the plan's start, ascending, shape ``(n,)``.
    duration_s
        How long the plan lasts, after compression.
    """

    arrival_s: FloatArray = field(repr=False)
    duration_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise ParameterError(f"duration_s={self.duration_s!r} must be above 0 seconds")
        if self.arrival_s.size and (np.any(np.diff(self.arrival_s) < 0) or self.arrival_s[0] < 0):
            raise ParameterError("arrival_s must be ascending and start at 0 or later; sort it")

    @property
    def expected_requests(self) -> float:
        """How many were recorded."""
        return float(self.arrival_s.size)

    def scaled(self, factor: float) -> ReplayedArrivals:
        """Give the same requests ``factor`` times as fast."""
        return ReplayedArrivals(self.arrival_s / factor, self.duration_s / factor)

    def draw(self, rng: np.random.Generator) -> FloatArray:  # noqa: ARG002  (nothing is random in a recording)
        """Give the recorded times, see :class:`ArrivalPlan`."""
        return self.arrival_s


def poisson(rate_rps: float, duration_s: float) -> PoissonArrivals:
    """Plan ``duration_s`` seconds of Poisson arrivals at ``rate_rps`` requests a second."""
    return PoissonArrivals((Segment(duration_s, rate_rps),))


def poisson_with_burst(
    rate_rps: float, duration_s: float, *, factor: float, burst_start_s: float, burst_duration_s: float
) -> PoissonArrivals:
    """Plan Poisson arrivals whose rate is ``factor`` times as high for a while.

    Raises
    ------
    ParameterError
        A burst that does not lie inside the plan, or a factor below 0.
    """
    if burst_start_s < 0 or burst_start_s + burst_duration_s > duration_s:
        raise ParameterError(
            f"burst of {burst_duration_s:g} s from {burst_start_s:g} s on lies outside the plan of {duration_s:g} s"
        )
    parts = (
        (burst_start_s, rate_rps),
        (burst_duration_s, rate_rps * factor),
        (duration_s - burst_start_s - burst_duration_s, rate_rps),
    )
    return PoissonArrivals(tuple(Segment(length_s, rate) for length_s, rate in parts if length_s > 0))


def replay(trace: Trace, *, speed: float = 1.0) -> ReplayedArrivals:
    """Plan the arrivals of ``trace``, its first one at 0, ``speed`` times as fast.

    The plan ends one mean gap after the last arrival, so that its rate is the recorded one.

    Raises
    ------
    ParameterError
        A speed that is not above 0.
    """
    if not (math.isfinite(speed) and speed > 0):
        raise ParameterError(f"speed={speed!r} must be above 0; 2 sends the same requests in half the time")
    arrival_s = (trace.frame["arrival_s"].to_numpy() - float(trace.frame["arrival_s"][0])) / speed
    gap_s = float(arrival_s[-1]) / (arrival_s.size - 1) if arrival_s.size > 1 else 0.0
    return ReplayedArrivals(arrival_s, float(arrival_s[-1]) + (gap_s if gap_s > 0 else 1.0))


def concatenate(plans: Sequence[ArrivalPlan], rng: np.random.Generator) -> FloatArray:
    """Draw ``plans`` one after the other: seconds since the first one's start."""
    starts_s = np.cumsum([0.0, *(plan.duration_s for plan in plans)])
    drawn = [plan.draw(rng) + start_s for plan, start_s in zip(plans, starts_s, strict=False)]
    return np.concatenate(drawn) if drawn else np.empty(0)
