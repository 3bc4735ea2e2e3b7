"""Provisioned concurrency over time: ``simulator/engine/provisioning.py``."""

from __future__ import annotations

import math
from typing import Any, Final

from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.compiled import pools
from simulator.engine.compiled.heap import event_key, push
from simulator.engine.compiled.jit import part, shared
from simulator.engine.compiled.layout import NONE, PROVISION, READY
from simulator.engine.compiled.records import change_at, environment_at, history_at, version_at
from simulator.engine.provisioning import IN_PERIODS, IN_SHARE, OUT_PERIODS, PERIOD_S

PERIOD: Final = PERIOD_S * TICKS_PER_SECOND
_ROUNDING: Final = 1e-9


@part
def observe(run: Any, version: int) -> None:
    """Take note of an invocation: how much of the allotment is busy, itself included."""
    own = version_at(run, version)
    if own.tracked:
        utilization = own.busy_provisioned / max(1, own.allotted)
        own.sum += utilization
        own.max = max(own.max, utilization)
        own.count += 1


@shared
def change(run: Any, number: int, item: int, now: int) -> None:
    """Make a scheduled change, or end a minute of target tracking; the first numbers are the trackers'."""
    if item != NONE:
        _set(run, change_at(run, item).version, change_at(run, item).allotted, now)
        return
    if run.final and run.next_request == run.drawn:
        # Nobody looks after the last arrival.
        return
    own = version_at(run, number)
    allotted = own.allotted
    wanted = _end_period(run, number)
    if wanted != allotted:
        _set(run, number, wanted, now)
    push(run, now + PERIOD, event_key(PROVISION, 0, number), NONE)


@shared
def _set(run: Any, version: int, provisioned: int, now: int) -> None:
    entry = history_at(run, run.history)
    run.history += 1
    entry.version = version
    entry.allotted = provisioned
    entry.tick = now
    for _ in range(pools.allot(run, version, provisioned, now)):
        index = pools.start(run, version, 1)
        environment = environment_at(run, index)
        environment.ready = now + run.provisioning
        push(run, environment.ready, event_key(READY, 0, environment.number), index)


@shared
def _end_period(run: Any, version: int) -> int:
    own = version_at(run, version)
    if own.count == 0:
        return own.allotted
    value = own.max if own.of_maximum else own.sum / own.count
    own.sum = 0.0
    own.max = 0.0
    own.count = 0
    own.above = own.above + 1 if value > own.target else 0
    own.below = own.below + 1 if value < IN_SHARE * own.target else 0
    if own.above < OUT_PERIODS and own.below < IN_PERIODS:
        return own.allotted
    own.above = 0
    own.below = 0
    wanted = math.ceil(own.allotted * value / own.target - _ROUNDING)
    return min(own.maximum, max(own.minimum, wanted))
