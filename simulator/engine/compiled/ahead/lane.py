"""The way of a block through it: draws are read where they lie, and the heap holds what is left over."""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.draws import Draws
from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.compiled import layout
from simulator.engine.compiled.ahead import events, results
from simulator.engine.compiled.ahead.ends import BLOCK_REQUESTS, write_ends
from simulator.engine.compiled.world import World
from simulator.platform import Platform

_LONGEST_S: Final = (1 << 48) / TICKS_PER_SECOND
"""What a block may last, so that its ends fit into the keys: half of what they hold, in seconds."""

_LAST: Final = (1 << 63) - 1


def fits(platform: Platform) -> bool:
    """Say whether every attempt's end is known when it begins, and so this way can be taken."""
    return platform.client.max_attempts == 1 and not any(
        one.model is not None or one.provisioned_changes or one.target_tracking is not None
        for one in platform.versions.values()
    )


class Lane:
    """Takes blocks of requests through a world.

    Parameters
    ----------
    world
        Of a platform that :func:`fits`.
    keeps_rows
        Whether each request's row is to be written, or only figures.
    requests
        How many will be fed at once at most, as far as known.
    """

    def __init__(self, world: World, *, keeps_rows: bool, requests: int = BLOCK_REQUESTS) -> None:
        self._world, self._keeps_rows = world, keeps_rows
        self._room = 0
        self._make_room(min(requests, BLOCK_REQUESTS))

    def feed(self, draws: Draws, first_request: int) -> None:
        """Simulate until the last request of ``draws`` has arrived; its first is number ``first_request`` of the run."""
        begin = 0
        while begin < draws.requests:
            end = min(begin + BLOCK_REQUESTS, draws.requests)
            while draws.arrival_s[end - 1] - draws.arrival_s[begin] > _LONGEST_S:
                end = begin + (end - begin + 1) // 2
            self._take(draws, begin, end, first_request + begin)
            begin = end

    def _make_room(self, requests: int) -> None:
        if requests <= self._room:
            return
        self._room = requests
        self._sent, self._busy, self._bins = (np.empty(requests, dtype=np.int64) for _ in range(3))
        self._keys = np.empty(requests + 1, dtype=np.int64)
        self._item, self._number, self._init, self._duration = (np.empty(requests, dtype=np.int32) for _ in range(4))
        self._version, self._flags = (np.empty(requests, dtype=np.int8) for _ in range(2))

    def _take(self, draws: Draws, begin: int, end: int, first_request: int) -> None:
        n, world, own = end - begin, self._world, slice(begin, end)
        self._make_room(n)
        sent, busy, version, flags = self._sent[:n], self._busy[:n], self._version[:n], self._flags[:n]
        keys, number, init, duration = self._keys[: n + 1], self._number[:n], self._init[:n], self._duration[:n]
        first_tick = write_ends(
            world.run,
            draws.arrival_s[own],
            draws.route[0, own],
            draws.handler_ms[:, 0, own],
            sent,
            busy,
            version,
            flags,
            keys,
        )
        keys[:n].sort()
        keys[n] = _LAST
        cursors = np.zeros(2, dtype=np.int64)
        lifetime_s = draws.keep_alive_s if draws.lifetime_s is None else draws.lifetime_s
        while (
            full := events.advance(
                world.run,
                cursors,
                first_request,
                first_tick,
                keys,
                sent,
                busy,
                version,
                flags,
                self._item,
                number,
                init,
                duration,
                draws.cold_handler_ms[:, 0, own],
                draws.init_ms[:, 0, own],
                draws.setup_ms[:, 0, own],
                draws.keep_alive_s[0, own],
                lifetime_s[0, own],
            )
        ) != events.DONE:
            world.double(layout.GROWING[full])
        overhead_ms = draws.overhead_ms[:, 0, own]
        if self._keeps_rows:
            results.write_rows(
                world.run, first_request, sent, busy, version, flags, number, init, duration, overhead_ms
            )
        else:
            results.count(
                world.run, sent, busy, version, flags, number, init, duration, overhead_ms, self._bins
            )
