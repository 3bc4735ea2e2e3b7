"""The pending events: a heap ordered as the clock orders them, by tick and then by key."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from simulator.engine.compiled.jit import part, shared
from simulator.engine.compiled.layout import ATTEMPT_BITS, KIND_BITS
from simulator.engine.compiled.records import event_at

_WAYS: Final = 4
"""Children of a node: half the levels of a binary heap, and children lie side by side in memory."""


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
        parent = (place - 1) // _WAYS
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
    place = 0
    while True:
        child = _WAYS * place + 1
        if child >= size:
            break
        best = child
        best_tick, best_key = event_at(run, best).tick, event_at(run, best).key
        for other in range(child + 1, min(child + _WAYS, size)):
            one = event_at(run, other)
            if one.tick < best_tick or (one.tick == best_tick and one.key < best_key):
                best, best_tick, best_key = other, one.tick, one.key
        if tick < best_tick or (tick == best_tick and key < best_key):
            break
        here = event_at(run, place)
        here.tick, here.key, here.item = best_tick, best_key, event_at(run, best).item
        place = best
    if size > 0:
        here = event_at(run, place)
        here.tick, here.key, here.item = tick, key, item
