"""The loop: one event after the other, until the draws at hand are used up or an array is full."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.compiled import attempts, caller, calls, figures, pools, provisioning
from simulator.engine.compiled.draws import drawn, rounded
from simulator.engine.compiled.heap import drop_first
from simulator.engine.compiled.jit import FINGERPRINT, entry, part
from simulator.engine.compiled.layout import (
    ANSWER,
    ARRIVAL,
    ATTEMPT_BITS,
    ATTEMPT_MASK,
    CALL,
    GIVE_UP,
    GROWING,
    KIND_BITS,
    NONE,
    PROVISION,
    READY,
    RELEASE,
    REQUEST_MASK,
)
from simulator.engine.compiled.records import environment_at, event_at, row_at, version_at
from simulator.engine.outcomes import Refusal, Status

DONE: Final = -1
"""Every event has happened, or more draws are needed."""
ENVIRONMENTS, EVENTS, SETTLEMENTS, HISTORY, ROWS = range(len(GROWING))
"""The array of that name is full: to be doubled; then it goes on."""

_PER_SECOND: Final = float(TICKS_PER_SECOND)
_NO_REFUSAL: Final = int(Refusal.NONE)
_OK: Final = int(Status.OK)
_THROTTLED: Final = int(Status.THROTTLED)
_TIMEOUT: Final = int(Status.TIMEOUT)


@part
def _full(run: Any) -> int:
    """Give the array that has too little room for what one event can lead to."""
    if run.events + run.room > run.events_held:
        return EVENTS
    if run.environments + run.room > run.environments_held:
        return ENVIRONMENTS
    if run.settlements >= run.settlements_held:
        return SETTLEMENTS
    if run.history >= run.history_held:
        return HISTORY
    if run.rows >= run.rows_held:
        return ROWS
    return DONE


def _build(fingerprint: str):  # type: ignore[no-untyped-def]
    def advance(runs) -> int:  # type: ignore[no-untyped-def]
        """Let events happen; say why it stopped."""
        fingerprint  # noqa: B018
        run = runs[0]
        while True:
            # What the event leads to: an environment's handler that ends or asks its model ``at`` a time; an answer to
            # the attempt in row ``index``, for which ``refused`` is an environment's place and below 0.
            kind = ARRIVAL
            attempt = 0
            item = 0
            weight = 0.0
            if run.next_request < run.drawn:
                request = run.next_request
                arrival_s = drawn(run, 0, request)
                now = rounded(arrival_s * _PER_SECOND)
                first = event_at(run, 0)
                # At one instant a first attempt comes after all but further attempts.
                waits = run.events > 0 and (
                    first.tick < now or (first.tick == now and (first.key >> KIND_BITS) < ARRIVAL)
                )
                if not waits:
                    full = _full(run)
                    if full != DONE:
                        return full
                    run.next_request = request + 1
                    item = request
                    weight = attempts.weight_of_first(run, arrival_s)
            elif run.events > 0 and run.final:
                waits = True
            else:
                figures.count_recent(run)
                return DONE
            if waits:
                event = event_at(run, 0)
                now, key, item = event.tick, event.key, event.item
                kind = key >> KIND_BITS
                # What comes before these kinds takes no more room than it leaves.
                if kind >= PROVISION:
                    full = _full(run)
                    if full != DONE:
                        return full
                drop_first(run)
                attempt = (key >> ATTEMPT_BITS) & ATTEMPT_MASK
                request = key & REQUEST_MASK
                if kind == RELEASE:
                    attempts.leave(run, item, now)
                    continue
                if kind == ARRIVAL:
                    weight = attempts.weight_of_further(run, now)
                    item = run.rows
                    if run.keep_rows:
                        run.rows = item + 1

            working = NONE
            asks = 0
            at = now
            refusal = _NO_REFUSAL
            status = _OK
            index = NONE
            if kind == ARRIVAL:
                index = caller.row_of(run, item, request)
                working = attempts.arrive(run, index, request, attempt, now, weight)
                if working >= 0:
                    at = attempts.serve(run, index, request, attempt, now, working)
                    asks = version_at(run, environment_at(run, working).version).quota != NONE
                else:
                    refusal = -1 - working
                    status = _THROTTLED
            elif kind == CALL:
                working = item
                at, asks, refusal = calls.ask(run, working, now)
            elif kind == ANSWER:
                caller.decide(run, caller.row_of(run, item, request), request, attempt, now)
                continue
            elif kind == GIVE_UP:
                index = caller.row_of(run, item, request)
                status = _TIMEOUT
                at = now + run.gateway_timeout + 1
            elif kind == READY:
                pools.provide(run, item, now)
                continue
            else:
                provisioning.change(run, request, item, now)
                continue

            if working >= 0:
                environment = environment_at(run, working)
                if asks and at <= environment.deadline:
                    attempts.ask_at(run, working, at)
                    continue
                if asks:
                    refusal = _NO_REFUSAL
                at = attempts.end_work(run, working, at)
                index = caller.row_of(run, environment.row, request)
                if environment.stopped:
                    status = _TIMEOUT
                elif refusal != _NO_REFUSAL:
                    status = _THROTTLED
                row = row_at(run, index)
                if caller.still_in(row, request, attempt):
                    row.busy = at - row.sent
                    row.duration = at - environment.deadline + version_at(run, environment.version).timeout
                    row.tries = environment.tries
            row = row_at(run, index)
            if caller.still_in(row, request, attempt) and row.client < 0:
                busy = at - now if kind == GIVE_UP else at - row.sent
                caller.conclude(run, index, request, attempt, busy, status, refusal)

    return entry(advance)


advance = _build(FINGERPRINT)
