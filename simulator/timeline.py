"""The timeline of a forecast: what happened before, then the planned steps, on one clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from simulator.arrivals import ArrivalPlan, replay
from simulator.draws import IntArray, Randomness, Use
from simulator.errors import ParameterError
from simulator.keep_alive import KeepAliveFit
from simulator.platform import Platform
from simulator.quantiles import FloatArray
from simulator.rollout import Rollout, Stage, check_weight
from simulator.trace import Trace

QUOTA_MEMORY_S: Final = 60.0
"""A model's quota is an allowance of a minute: what was asked long before that has been forgotten."""
HISTORY: Final = -1
"""Step index of the requests of the history."""


@dataclass(frozen=True)
class PlannedStep:
    """One stretch of the rollout.

    Parameters
    ----------
    label
        Name of the step in every figure: ``10%``.
    weight
        Share of the requests that goes to the candidate, 0 to 1.
    arrivals
        When the requests come, and for how long.
    gap_before_s
        Idle time between the end of the step before (or of the history) and this one's start.
    """

    label: str
    weight: float
    arrivals: ArrivalPlan
    gap_before_s: float = 0.0

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if not (math.isfinite(self.gap_before_s) and self.gap_before_s >= 0):
            raise ParameterError(f"step {self.label!r}: gap_before_s={self.gap_before_s!r} must be 0 or more")


@dataclass(frozen=True, eq=False)
class Timeline:
    """History and steps on one clock that starts at 0.

    Parameters
    ----------
    phases
        The history's phases, then the steps.
    starts_s
        When each of them starts, shape ``(phases,)``.
    first_step
        Index of the first step among the phases.
    from_s
        Requests of the history before this time are left out: no environment that they leave warm lives to see the
        first step, and no quota remembers them.
    recorded_at_s
        Where the clocks of the baseline's and the candidate's recordings have their 0.
    """

    phases: tuple[PlannedStep, ...]
    starts_s: FloatArray = field(repr=False)
    first_step: int
    from_s: float
    recorded_at_s: tuple[float, float]

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """The planned steps."""
        return self.phases[self.first_step :]

    @property
    def steps_start_s(self) -> float:
        """When the first step starts."""
        return float(self.starts_s[self.first_step])

    @property
    def end_s(self) -> float:
        """When the last step ends."""
        return float(self.starts_s[-1]) + self.phases[-1].arrivals.duration_s

    def rollout(self) -> Rollout:
        """Give the weights over time."""
        return Rollout(
            tuple(Stage(float(at), phase.weight) for at, phase in zip(self.starts_s, self.phases, strict=True))
        )

    @property
    def expected_requests(self) -> float:
        """Give how many requests a run has on average, with those of the history that are not left out."""
        found = 0.0
        for start_s, phase in zip(self.starts_s.tolist(), self.phases, strict=True):
            inside_s = start_s + phase.arrivals.duration_s - max(start_s, self.from_s)
            found += phase.arrivals.expected_requests * max(0.0, inside_s / phase.arrivals.duration_s)
        return found

    def draw(self, randomness: Randomness) -> tuple[FloatArray, IntArray]:
        """Draw the arrivals of one replication: when, ascending, and the index of the step (−1: history)."""
        times: list[FloatArray] = []
        steps: list[IntArray] = []
        for index, (start_s, phase) in enumerate(zip(self.starts_s, self.phases, strict=True)):
            arrival_s = start_s + phase.arrivals.draw(randomness.generator(Use.ARRIVAL, attempt=index))
            if index < self.first_step:
                arrival_s = arrival_s[arrival_s >= self.from_s]
            times.append(arrival_s)
            steps.append(np.full(arrival_s.size, max(index - self.first_step, HISTORY), dtype=np.int64))
        return np.concatenate(times), np.concatenate(steps)


def make_timeline(
    baseline: Trace,
    candidate: Trace,
    steps: Sequence[PlannedStep],
    history: Sequence[PlannedStep] | None,
    *,
    memory_s: float,
) -> Timeline:
    """Lay history and steps out on one clock.

    Without a ``history`` the two recordings are it: each at the time that its metadata say, or, where they do not say
    or overlap, the baseline's first and the candidate's right after. With a history of the caller's own, the
    recordings are taken to have ended with it. ``memory_s`` is how long the platform remembers a request: the longest
    keep-alive, or the minute of a quota.

    Raises
    ------
    ParameterError
        No step, or two steps with one label.
    """
    if not steps:
        raise ParameterError("no step to forecast; plan at least one")
    labels = [step.label for step in steps]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise ParameterError(f"two steps are called {min(twice)!r}; give each a label of its own")
    if history is None:
        history, recorded_at_s = _recordings(baseline, candidate)
    else:
        length_s = math.fsum(phase.gap_before_s + phase.arrivals.duration_s for phase in history)
        recorded_at_s = (length_s - _last_s(baseline), length_s - _last_s(candidate))
    phases = (*history, *steps)
    starts_s: list[float] = []
    now_s = 0.0
    for phase in phases:
        starts_s.append(now_s + phase.gap_before_s)
        now_s = starts_s[-1] + phase.arrivals.duration_s
    # Twice the memory: what was warm one keep-alive before the first step depends on the one before that.
    from_s = starts_s[len(history)] - 2.0 * memory_s
    return Timeline(tuple(phases), np.array(starts_s), len(history), from_s, recorded_at_s)


def memory_of(platform: Platform, keep_alive: KeepAliveFit | None) -> float:
    """Give how long ``platform`` remembers a request, in seconds: its longest keep-alive, or the minute of a quota."""
    memory_s = platform.keep_alive_s if keep_alive is None else keep_alive.longest_s
    return max(memory_s, QUOTA_MEMORY_S) if platform.quotas else memory_s


def _recordings(baseline: Trace, candidate: Trace) -> tuple[list[PlannedStep], tuple[float, float]]:
    """Make phases of the two recordings; give them with the timeline's time of each recording's 0."""
    plans = (replay(baseline), replay(candidate))
    firsts_s = (_first_s(baseline), _first_s(candidate))
    apart_s = _apart_s(baseline, candidate)
    gap_s = 0.0
    order = (0, 1)
    if apart_s is not None:
        between_s = apart_s + firsts_s[1] - firsts_s[0]
        if between_s >= plans[0].duration_s:
            gap_s = between_s - plans[0].duration_s
        elif -between_s >= plans[1].duration_s:
            gap_s, order = -between_s - plans[1].duration_s, (1, 0)
    labels, weights = ("recorded baseline", "recorded candidate"), (0.0, 1.0)
    phases = [
        PlannedStep(labels[which], weights[which], plans[which], gap_before_s=gap_s if place else 0.0)
        for place, which in enumerate(order)
    ]
    starts_s = {order[0]: 0.0, order[1]: plans[order[0]].duration_s + gap_s}
    return phases, (starts_s[0] - firsts_s[0], starts_s[1] - firsts_s[1])


def _apart_s(baseline: Trace, candidate: Trace) -> float | None:
    """Give the time from the baseline's 0 to the candidate's, None where the metadata do not tell."""
    texts = (baseline.metadata.recorded_at, candidate.metadata.recorded_at)
    if texts[0] is None or texts[1] is None:
        return None
    try:
        begun = [datetime.fromisoformat(text) for text in texts if text is not None]
        return (begun[1] - begun[0]).total_seconds()
    except (ValueError, TypeError):  # not a time, or one with a zone and one without
        return None


def _first_s(trace: Trace) -> float:
    return float(trace.frame["arrival_s"][0])


def _last_s(trace: Trace) -> float:
    return float(trace.frame["arrival_s"][-1])
