"""The way of a block through it: draws are read where they lie, and the heap holds what is left over."""

from __future__ import annotations

from typing import Final

from simulator.draws import Draws
from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.compiled import layout
from simulator.engine.compiled.ahead import events, results
from simulator.engine.compiled.ahead.block import BLOCK_REQUESTS, Block
from simulator.engine.compiled.ahead.ends import write_ends
from simulator.engine.compiled.world import World
from simulator.platform import Platform

_LONGEST_S: Final = (1 << 48) / TICKS_PER_SECOND
"""What a block may last, so that its ends fit into the keys: half of what they hold, in seconds."""


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
        self._block = Block(min(requests, BLOCK_REQUESTS))

    def feed(self, draws: Draws, first_request: int) -> None:
        """Simulate until the last request of ``draws`` has arrived; its first has the number ``first_request``."""
        begin = 0
        while begin < draws.requests:
            end = min(begin + BLOCK_REQUESTS, draws.requests)
            while draws.arrival_s[end - 1] - draws.arrival_s[begin] > _LONGEST_S:
                end = begin + (end - begin + 1) // 2
            self._take(draws, begin, end, first_request + begin)
            begin = end

    def _take(self, draws: Draws, begin: int, end: int, first_request: int) -> None:
        block, run = self._block, self._world.run
        if end - begin > block.requests:
            block = self._block = Block(BLOCK_REQUESTS)
        block.look_at(draws, begin, end, first_request)
        write_ends(run, block.record)
        block.keys[: end - begin].sort()
        while (full := events.advance(run, block.record)) != events.DONE:
            self._world.double(layout.GROWING[full])
        (results.write_rows if self._keeps_rows else results.count)(run, block.record)
