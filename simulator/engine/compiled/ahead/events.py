"""The loop over a block: whichever comes first of the sorted ends, the pending events and the next arrival."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND
from simulator.engine.compiled import buckets, pools
from simulator.engine.compiled.ahead.ends import PLACE_BITS, PLACE_MASK
from simulator.engine.compiled.attempts import INIT_LIMIT, end_stopped
from simulator.engine.compiled.draws import rounded
from simulator.engine.compiled.heap import drop_first, event_key, push
from simulator.engine.compiled.jit import FINGERPRINT, entry, part
from simulator.engine.compiled.layout import (
    AFTER_ALL,
    COLD,
    GATEWAY,
    KIND_BITS,
    NONE,
    PROVISIONED,
    READY,
    RELEASE,
    STOPPED,
)
from simulator.engine.compiled.records import bucket_at, environment_at, event_at, version_at
from simulator.engine.outcomes import Refusal

DONE: Final = -1
"""The last request has arrived, and what is pending lies in the heap."""
ENVIRONMENTS, EVENTS = range(2)
"""The array of that name in ``layout.GROWING`` is full: to be doubled; then it goes on."""

NEXT, NEXT_END = range(2)
"""The cursors: the next request to arrive, and the next of the sorted ends."""

_GATEWAY_RATE: Final = pools.refused(Refusal.GATEWAY_RATE)
_PER_MS: Final = float(TICKS_PER_MS)
_PER_SECOND: Final = float(TICKS_PER_SECOND)


@part
def _spare(run: Any) -> int:
    """Give how many arrivals and ends there is room for: each starts one environment at most, and adds one event."""
    return min(run.environments_held - run.environments, run.events_held - run.events) - run.room


@part
def _full(run: Any) -> int:
    return EVENTS if run.events + run.room >= run.events_held else ENVIRONMENTS


@part
def leave(run: Any, index: int, now: int, stopped: bool, keep_alive: int) -> None:
    """Free an environment that has ended its work, or that was stopped at the function's time-out."""
    if stopped:
        environment = environment_at(run, index)
        if environment.provisioned or not run.suppressed_init:
            end_stopped(run, index, now)
            return
        environment.reset = 1
    pools.release(run, index, now, keep_alive)


def _build(fingerprint: str):  # type: ignore[no-untyped-def]
    def advance(  # type: ignore[no-untyped-def]
        runs,
        cursors,
        first_request,
        first_tick,
        keys,
        sent,
        busy,
        version,
        flags,
        item,
        number,
        init,
        duration,
        cold_handler_ms,
        init_ms,
        setup_ms,
        keep_alive_s,
        lifetime_s,
    ):
        """Let a block's requests arrive; say why it stopped.

        ``keys`` has one more than there are requests, the largest that there is. ``item`` is the environment that works on a request whose end is its key's, none where its end lies in the heap
        or it was refused; ``number`` that environment's, as outcomes tell it, or where
        there is none what refused it (:func:`simulator.engine.compiled.pools.refused`).
        """
        fingerprint  # noqa: B018
        run = runs[0]
        requests = sent.shape[0]
        place, next_end = cursors[NEXT], cursors[NEXT_END]
        stop = DONE
        spare = _spare(run)
        while stop == DONE and place < requests:
            now = sent[place]
            while True:
                # What has not arrived has not ended either, though it may take no time at all.
                key = keys[next_end]
                other = key & PLACE_MASK
                ended = first_tick + (key >> PLACE_BITS)
                is_due = (ended <= now) & (other < place)
                pending = event_at(run, 0)
                if pending.tick <= now and not (
                    is_due
                    and (
                        ended < pending.tick
                        or (ended == pending.tick and event_key(RELEASE, 0, first_request + other) < pending.key)
                    )
                ):
                    if spare <= 0:
                        spare = _spare(run)
                        if spare <= 0:
                            stop = _full(run)
                            break
                    spare -= 1
                    tick, kind, working = pending.tick, pending.key >> KIND_BITS, pending.item
                    drop_first(run)
                    if kind == READY:
                        pools.provide(run, working, tick)
                    else:
                        environment = environment_at(run, working)
                        stopped = environment.stopped != 0
                        environment.stopped = 0
                        leave(run, working, tick, stopped, environment.keep_alive)
                    continue
                if not is_due:
                    break
                working = item[other]
                if working >= 0:
                    stopped = flags[other] & STOPPED != 0
                    if stopped:
                        if spare <= 0:
                            spare = _spare(run)
                            if spare <= 0:
                                stop = _full(run)
                                break
                        spare -= 1
                        environment = environment_at(run, working)
                        if environment.provisioned:
                            own = environment.version
                            environment.replacement = rounded(setup_ms[own, other] * _PER_MS) + rounded(
                                init_ms[own, other] * _PER_MS
                            )
                    leave(run, working, ended, stopped, rounded(keep_alive_s[other] * _PER_SECOND))
                next_end += 1
            if stop != DONE:
                break
            if spare <= 0:
                spare = _spare(run)
                if spare <= 0:
                    stop = _full(run)
                    break
            spare -= 1

            own = version[place]
            taken = _GATEWAY_RATE
            if buckets.take(bucket_at(run, GATEWAY), now):
                taken = pools.take_environment(run, own, now)
            else:
                version[place] = NONE
            if taken < 0:
                item[place] = NONE
                number[place] = taken
                flags[place] = 0
                busy[place] = 0
            else:
                environment = environment_at(run, taken)
                number[place] = environment.number
                if environment.provisioned:
                    flags[place] |= PROVISIONED
                if environment.fresh or environment.reset:
                    handler = rounded(cold_handler_ms[own, place] * _PER_MS)
                    again = rounded(init_ms[own, place] * _PER_MS)
                    before = 0
                    reported = 0
                    if environment.fresh:
                        environment.fresh = 0
                        before = rounded(setup_ms[own, place] * _PER_MS)
                        reported = again
                        again = 0
                        if run.lifetimes:
                            environment.ends_at = now + rounded(lifetime_s[place] * _PER_SECOND)
                        if reported > INIT_LIMIT:
                            again = reported
                            reported = INIT_LIMIT
                    environment.reset = 0
                    handler += again
                    timeout = version_at(run, own).timeout
                    told = COLD
                    if handler > timeout:
                        handler = timeout
                        told |= STOPPED
                        environment.stopped = 1
                    took = before + reported + handler
                    busy[place] = took
                    flags[place] = told
                    init[place] = reported
                    duration[place] = handler
                    item[place] = NONE
                    _remember(run, taken, keep_alive_s[place], setup_ms[own, place], init_ms[own, place])
                    push(run, now + took, event_key(RELEASE, 0, first_request + place), taken)
                else:
                    item[place] = taken
            place += 1

        if stop == DONE:
            # Nothing of this block is known to the next one: what has not ended goes on in the heap.
            while next_end < requests:
                other = keys[next_end] & PLACE_MASK
                working = item[other]
                if working >= 0:
                    if spare <= 0:
                        spare = _spare(run)
                        if spare <= 0:
                            stop = _full(run)
                            break
                    spare -= 1
                    environment = environment_at(run, working)
                    own = environment.version
                    environment.stopped = 1 if flags[other] & STOPPED else 0
                    _remember(run, working, keep_alive_s[other], setup_ms[own, other], init_ms[own, other])
                    ended = first_tick + (keys[next_end] >> PLACE_BITS)
                    push(run, ended, event_key(RELEASE, 0, first_request + other), working)
                next_end += 1
        cursors[NEXT], cursors[NEXT_END] = place, next_end
        return stop

    return entry(advance)


@part
def _remember(run: Any, working: int, keep_alive_s: float, setup_ms: float, init_ms: float) -> None:
    """Write down what the end of an attempt needs to know, when its draws are gone."""
    environment = environment_at(run, working)
    environment.keep_alive = rounded(keep_alive_s * _PER_SECOND)
    environment.replacement = rounded(setup_ms * _PER_MS) + rounded(init_ms * _PER_MS)


advance = _build(FINGERPRINT)
