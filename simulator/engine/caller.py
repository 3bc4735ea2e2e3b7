"""The caller: it waits, gives up, and tries again (rules 13 to 15 of docs/model.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import simpy

from simulator.client_policy import ClientPolicy
from simulator.draws import Draws
from simulator.engine.clock import NEVER, TICKS_PER_SECOND, Kind, Later
from simulator.engine.ledger import Ledger
from simulator.engine.outcomes import Status

_ROUNDING: Final = 1e-9


class Caller:
    """All callers: each with its own clock, and one retry budget between them.

    Parameters
    ----------
    clock, ledger, draws
        Of the run.
    policy
        How they wait and try again.
    send
        Called with the arrival of each further attempt.
    """

    def __init__(
        self,
        clock: simpy.Environment,
        ledger: Ledger,
        draws: Draws,
        policy: ClientPolicy,
        send: Callable[[Later], None],
    ) -> None:
        self.retrying = policy.max_attempts > 1
        """Whether ends matter to it at all."""
        self.patience_ticks = NEVER if policy.timeout_s is None else round(policy.timeout_s * TICKS_PER_SECOND)
        self._clock = clock
        self._ledger = ledger
        self._policy = policy
        self._send = send
        self._jitter = None if draws.client_jitter is None else draws.client_jitter.ravel().tolist()
        self._retry_on = {int(Status[status.upper()]) for status in policy.retry_on}
        self._last_slot = ledger.requests * policy.max_attempts
        self._tokens = 0.0 if policy.budget is None else policy.budget.capacity

    def expect(self, slot: int) -> None:
        """Have the caller of ``slot`` decide what to do when the ledger says it has its answer."""
        ledger = self._ledger
        failed = ledger.status[slot] in self._retry_on
        if failed or (self._policy.budget is not None and ledger.status[slot] == Status.OK):
            at_tick = ledger.sent_tick[slot] + ledger.client_ticks[slot]
            Later(self._clock, at_tick, Kind.ANSWER, slot, self._decide)

    def _decide(self, answer: Later) -> None:
        slot = answer.slot
        budget = self._policy.budget
        if self._ledger.status[slot] == Status.OK:
            if budget is not None:
                self._tokens = min(budget.capacity, self._tokens + budget.per_success)
            return
        further = slot + self._ledger.requests
        if further >= self._last_slot:
            return
        if budget is not None:
            if self._tokens < 1.0 - _ROUNDING:
                return
            self._tokens -= 1.0
        Later(self._clock, answer.tick + self._wait_ticks(slot), Kind.ARRIVAL, further, self._send)

    def _wait_ticks(self, slot: int) -> int:
        policy = self._policy
        wait_s = backoff_s(policy, slot // self._ledger.requests)
        if self._jitter is not None and policy.jitter != "none":
            uniform = self._jitter[slot]
            wait_s = wait_s * uniform if policy.jitter == "full" else wait_s / 2 + wait_s / 2 * uniform
        return round(wait_s * TICKS_PER_SECOND)


def backoff_s(policy: ClientPolicy, attempt: int) -> float:
    """Give the wait after an attempt, counted from 0, before jitter, in seconds."""
    try:
        return min(policy.backoff_cap_s, policy.backoff_base_s * policy.backoff_factor**attempt)
    except OverflowError:
        # The power is more than a float holds; of nothing it is nothing still.
        return policy.backoff_cap_s if policy.backoff_base_s else 0.0
