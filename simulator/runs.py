"""The replications of a forecast, in blocks that may be run anywhere: see :mod:`simulator.parallel`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.draws import Randomness
from simulator.engine.select import engine
from simulator.keep_alive import KeepAliveFit
from simulator.parallel import InProcess, Workers
from simulator.platform import Platform
from simulator.quantiles import FloatArray
from simulator.replication import CostModel, metrics_for, step_figures
from simulator.room import check_room_for
from simulator.run_draws import draw_run, with_environment_levels
from simulator.service import PreparedService
from simulator.timeline import Timeline

Progress = Callable[[int, int], None]
"""Called with (replications done, replications in all)."""
Key = tuple[str, str, str]
"""Step, variant, metric."""
BLOCK: Final = 5
"""Replications of a block: short enough to share out evenly, long enough to be worth handing over."""


@dataclass(frozen=True)
class Runs:
    """What all replications of one forecast share.

    Parameters
    ----------
    timeline, services, platform, costs, keep_alive
        What a run is drawn from.
    metrics
        Names of the figures to take, see :func:`~simulator.replication.metrics_for`.
    seed, replications
        How many runs, from which seed.
    """

    timeline: Timeline
    services: tuple[PreparedService, ...]
    platform: Platform
    costs: CostModel
    metrics: tuple[str, ...]
    keep_alive: KeepAliveFit | None
    seed: int
    replications: int

    @property
    def blocks(self) -> range:
        """Numbers of the blocks."""
        return range(-(-self.replications // BLOCK))


def run_block(runs: Runs, block: int) -> dict[Key, FloatArray]:
    """Run one block; give each figure and how many requests it spoke of, shape ``(2, replications of the block)``."""
    timeline, platform = runs.timeline, runs.platform
    replications = range(block * BLOCK, min((block + 1) * BLOCK, runs.replications))
    metrics, rollout, simulate = metrics_for(runs.metrics), timeline.rollout(), engine()
    found: dict[Key, FloatArray] = {}
    for place, replication in enumerate(replications):
        randomness = Randomness(runs.seed, replication)
        arrival_s, step = timeline.draw(randomness)
        draws, token_usd, log_sds = draw_run(
            runs.services, platform, runs.keep_alive, randomness, arrival_s, timeline.recorded_at_s
        )
        outcomes = with_environment_levels(simulate(draws, platform, rollout), randomness, log_sds)
        cost_usd = runs.costs.of(outcomes, token_usd, platform)
        ready = runs.costs.ready(outcomes, platform)
        for key, figure in step_figures(outcomes, step, cost_usd, timeline, platform, metrics, ready).items():
            if key not in found:
                found[key] = np.array([[math.nan], [0.0]]).repeat(len(replications), axis=1)
            found[key][:, place] = figure
    return found


def replicate(
    runs: Runs, workers: Workers | None, progress: Progress | None
) -> tuple[Mapping[Key, FloatArray], Mapping[Key, FloatArray]]:
    """Run all replications; give each figure, and how many requests it spoke of, shape ``(replications,)`` each."""
    check_room_for(workers, runs.timeline.expected_requests, runs.platform.client.max_attempts, len(runs.blocks))
    parts: dict[int, dict[Key, FloatArray]] = {}
    done = 0
    for block, found in (workers or InProcess()).map(run_block, runs, runs.blocks):
        parts[block] = found
        for _ in range(min(BLOCK, runs.replications - block * BLOCK)):
            done += 1
            if progress is not None:
                progress(done, runs.replications)
    samples: dict[Key, FloatArray] = {}
    requests: dict[Key, FloatArray] = {}
    for block in sorted(parts):
        for key, (values, counts) in parts[block].items():
            if key not in samples:
                samples[key], requests[key] = np.full(runs.replications, math.nan), np.zeros(runs.replications)
            span = slice(block * BLOCK, block * BLOCK + values.size)
            samples[key][span], requests[key][span] = values, counts
    return samples, requests
