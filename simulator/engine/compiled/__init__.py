"""The compiled engine: what ``simulator/engine/reference.py`` does, request by request, in numba.

Its state lies in arrays (``layout``), so that it can stop between two events and go on; ``kernel`` is the loop, and
what the reference does in a file is done here in the file of the same name. ``run`` feeds it draws block by block from
a ``window`` of those still needed, ``rows`` gives outcomes, ``stream`` figures of any number of requests.
"""

from __future__ import annotations

from simulator.draws import Draws
from simulator.engine.compiled.rows import CompactOutcomes
from simulator.engine.compiled.run import Run
from simulator.engine.outcomes import Outcomes
from simulator.platform import Platform
from simulator.rollout import Rollout

__all__ = ["CompactOutcomes", "simulate", "simulate_compact"]


def simulate(draws: Draws, platform: Platform, rollout: Rollout) -> Outcomes:
    """Do what :func:`simulator.engine.reference.simulate` does; arguments, outcomes and errors are the same."""
    return simulate_compact(draws, platform, rollout).outcomes(draws.arrival_s)


def simulate_compact(draws: Draws, platform: Platform, rollout: Rollout) -> CompactOutcomes:
    """Do the same, and keep 48 bytes an attempt; arguments and errors as in :func:`simulate`."""
    run = Run(platform, rollout, draws.requests)
    run.feed(draws)
    run.finish()
    return run.compact()
