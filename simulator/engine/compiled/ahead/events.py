"""The loop over a block: whichever comes first of the sorted ends, the pending events and the next arrival."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.compiled import buckets, pools
from simulator.engine.compiled.ahead.block import (
    PLACE_BITS,
    PLACE_MASK,
    byte,
    cold_handler_of,
    duration_at,
    flags_at,
    half,
    init_at,
    init_of,
    item_at,
    keep_alive_of,
    key_at,
    lifetime_of,
    number_at,
    sent_at,
    setup_at,
    setup_of,
    version_at,
    whole,
)
from simulator.engine.compiled.attempts import INIT_LIMIT, end_stopped
from simulator.engine.compiled.heap import drop_first, event_key, push
from simulator.engine.compiled.jit import FINGERPRINT, entry, part
from simulator.engine.compiled.layout import (
    COLD,
    GATEWAY,
    KIND_BITS,
    NONE,
    PROVISIONED,
    READY,
    REFUSED,
    RELEASE,
    STOPPED,
)
from simulator.engine.compiled.records import bucket_at, environment_at, event_at
from simulator.engine.compiled.records import version_at as settings_at
from simulator.engine.outcomes import Refusal

DONE: Final = -1
"""The last request has arrived, and what is pending lies in the heap."""
ENVIRONMENTS, EVENTS = range(2)
"""The array of that name in ``layout.GROWING`` is full: to be doubled; then it goes on."""

_GATEWAY_RATE: Final = pools.refused(Refusal.GATEWAY_RATE)


@part
def _spare(run: Any) -> int:
    """Give how many arrivals and ends there is room for: each starts one environment at most, and adds one event."""
    return min(run.environments_held - run.environments, run.events_held - run.events) - run.room


@part
def _renewed(run: Any, spare: int) -> int:
    """Count anew where what was counted last seems used up: some arrivals and ends took less."""
    return spare if spare > 0 else _spare(run)


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
    def advance(runs, blocks) -> int:  # type: ignore[no-untyped-def]
        """Let a block's requests arrive, whose keys are sorted; say why it stopped."""
        fingerprint  # noqa: B018
        run, block = runs[0], blocks[0]
        requests, first_request, first_tick = block.requests, block.first_request, block.first_tick
        place, next_end = block.next_request, block.next_end
        keys, items, flags = block.key_at, block.item_at, block.flags_at
        stop = DONE
        spare = _spare(run)
        while stop == DONE and place < requests:
            now = sent_at(block, place).value
            while True:
                # What has not arrived has not ended either, though it may take no time at all.
                key = whole(keys, next_end).value
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
                    spare = _renewed(run, spare)
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
                working = half(items, other).value
                if working >= 0:
                    stopped = byte(flags, other).value & STOPPED != 0
                    if stopped:
                        spare = _renewed(run, spare)
                        if spare <= 0:
                            stop = _full(run)
                            break
                        spare -= 1
                        environment = environment_at(run, working)
                        if environment.provisioned:
                            own = environment.version
                            environment.replacement = setup_of(block, own, other) + init_of(block, own, other)
                    leave(run, working, ended, stopped, keep_alive_of(block, other))
                next_end += 1
            if stop != DONE:
                break
            spare = _renewed(run, spare)
            if spare <= 0:
                stop = _full(run)
                break
            spare -= 1

            own = version_at(block, place).value
            taken = _GATEWAY_RATE
            if buckets.take(bucket_at(run, GATEWAY), now):
                taken = pools.take_environment(run, own, now)
            else:
                version_at(block, place).value = NONE
            if taken < 0:
                item_at(block, place).value = NONE
                number_at(block, place).value = -1 - taken
                flags_at(block, place).value = REFUSED
            else:
                environment = environment_at(run, taken)
                if run.keep_rows:
                    number_at(block, place).value = environment.number
                if environment.provisioned:
                    flags_at(block, place).value |= PROVISIONED
                if environment.fresh or environment.reset:
                    _serve_cold(run, block, taken, place)
                else:
                    item_at(block, place).value = taken
            place += 1

        if stop == DONE:
            # Nothing of this block is known to the next one: what has not ended goes on in the heap.
            while next_end < requests:
                other = key_at(block, next_end).value & PLACE_MASK
                working = item_at(block, other).value
                if working >= 0:
                    spare = _renewed(run, spare)
                    if spare <= 0:
                        stop = _full(run)
                        break
                    spare -= 1
                    environment = environment_at(run, working)
                    environment.stopped = 1 if flags_at(block, other).value & STOPPED else 0
                    _remember(run, block, working, other)
                    ended = first_tick + (key_at(block, next_end).value >> PLACE_BITS)
                    push(run, ended, event_key(RELEASE, 0, first_request + other), working)
                next_end += 1
        block.next_request, block.next_end = place, next_end
        return stop

    return entry(advance)


@part
def _serve_cold(run: Any, block: Any, working: int, place: int) -> None:
    """Let an environment that has its INIT before it, or again, work on a request; its end is an event in the heap."""
    environment, now = environment_at(run, working), sent_at(block, place).value
    own = environment.version
    handler = cold_handler_of(block, own, place)
    again = init_of(block, own, place)
    before = 0
    reported = 0
    if environment.fresh:
        environment.fresh = 0
        before = setup_of(block, own, place)
        reported = again
        again = 0
        if run.lifetimes:
            environment.ends_at = now + lifetime_of(block, place)
        if reported > INIT_LIMIT:
            again = reported
            reported = INIT_LIMIT
    environment.reset = 0
    handler += again
    timeout = settings_at(run, own).timeout
    told = COLD
    if handler > timeout:
        handler = timeout
        told |= STOPPED
        environment.stopped = 1
    setup_at(block, place).value = before
    init_at(block, place).value = reported
    duration_at(block, place).value = handler
    flags_at(block, place).value = told
    item_at(block, place).value = NONE
    _remember(run, block, working, place)
    push(run, now + before + reported + handler, event_key(RELEASE, 0, block.first_request + place), working)


@part
def _remember(run: Any, block: Any, working: int, place: int) -> None:
    """Write down what the end of an attempt needs to know, when its draws are gone."""
    environment = environment_at(run, working)
    own = environment.version
    environment.keep_alive = keep_alive_of(block, place)
    environment.replacement = setup_of(block, own, place) + init_of(block, own, place)


advance = _build(FINGERPRINT)
