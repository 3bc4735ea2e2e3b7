"""When each request of a block would end in a warm environment."""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.compiled.ahead.block import (
    PLACE_BITS,
    drawn,
    flags_at,
    handler_of,
    key_at,
    sent_at,
    version_at,
    work_at,
)
from simulator.engine.compiled.attempts import weight_of_first
from simulator.engine.compiled.draws import rounded
from simulator.engine.compiled.jit import FINGERPRINT, entry
from simulator.engine.compiled.layout import AFTER_ALL, STOPPED
from simulator.engine.compiled.records import stage_at
from simulator.engine.compiled.records import version_at as settings_at

_PER_SECOND: Final = float(TICKS_PER_SECOND)


def _build(fingerprint: str):  # type: ignore[no-untyped-def]
    def write_ends(runs, blocks):  # type: ignore[no-untyped-def]
        """Write down when each request is sent, to which version, how long it takes, and the key of its end.

        A key has room for eight years from the first arrival on.
        """
        fingerprint  # noqa: B018
        run, block = runs[0], blocks[0]
        first = rounded(drawn(block.arrival_s_at, block.arrival_s_step, 0) * _PER_SECOND)
        block.first_tick = first
        weight, until_s = 0.0, -np.inf
        for place in range(block.requests):
            arrival_s = drawn(block.arrival_s_at, block.arrival_s_step, place)
            now = rounded(arrival_s * _PER_SECOND)
            if arrival_s >= until_s:
                weight = weight_of_first(run, arrival_s)
                until_s = stage_at(run, run.stage + 1).start_s if run.stage + 1 < run.stage_count else np.inf
            own = 1 if drawn(block.route_at, block.route_step, place) < weight else 0
            handler = handler_of(block, own, place)
            timeout = settings_at(run, own).timeout
            work = min(handler, timeout)
            sent_at(block, place).value = now
            work_at(block, place).value = work
            version_at(block, place).value = own
            flags_at(block, place).value = STOPPED if handler > timeout else 0
            key_at(block, place).value = ((now - first + work) << PLACE_BITS) | place
        key_at(block, block.requests).value = AFTER_ALL

    return entry(write_ends)


write_ends = _build(FINGERPRINT)
