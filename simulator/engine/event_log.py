"""The event log: everything that happens to chosen requests, as the reference engine lets it happen.

The log watches from a subclass of the engine's run, so that a run without it does not ask whether anybody looks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from simulator.draws import Draws
from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND, Later
from simulator.engine.inputs import check_draws, check_rollout
from simulator.engine.ledger import UNANSWERED
from simulator.engine.model_calls import ModelCalls
from simulator.engine.outcomes import Outcomes, Refusal, Status
from simulator.engine.pools import Environment
from simulator.engine.reference import ReferenceRun
from simulator.errors import ParameterError
from simulator.platform import Platform
from simulator.rollout import Rollout


class What(StrEnum):
    """What can happen to a request, in the order in which it is told where several happen at one instant."""

    ARRIVES = "arrives at the gateway"
    RETRIES = "tries again"
    ROUTED = "alias draws a version"
    REFUSED = "refused"
    TAKES = "takes an environment"
    STARTS = "starts an environment"
    RUNS_INIT_AGAIN = "takes an environment that runs INIT again"
    INIT_ENDS = "INIT ends"
    ASKS_MODEL = "handler asks the model"
    MODEL_REFUSES = "model refuses"
    MODEL_ANSWERS = "model answers"
    HANDLER_ENDS = "handler ends"
    STOPPED = "function time-out"
    FREE = "environment is free"
    ENDED = "environment ends"
    ANSWERED = "caller has an answer"
    GAVE_UP = "caller gave up"


_ORDER = {what: place for place, what in enumerate(What)}


@dataclass(frozen=True)
class Event:
    """Something that happened to an attempt.

    Parameters
    ----------
    at_s
        Seconds of the run.
    request, attempt
        Whose it was; attempts count from 0.
    what
        What it was.
    details
        Its circumstances by name, with their units: version, environment, limit, times.
    """

    at_s: float
    request: int
    attempt: int
    what: What
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON types."""
        return {
            "at_s": self.at_s,
            "request": self.request,
            "attempt": self.attempt,
            "event": self.what.name.lower(),
            **self.details,
        }


def simulate_with_log(
    draws: Draws, platform: Platform, rollout: Rollout, requests: Collection[int]
) -> tuple[Outcomes, tuple[Event, ...]]:
    """Simulate as :func:`simulator.engine.reference.simulate` does, and log the events of ``requests``.

    Returns
    -------
    tuple
        The outcomes of all requests; the events of those chosen, request by request, each in order of time.

    Raises
    ------
    ParameterError
        As there, or a request that there is not.
    """
    check_rollout(platform, rollout)
    check_draws(draws, platform)
    for request in requests:
        if not 0 <= request < draws.requests:
            raise ParameterError(f"request {request!r} is outside 0 to {draws.requests - 1}, the requests of this run")
    run = _WatchedRun(draws, platform, rollout)
    run.watch(frozenset(requests))
    run.go()
    return run.outcomes(), run.events()


class _WatchedCalls(ModelCalls):
    """The model's calls, watched."""

    run: _WatchedRun

    def _ask(self, event: Later) -> None:
        slot, before = event.slot, self.tries[event.slot]
        super()._ask(event)
        # Where the SDK holds the call back to keep its send rate, nothing was asked.
        if self.tries[slot] > before:
            self.run.note(event.tick, slot, What.ASKS_MODEL, try_=self.tries[slot])

    def _answer(self, slot: int, call: Any, *rest: Any) -> None:
        super()._answer(slot, call, *rest)
        end = rest[-1] + self._inference_ticks[call.environment.version][slot]
        self.run.note(end, slot, What.MODEL_ANSWERS, inference_ms=(end - rest[-1]) / TICKS_PER_MS)

    def _refused(self, slot: int, call: Any, policy: Any, sdk: Any, refusal: Refusal, now: int) -> None:
        told = now + round(policy.refusal_ms * TICKS_PER_MS)
        self.run.note(told, slot, What.MODEL_REFUSES, limit=refusal.name.lower())
        super()._refused(slot, call, policy, sdk, refusal, now)


class _WatchedRun(ReferenceRun):
    """The reference engine's run, watched."""

    calls = _WatchedCalls

    def watch(self, requests: frozenset[int]) -> None:
        """Log these requests."""
        self._watched = requests
        self._noted: list[tuple[int, int, What, dict[str, Any]]] = []
        self._names = self._platform.names
        # The engine has made them before it could be told who looks.
        self._models.run = self  # type: ignore[attr-defined]  # typed as the engine itself, which this takes the place of

    def note(self, tick: int, slot: int, what: What, **details: Any) -> None:
        """Write an event down."""
        if slot % self._n in self._watched:
            self._noted.append((tick, slot, what, {name.rstrip("_"): value for name, value in details.items()}))

    def events(self) -> tuple[Event, ...]:
        """Give what was written down, request by request."""
        found = sorted(self._noted, key=lambda one: (one[1] % self._n, one[0], one[1], _ORDER[one[2]]))
        return tuple(
            Event(tick / TICKS_PER_SECOND, slot % self._n, slot // self._n, what, details)
            for tick, slot, what, details in found
        )

    def _arrive(self, arrival: Later) -> None:
        slot = arrival.slot
        if slot < self._n:
            self.note(arrival.tick, slot, What.ARRIVES)
        else:
            before = slot - self._n
            waited = arrival.tick - self._ledger.sent_tick[before] - self._ledger.client_ticks[before]
            self.note(arrival.tick, slot, What.RETRIES, waited_ms=waited / TICKS_PER_MS)
        super()._arrive(arrival)

    def _refuse(self, slot: int, version: int, refusal: Refusal) -> None:
        now = self._ledger.sent_tick[slot]
        if self._ledger.version[slot] >= 0:
            self.note(now, slot, What.ROUTED, version=self._names[version])
        self.note(now, slot, What.REFUSED, limit=refusal.name.lower())
        super()._refuse(slot, version, refusal)

    def _serve(self, slot: int, now: int, environment: Environment) -> None:
        self.note(now, slot, What.ROUTED, version=self._names[environment.version])
        own = {"environment": environment.number}
        if environment.fresh:
            self.note(now, slot, What.STARTS, **own)
        elif environment.reset:
            self.note(now, slot, What.RUNS_INIT_AGAIN, **own)
        else:
            self.note(now, slot, What.TAKES, **own, provisioned=environment.provisioned)
        fresh = environment.fresh
        super()._serve(slot, now, environment)
        if fresh:
            setup_ms = self._setup_ticks[environment.version][slot] / TICKS_PER_MS
            init_ms = self._ledger.init_ticks[slot] / TICKS_PER_MS
            ended = now + round((setup_ms + init_ms) * TICKS_PER_MS)
            self.note(ended, slot, What.INIT_ENDS, setup_ms=setup_ms, init_ms=init_ms)

    def _finish(self, slot: int, environment: Environment, end: int, deadline: int, refusal: int) -> None:
        super()._finish(slot, environment, end, deadline, refusal)
        ended = self._ledger.end_tick[slot]
        what = What.STOPPED if end > deadline else What.HANDLER_ENDS
        self.note(ended, slot, what, duration_ms=self._ledger.duration_ticks[slot] / TICKS_PER_MS)

    def _conclude(self, slot: int, version: int, busy: int, status: int, refusal: int) -> None:
        ledger = self._ledger
        assert ledger.client_ticks[slot] == UNANSWERED  # noqa: S101  (an attempt ends once)
        super()._conclude(slot, version, busy, status, refusal)
        waited = ledger.client_ticks[slot]
        ended = Status(ledger.status[slot])
        gave_up = ended == Status.TIMEOUT and waited == self._caller.patience_ticks
        self.note(
            ledger.sent_tick[slot] + waited,
            slot,
            What.GAVE_UP if gave_up else What.ANSWERED,
            status=ended.name.lower(),
            attempt_ms=waited / TICKS_PER_MS,
        )

    def _release(self, end: Later) -> None:
        super()._release(end)
        self._note_freed(end, ended=False)

    def _stop(self, end: Later) -> None:
        super()._stop(end)
        self._note_freed(end, ended=not end.subject.reset)

    def _note_freed(self, end: Later, *, ended: bool) -> None:
        """Say what becomes of the environment; one of provisioned concurrency stays, another idles for a time."""
        environment, until = end.subject, {}
        if not (ended or environment.provisioned):
            ended = environment.gone_at_tick <= end.tick
            until = {} if ended else {"idle_until_s": environment.gone_at_tick / TICKS_PER_SECOND}
        self.note(end.tick, end.slot, What.ENDED if ended else What.FREE, environment=environment.number, **until)
