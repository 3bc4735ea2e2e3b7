"""When each request of a block would end in a warm environment."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND
from simulator.engine.compiled.ahead.block import (
    PLACE_BITS,
    byte,
    drawn,
    half,
    handler_of,
    key_at,
    version_at,
    whole,
)
from simulator.engine.compiled.attempts import weight_of_first
from simulator.engine.compiled.draws import rounded
from simulator.engine.compiled.jit import FINGERPRINT, entry, part
from simulator.engine.compiled.layout import AFTER_ALL, STOPPED
from simulator.engine.compiled.records import stage_at
from simulator.engine.compiled.records import version_at as settings_at

_PER_MS: Final = float(TICKS_PER_MS)
_PER_SECOND: Final = float(TICKS_PER_SECOND)
_NEXT: Final = 8
"""The step between draws of each request that lie side by side."""


@part
def _write_sent(block: Any) -> None:
    # What these loops need is taken out of the block's record before them: the compiler could not know that what they
    # write leaves it as it is, and would not take several requests at once.
    sent_s, step, sent = block.arrival_s_at, block.arrival_s_step, block.sent_at
    if step == _NEXT:
        for place in range(block.requests):
            whole(sent, place).value = rounded(drawn(sent_s, _NEXT, place) * _PER_SECOND)
    else:
        for place in range(block.requests):
            whole(sent, place).value = rounded(drawn(sent_s, step, place) * _PER_SECOND)


@part
def _write_versions(run: Any, block: Any) -> None:
    version, requests = block.version_at, block.requests
    if run.version_count == 1:
        for place in range(requests):
            byte(version, place).value = 0
        return
    weight, until_s = 0.0, -np.inf
    for place in range(requests):
        arrival_s = drawn(block.arrival_s_at, block.arrival_s_step, place)
        if arrival_s >= until_s:
            weight = weight_of_first(run, arrival_s)
            until_s = stage_at(run, run.stage + 1).start_s if run.stage + 1 < run.stage_count else np.inf
        byte(version, place).value = drawn(block.route_at, block.route_step, place) < weight


@part
def _write_work(run: Any, block: Any) -> None:
    work, flags, requests = block.work_at, block.flags_at, block.requests
    handler_ms, step = block.handler_ms_at, block.handler_ms_step
    if run.version_count == 1 and step == _NEXT:
        timeout = settings_at(run, 0).timeout
        for place in range(requests):
            handler = rounded(drawn(handler_ms, _NEXT, place) * _PER_MS)
            half(work, place).value = min(handler, timeout)
            byte(flags, place).value = STOPPED if handler > timeout else 0
        return
    for place in range(requests):
        own = version_at(block, place).value
        handler = handler_of(block, own, place)
        timeout = settings_at(run, own).timeout
        half(work, place).value = min(handler, timeout)
        byte(flags, place).value = STOPPED if handler > timeout else 0


@part
def _write_keys(block: Any, first: int) -> None:
    keys, sent, work = block.key_at, block.sent_at, block.work_at
    for place in range(block.requests):
        end = whole(sent, place).value - first + half(work, place).value
        whole(keys, place).value = (end << PLACE_BITS) | place


def _build(fingerprint: str):  # type: ignore[no-untyped-def]
    def write_ends(runs, blocks):  # type: ignore[no-untyped-def]
        """Write down when each request is sent, to which version, how long it takes, and the key of its end.

        A key has room for eight years from the first arrival on.
        """
        fingerprint  # noqa: B018
        run, block = runs[0], blocks[0]
        first = rounded(drawn(block.arrival_s_at, block.arrival_s_step, 0) * _PER_SECOND)
        block.first_tick = first
        _write_sent(block)
        _write_versions(run, block)
        _write_work(run, block)
        _write_keys(block, first)
        key_at(block, block.requests).value = AFTER_ALL

    return entry(write_ends)


write_ends = _build(FINGERPRINT)
