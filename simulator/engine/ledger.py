"""The ledger: what became of each attempt, written down while a run goes on."""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.draws import Draws, IntArray
from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND
from simulator.engine.outcomes import AttemptLog, Outcomes, ProvisionedHistory, Refusal, Status
from simulator.quantiles import FloatArray

UNANSWERED: Final = -1


class Ledger:
    """Lists with one entry per slot: attempt a of request r has slot a·n + r.

    Plain lists, because an engine writes single entries, and NumPy is slow at that.
    """

    def __init__(self, requests: int, attempts: int) -> None:
        slots = requests * attempts
        self.requests = requests
        self.sent_tick = [-1] * slots
        """−1: never sent."""
        self.version = [-1] * slots
        self.environment = [-1] * slots
        self.cold = [False] * slots
        self.provisioned = [False] * slots
        self.status = [int(Status.OK)] * slots
        self.refusal = [int(Refusal.NONE)] * slots
        self.end_tick = [-1] * slots
        self.init_ticks = [0] * slots
        self.duration_ticks = [0] * slots
        self.client_ticks = [UNANSWERED] * slots
        self.model_tries = [0] * slots

    def outcomes(
        self, draws: Draws, late_after_ticks: int, provisioned_history: tuple[ProvisionedHistory, ...]
    ) -> Outcomes:
        """Give everything as arrays.

        ``late_after_ticks`` after an attempt was sent nobody waits for it any more: the gateway's time-out, or the
        caller's where it is shorter.
        """
        log = self._log(draws, late_after_ticks)
        n = self.requests
        attempts = np.bincount(log.request, minlength=n).astype(np.int64)
        # Attempts of a request follow each other without a gap, so its last one is known by their number.
        sent_tick = _integers(self.sent_tick)
        last_slot = (attempts - 1) * n + np.arange(n)
        last = (np.cumsum(sent_tick >= 0) - 1)[last_slot]
        answered_tick = sent_tick[last_slot] + _integers(self.client_ticks)[last_slot]
        return Outcomes(
            arrival_s=draws.arrival_s,
            version=log.version[last],
            environment=log.environment[last],
            cold=log.cold[last],
            provisioned=log.provisioned[last],
            status=log.status[last],
            refusal=log.refusal[last],
            start_s=log.start_s[last],
            end_s=log.end_s[last],
            init_ms=log.init_ms[last],
            duration_ms=log.duration_ms[last],
            billed_ms=log.billed_ms[last],
            client_ms=(answered_tick - sent_tick[:n]) / TICKS_PER_MS,
            attempts=attempts,
            log=log,
            provisioned_history=provisioned_history,
        )

    def _log(self, draws: Draws, late_after_ticks: int) -> AttemptLog:
        sent_tick = _integers(self.sent_tick)
        slots = np.flatnonzero(sent_tick >= 0)
        n = max(self.requests, 1)
        environment = _integers(self.environment)[slots]
        served = environment >= 0
        init_ticks = _integers(self.init_ticks)[slots]
        duration_ticks = _integers(self.duration_ticks)[slots]
        end_tick = _integers(self.end_tick)[slots]
        billed_ticks = init_ticks + duration_ticks
        # INIT and handler are the last thing that an environment does for an attempt: what is late is billed first.
        late_ticks = np.clip(end_tick - (sent_tick[slots] + late_after_ticks), 0, billed_ticks)
        attempt, request = np.divmod(slots, n)
        first = attempt == 0
        return AttemptLog(
            request=request,
            attempt=attempt,
            sent_s=np.where(first, draws.arrival_s[request], sent_tick[slots] / TICKS_PER_SECOND),
            version=_integers(self.version)[slots],
            environment=environment,
            cold=np.array(self.cold, dtype=np.bool_)[slots],
            provisioned=np.array(self.provisioned, dtype=np.bool_)[slots],
            status=_integers(self.status)[slots],
            refusal=_integers(self.refusal)[slots],
            # Overhead does not shift the work: an environment starts on an attempt when it is sent.
            start_s=_where(served, sent_tick[slots]),
            end_s=_where(served, end_tick),
            init_ms=init_ticks / TICKS_PER_MS,
            duration_ms=duration_ticks / TICKS_PER_MS,
            # Rounded up to whole milliseconds; integers, because 0.1 + 0.2 must not cost a millisecond.
            billed_ms=(-(-billed_ticks // TICKS_PER_MS)).astype(np.float64),
            billed_late_ms=np.where(served, late_ticks, 0) / TICKS_PER_MS,
            client_ms=_integers(self.client_ticks)[slots] / TICKS_PER_MS,
            model_tries=_integers(self.model_tries)[slots],
        )


def _integers(values: list[int]) -> IntArray:
    return np.array(values, dtype=np.int64)


def _where(served: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], tick: IntArray) -> FloatArray:
    return np.where(served, tick / TICKS_PER_SECOND, np.nan)
