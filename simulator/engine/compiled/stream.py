"""Figures of a run of any length in constant memory: requests come in blocks and are forgotten when they have ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np

from simulator.draws import Draws
from simulator.engine.clock import TICKS_PER_MS
from simulator.engine.compiled.run import Run
from simulator.engine.compiled.sketch import LatencySketch
from simulator.engine.outcomes import ProvisionedHistory, Refusal
from simulator.platform import Platform
from simulator.rollout import Rollout


@dataclass(frozen=True)
class RunFigures:
    """Figures of one version, or of all requests: those of a request belong to its last attempt's version.

    Parameters
    ----------
    requests
        How many there were.
    served, cold
        Those whose last attempt an environment served, and of those the ones that waited for an INIT.
    ok, throttled, timed_out
        How they ended.
    attempts
        All that reached the gateway for this version.
    refused
        Attempts that each limit refused, where it refused any.
    billed_ms, provisioned_billed_ms
        What Lambda bills for all attempts, and the part of it on provisioned concurrency.
    billed_late_ms
        Of all billed time, what was worked after the gateway or the caller had given up.
    asked_model, model_tries
        Handlers that asked a model with a quota, and how often.
    latency
        Of requests that were answered or timed out, from the first sending to the last answer.
    latency_sum_ms
        Their sum.
    """

    requests: int
    served: int
    cold: int
    ok: int
    throttled: int
    timed_out: int
    attempts: int
    refused: dict[Refusal, int]
    billed_ms: int
    provisioned_billed_ms: int
    billed_late_ms: float
    asked_model: int
    model_tries: int
    latency: LatencySketch = field(repr=False)
    latency_sum_ms: float

    def __add__(self, other: RunFigures) -> RunFigures:
        """Give the figures of both together, as of two versions or two runs."""
        numbers = {
            name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__ if name != "refused"
        }
        reasons = [reason for reason in Refusal if reason in self.refused or reason in other.refused]
        refused = {reason: self.refused.get(reason, 0) + other.refused.get(reason, 0) for reason in reasons}
        return RunFigures(**numbers, refused=refused)


@dataclass(frozen=True)
class StreamedRun:
    """What :func:`stream` gives.

    Parameters
    ----------
    versions
        Figures of each version, in the platform's order.
    undrawn
        Figures of what the gateway refused before the alias drew a version.
    provisioned_history
        Of each version, in the platform's order.
    """

    versions: tuple[RunFigures, ...]
    undrawn: RunFigures
    provisioned_history: tuple[ProvisionedHistory, ...] = field(repr=False)

    @property
    def all(self) -> RunFigures:
        """Figures of all requests."""
        return reduce(add, self.versions, self.undrawn)


def stream(blocks: Iterable[Draws], platform: Platform, rollout: Rollout) -> StreamedRun:
    """Simulate as :func:`simulator.engine.compiled.simulate` does, and keep figures only.

    Memory is that of one block, of the draws of requests under way, and of the environments.

    Parameters
    ----------
    blocks
        Draws of consecutive requests; a block may not begin before the last arrival of the one before.
    platform, rollout
        As in :func:`simulator.engine.compiled.simulate`.

    Raises
    ------
    ParameterError
        As in :func:`simulator.engine.compiled.simulate`, or a block that goes back in time.
    """
    run = Run(platform, rollout, None)
    for block in blocks:
        run.feed(block)
    run.finish()
    world = run.world
    found = [_figures(one, *rest) for one, *rest in zip(world.figures, world.refusals, world.latencies, strict=True)]
    return StreamedRun(tuple(found[1:]), found[0], run.histories())


def _figures(
    one: np.void,
    refusals: np.ndarray[tuple[int], np.dtype[np.int64]],
    latencies: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> RunFigures:
    counted = (
        "requests served cold ok throttled timed_out attempts billed_ms provisioned_billed_ms asked_model model_tries"
    )
    return RunFigures(
        **{name: int(one[name]) for name in counted.split()},
        refused={reason: int(refusals[reason]) for reason in Refusal if refusals[reason]},
        billed_late_ms=float(one["late_ticks"]) / TICKS_PER_MS,
        latency=LatencySketch(latencies),
        latency_sum_ms=float(one["latency_ticks"]) / TICKS_PER_MS,
    )
