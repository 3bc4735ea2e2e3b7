"""What happened to single requests of a forecast: one of its runs once more, on the reference engine, with a log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from simulator.draws import IntArray, Randomness
from simulator.engine.event_log import Event, simulate_with_log
from simulator.engine.outcomes import Outcomes, Status
from simulator.engine.select import engine
from simulator.errors import ParameterError
from simulator.room import check_room
from simulator.run_draws import draw_run
from simulator.runs import Runs

MOST_REQUESTS: Final = 100
_SLOWEST: Final = re.compile(r"slowest(?::(\d+))?")
_DEFAULT_SLOWEST: Final = 3
BEFORE: Final = "before"
"""Stands for the step of a request of the history that warms environments."""


@dataclass(frozen=True)
class LoggedRequest:
    """One request and everything that happened to it.

    Parameters
    ----------
    request
        Its number in the run, from 0, the history before the first step included.
    step
        Label of the rollout's step.
    status
        How it ended for its caller.
    client_ms
        How long the caller waited in all; the levels of single environments, which a forecast lays over its outcomes
        afterwards, are not in it.
    events
        In order of time.
    """

    request: int
    step: str
    status: str
    client_ms: float
    events: tuple[Event, ...]

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON types."""
        return {
            "request": self.request,
            "step": self.step,
            "status": self.status,
            "client_ms": self.client_ms,
            "events": [event.to_json() for event in self.events],
        }


def request_log(runs: Runs, wanted: str, replication: int = 0) -> list[LoggedRequest]:
    """Run one replication of a forecast again and tell what happened to some of its requests.

    Parameters
    ----------
    runs
        What the forecast runs, see :func:`simulator.forecast.prepare`.
    wanted
        Numbers of requests, ``12,40``, or ``slowest`` for the slowest three of the steps, ``slowest:10`` for ten.
    replication
        Which run, from 0.

    Raises
    ------
    ParameterError
        Something else, a request or a run that there is not, more than :data:`MOST_REQUESTS`, or a run that memory does
        not hold.
    """
    if not 0 <= replication < runs.replications:
        raise ParameterError(f"run {replication!r} is outside 0 to {runs.replications - 1}, the runs of this forecast")
    named = _numbers(wanted)
    check_room(runs.timeline.expected_requests, runs.platform.client.max_attempts, at_once=1)
    randomness = Randomness(runs.seed, replication)
    arrival_s, step = runs.timeline.draw(randomness)
    draws, _, _ = draw_run(
        runs.services, runs.platform, runs.keep_alive, randomness, arrival_s, runs.timeline.recorded_at_s
    )
    rollout = runs.timeline.rollout()
    requests = named if isinstance(named, list) else _slowest(engine()(draws, runs.platform, rollout), step, named)
    outcomes, events = simulate_with_log(draws, runs.platform, rollout, requests)
    labels = [planned.label for planned in runs.timeline.steps]
    return [
        LoggedRequest(
            request=request,
            step=labels[step[request]] if step[request] >= 0 else BEFORE,
            status=Status(int(outcomes.status[request])).name.lower(),
            client_ms=float(outcomes.client_ms[request]),
            events=tuple(event for event in events if event.request == request),
        )
        for request in requests
    ]


def _numbers(wanted: str) -> list[int] | int:
    """Give the requests named, or how many of the slowest."""
    slowest = _SLOWEST.fullmatch(wanted.strip())
    if slowest is not None:
        count = int(slowest[1] or _DEFAULT_SLOWEST)
    elif re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", wanted):
        named = list(dict.fromkeys(int(one) for one in wanted.split(",")))
        count = len(named)
    else:
        raise ParameterError(f"{wanted!r} names no requests; write their numbers, 12,40, or slowest, or slowest:10")
    if not 1 <= count <= MOST_REQUESTS:
        raise ParameterError(f"{count} requests to explain; ask for 1 to {MOST_REQUESTS}")
    return count if slowest is not None else named


def _slowest(outcomes: Outcomes, step: IntArray, count: int) -> Sequence[int]:
    """Give the requests of the steps whose callers waited longest, the slowest first; of equals the earlier one."""
    inside = np.flatnonzero(step >= 0)
    order = np.argsort(-outcomes.client_ms[inside], kind="stable")
    return [int(request) for request in inside[order[:count]]]
