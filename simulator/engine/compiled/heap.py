"""The pending events: a heap ordered as the clock orders them, by tick and then by key."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.engine.compiled.jit import part, shared
from simulator.engine.compiled.layout import AFTER_ALL, ATTEMPT_BITS, HEAP_SHIFT, HEAP_WAYS, KIND_BITS
from simulator.engine.compiled.records import event_at


@part
def event_key(kind: int, attempt: int, request: int) -> Any:
    """Give what orders events of one tick."""
    return (np.int64(kind) << KIND_BITS) | (np.int64(attempt) << ATTEMPT_BITS) | np.int64(request)


@shared
def push(run: Any, tick: int, key: int, item: int) -> None:
    """Add an event; the caller has made sure that there is room."""
    place = run.events
    run.events = place + 1
    while place > 0:
        parent = (place - 1) >> HEAP_SHIFT
        above = event_at(run, parent)
        if above.tick < tick or (above.tick == tick and above.key < key):
            break
        here = event_at(run, place)
        here.tick, here.key, here.item = above.tick, above.key, above.item
        place = parent
    here = event_at(run, place)
    here.tick, here.key, here.item = tick, key, item


@part
def drop_first(run: Any) -> None:
    """Remove the first event."""
    size = run.events - 1
    run.events = size
    last = event_at(run, size)
    tick, key, item = last.tick, last.key, last.item
    last.tick = AFTER_ALL
    if size == 0:
        return
    place = 0
    while True:
        child = HEAP_WAYS * place + 1
        if child >= size:
            break
        # Which child is first cannot be foreseen: without branches (``|`` and ``&``, not ``or`` and ``and``) the
        # processor need not guess. Places beyond the last event hold a tick after all others.
        one = event_at(run, child)
        best, best_tick, best_key = child, one.tick, one.key
        for step in range(1, HEAP_WAYS):
            one = event_at(run, child + step)
            earlier = (one.tick < best_tick) | ((one.tick == best_tick) & (one.key < best_key))
            best = child + step if earlier else best
            best_tick = one.tick if earlier else best_tick
            best_key = one.key if earlier else best_key
        if (tick < best_tick) | ((tick == best_tick) & (key < best_key)):
            break
        here = event_at(run, place)
        here.tick, here.key, here.item = best_tick, best_key, event_at(run, best).item
        place = best
    here = event_at(run, place)
    here.tick, here.key, here.item = tick, key, item
