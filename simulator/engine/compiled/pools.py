"""The environments and the limits on them: ``simulator/engine/pools.py``, with lists of records instead of objects."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.clock import NEVER, TICKS_PER_SECOND
from simulator.engine.compiled.buckets import resize, take
from simulator.engine.compiled.jit import part, shared
from simulator.engine.compiled.layout import NONE, PROVISIONED_RATE, RATE, SCALE_OUT
from simulator.engine.compiled.records import bucket_at, environment_at, version_at
from simulator.engine.outcomes import Refusal

_PER_SECOND: Final = float(TICKS_PER_SECOND)


def refused(refusal: int) -> int:
    """Give the negative number that stands for a refusal where an environment's index could be."""
    return -1 - refusal


_VERSION_CONCURRENCY: Final = refused(Refusal.VERSION_CONCURRENCY)
_REQUEST_RATE: Final = refused(Refusal.REQUEST_RATE)
_SCALE_OUT: Final = refused(Refusal.SCALE_OUT)


@part
def take_environment(run: Any, version: int, now: int) -> int:
    """Give the environment that serves the next attempt, busy from now on, or a refusal as :func:`refused` has it."""
    own = version_at(run, version)
    if own.busy >= own.limit:
        return _VERSION_CONCURRENCY
    free = own.free_last
    if free != NONE:
        if run.changes and run.busy >= run.limit:
            return -1 - run.over_limit
        if run.per_unit == 0.0 or take(bucket_at(run, PROVISIONED_RATE + version), now):
            _unlink_last_free(run, version)
            own.busy += 1
            own.busy_provisioned += 1
            run.busy += 1
            return free
    if run.busy_on_demand >= run.on_demand_limit:
        return -1 - run.over_limit
    if run.per_unit != 0.0 and not take(bucket_at(run, RATE), now):
        return _REQUEST_RATE
    found = own.idle
    while found != NONE:
        environment = environment_at(run, found)
        own.idle = environment.next
        if environment.gone_at > now:
            break
        forget(run, found)
        found = own.idle
    else:
        if not take(bucket_at(run, SCALE_OUT), now):
            return _SCALE_OUT
        found = start(run, version, 0)
    own.busy += 1
    run.busy += 1
    run.busy_on_demand += 1
    return found


@part
def start(run: Any, version: int, provisioned: int) -> int:
    """Start an environment; numbers count up as they start, records are used again."""
    found = run.unused_environment
    if found == NONE:
        found = run.environments
        run.environments += 1
    else:
        run.unused_environment = environment_at(run, found).next
    environment = environment_at(run, found)
    environment.number = run.started
    run.started += 1
    environment.version = version
    environment.provisioned = provisioned
    environment.fresh = 1 - provisioned
    environment.reset = 0
    environment.stopped = 0
    environment.has_sdk = 0
    environment.gone_at = 0
    environment.ends_at = NEVER
    environment.ready = 0
    return found


@part
def forget(run: Any, index: int) -> None:
    """Give the record of an environment that has ended back."""
    environment_at(run, index).next = run.unused_environment
    run.unused_environment = index


@part
def release(run: Any, index: int, now: int, keep_alive: int) -> None:
    """Put an environment that ended its work among the idle ones."""
    environment = environment_at(run, index)
    own = version_at(run, environment.version)
    own.busy -= 1
    run.busy -= 1
    if environment.provisioned:
        own.busy_provisioned -= 1
        provide(run, index, now)
    else:
        run.busy_on_demand -= 1
        environment.gone_at = min(now + keep_alive, environment.ends_at)
        environment.next = own.idle
        own.idle = index


@shared
def end(run: Any, index: int, now: int) -> int:
    """End an environment at work; give the one that replaces it in provisioned concurrency, or none."""
    environment = environment_at(run, index)
    version = environment.version
    provisioned = environment.provisioned
    own = version_at(run, version)
    own.busy -= 1
    run.busy -= 1
    forget(run, index)
    if not provisioned:
        run.busy_on_demand -= 1
        return NONE
    own.busy_provisioned -= 1
    if own.alive > own.allotted:
        own.alive -= 1
        _carve(run, now)
        return NONE
    return start(run, version, 1)


@shared
def provide(run: Any, index: int, now: int) -> None:
    """Make an environment of provisioned concurrency free, unless it has become one too many."""
    environment = environment_at(run, index)
    own = version_at(run, environment.version)
    if own.alive > own.allotted:
        own.alive -= 1
        forget(run, index)
        _carve(run, now)
        return
    environment.previous = own.free_last
    environment.next = NONE
    if own.free_last == NONE:
        own.free_first = index
    else:
        environment_at(run, own.free_last).next = index
    own.free_last = index


@part
def _unlink_last_free(run: Any, version: int) -> None:
    own = version_at(run, version)
    own.free_last = environment_at(run, own.free_last).previous
    if own.free_last == NONE:
        own.free_first = NONE
    else:
        environment_at(run, own.free_last).next = NONE


@shared
def allot(run: Any, version: int, provisioned: int, now: int) -> int:
    """Set a version's provisioned concurrency; give how many environments are to be started for it."""
    own = version_at(run, version)
    own.allotted = provisioned
    while own.free_first != NONE and own.alive > provisioned:
        first = own.free_first
        own.free_first = environment_at(run, first).next
        if own.free_first == NONE:
            own.free_last = NONE
        else:
            environment_at(run, own.free_first).previous = NONE
        forget(run, first)
        own.alive -= 1
    missing = max(0, provisioned - own.alive)
    own.alive += missing
    _carve(run, now)
    return missing


@shared
def _carve(run: Any, now: int) -> None:
    carved = 0
    for version in range(run.version_count):
        own = version_at(run, version)
        carved += max(own.alive, own.allotted)
    run.on_demand_limit = run.limit - carved
    if run.per_unit != 0.0:
        rate = run.per_unit * max(0, run.on_demand_limit)
        resize(bucket_at(run, RATE), now, rate, rate / _PER_SECOND)
        for version in range(run.version_count):
            rate = run.per_unit * version_at(run, version).allotted
            resize(bucket_at(run, PROVISIONED_RATE + version), now, rate, rate / _PER_SECOND)
