"""What models' quotas get back when calls end: a heap of its own, looked at when the next call is made.

Nothing but a call asks a quota, so what comes back before it may wait until then; it comes back in the order in which
it did, at its own moment. That keeps these events out of the heap that everything else goes through.
"""

from __future__ import annotations

from typing import Any

from simulator.engine.compiled import buckets
from simulator.engine.compiled.jit import part
from simulator.engine.compiled.layout import HEAP_SHIFT, HEAP_WAYS, QUOTAS
from simulator.engine.compiled.records import bucket_at, settlement_at


@part
def settle_later(run: Any, tick: int, key: int, quota: int, tokens: float) -> None:
    """Note that a quota gets tokens back at a time; ``key`` orders those of one tick."""
    place = run.settlements
    run.settlements = place + 1
    while place > 0:
        parent = (place - 1) >> HEAP_SHIFT
        above = settlement_at(run, parent)
        if above.tick < tick or (above.tick == tick and above.key < key):
            break
        _move(above, settlement_at(run, place))
        place = parent
    here = settlement_at(run, place)
    here.tick, here.key, here.quota, here.tokens = tick, key, quota, tokens


@part
def settle_until(run: Any, now: int) -> None:
    """Give back what is due by now."""
    while run.settlements > 0:
        first = settlement_at(run, 0)
        if first.tick > now:
            break
        buckets.add(bucket_at(run, QUOTAS + 2 * first.quota + 1), first.tick, first.tokens)
        _drop_first(run)


@part
def _drop_first(run: Any) -> None:
    size = run.settlements - 1
    run.settlements = size
    last = settlement_at(run, size)
    place = 0
    while True:
        child = HEAP_WAYS * place + 1
        if child >= size:
            break
        best = child
        for other in range(child + 1, min(child + HEAP_WAYS, size)):
            if _before(settlement_at(run, other), settlement_at(run, best)):
                best = other
        if _before(last, settlement_at(run, best)):
            break
        _move(settlement_at(run, best), settlement_at(run, place))
        place = best
    _move(last, settlement_at(run, place))


@part
def _before(one: Any, other: Any) -> bool:
    return bool((one.tick < other.tick) | ((one.tick == other.tick) & (one.key < other.key)))


@part
def _move(source: Any, target: Any) -> None:
    target.tick, target.key, target.quota, target.tokens = source.tick, source.key, source.quota, source.tokens
