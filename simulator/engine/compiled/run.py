"""A run: draws go in block by block, and the kernel goes on from where it stopped."""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.draws import Draws
from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.compiled import ahead, kernel, layout
from simulator.engine.compiled.oldest import oldest_request
from simulator.engine.compiled.rows import CompactOutcomes
from simulator.engine.compiled.window import Window
from simulator.engine.compiled.world import World
from simulator.engine.inputs import check_draws, check_rollout
from simulator.engine.outcomes import ProvisionedHistory
from simulator.errors import ParameterError
from simulator.platform import Platform
from simulator.rollout import Rollout

BLOCK_REQUESTS: Final = 1 << 12
"""So many requests are taken over at once: their draws then still lie in the processor's cache."""


class Run:
    """One run under way.

    Parameters
    ----------
    platform, rollout
        As in :func:`simulator.engine.reference.simulate`.
    requests
        How many there will be, where a row is to be kept for each attempt; None: only figures are kept, and memory does
        not grow with the number of requests.
    sort_ends
        Whether to take the way of :mod:`simulator.engine.compiled.ahead`. None: where the platform allows it.

    Raises
    ------
    ParameterError
        A weight for a version that the platform does not have.
    """

    def __init__(
        self, platform: Platform, rollout: Rollout, requests: int | None, *, sort_ends: bool | None = None
    ) -> None:
        check_rollout(platform, rollout)
        self._platform = platform
        self._lane: ahead.Lane | None = None
        if sort_ends is None:
            sort_ends = ahead.fits(platform)
        block = BLOCK_REQUESTS if requests is None else min(requests, BLOCK_REQUESTS)
        if sort_ends:
            # Draws are read where they lie.
            block = 0
        self._window = Window(platform, block)
        self._keeps_rows = requests is not None
        self._last_arrival_s = 0.0
        self.world = World(platform, rollout, self._window, requests=requests)
        if sort_ends:
            room = ahead.BLOCK_REQUESTS if requests is None else requests
            self._lane = ahead.Lane(self.world, keeps_rows=self._keeps_rows, requests=room)

    def feed(self, draws: Draws) -> None:
        """Take over the draws of the next requests and simulate until the last of them has arrived.

        Raises
        ------
        ParameterError
            Draws that lack what the platform's policies need, or that begin before the last request fed.
        """
        check_draws(draws, self._platform)
        if not draws.requests:
            return
        first_s, run = float(draws.arrival_s[0]), self.world.run
        if first_s < self._last_arrival_s:
            raise ParameterError(
                f"arrival_s goes back in time between two blocks, from {self._last_arrival_s:g} to {first_s:g}"
            )
        self._last_arrival_s = float(draws.arrival_s[-1])
        lifetimes = draws.lifetime_s is not None
        if run["drawn"][0] and run["lifetimes"][0] != lifetimes:
            raise ParameterError("some blocks have lifetime_s and some have none; give it in all of them")
        run["lifetimes"] = lifetimes
        if self._lane is not None:
            self._lane.feed(draws, int(run["drawn"][0]))
            run["drawn"] += draws.requests
            return
        for begin in range(0, draws.requests, BLOCK_REQUESTS):
            self._feed(draws, begin, min(begin + BLOCK_REQUESTS, draws.requests))

    def finish(self) -> None:
        """Let everything come to its end; there are no more requests."""
        self.world.run["final"] = 1
        if self._lane is None:
            self._advance()

    def compact(self) -> CompactOutcomes:
        """Give what became of each attempt, after the end of a run that keeps rows."""
        run = self.world.run[0]
        return CompactOutcomes(
            rows=self.world.rows[: int(run["rows"])],
            requests=int(run["drawn"]),
            late_after_ticks=int(run["late_after"]),
            provisioned_history=self.histories(),
        )

    def histories(self) -> tuple[ProvisionedHistory, ...]:
        """Give each version's allotment over time."""
        changes = self.world.history[: int(self.world.run["history"][0])]
        found = []
        for version, settings in enumerate(self._platform.versions.values()):
            own = changes[changes["version"] == version]
            found.append(
                ProvisionedHistory(
                    np.concatenate([[0.0], own["tick"] / TICKS_PER_SECOND]),
                    np.concatenate([[settings.provisioned], own["allotted"]]).astype(np.int64),
                )
            )
        return tuple(found)

    def _feed(self, draws: Draws, begin: int, end: int) -> None:
        run = self.world.run
        fed = int(run["drawn"][0])
        oldest = int(oldest_request(self.world.run, self.world.events)) if fed + end - begin > self._window.size else 0
        while fed + end - begin - oldest > self._window.size:
            self._grow_window(oldest, fed)
        self._window.feed(draws, begin, end, fed)
        run["drawn"] = fed + end - begin
        self._advance()

    def _grow_window(self, oldest: int, fed: int) -> None:
        kept = np.arange(oldest, fed)
        old_places = kept & (self._window.size - 1)
        self._window.grow(oldest, fed)
        world = self.world
        if not self._keeps_rows:
            rows = np.zeros(self._window.size, dtype=world.rows.dtype)
            rows[kept & (self._window.size - 1)] = world.rows[old_places]
            world.rows = rows
        world.look_at(self._window)

    def _advance(self) -> None:
        while (full := kernel.advance(self.world.run)) != kernel.DONE:
            self.world.double(layout.GROWING[full])
