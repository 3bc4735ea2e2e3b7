"""Which request is made when: cells interleaved in random order, so that drift hits all of them alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from replay.bench.arms import Arm
from replay.bench.targets import Target
from replay.errors import InputError
from simulator.arrivals import replay as replayed_arrivals
from simulator.trace import Trace

Shuffled = TypeVar("Shuffled")


@dataclass(frozen=True)
class Load:
    """How requests follow each other. Exactly one of the three is given.

    Raises
    ------
    InputError
        None or several are given, or one is out of range.
    """

    concurrency: int | None = None
    """Closed loop: so many callers, each sends its next request when the last one is answered. It cannot see queueing
    that it causes itself: when answers slow down, so does it."""
    rate_rps: float | None = None
    """Open loop: Poisson arrivals, whatever the answers do."""
    trace: Trace | None = None
    """Open loop: the arrivals (and, where there are any, the token counts) of a recording."""
    speed: float = 1.0
    """Of a replayed trace."""

    def __post_init__(self) -> None:
        given = [value for value in (self.concurrency, self.rate_rps, self.trace) if value is not None]
        if len(given) != 1:
            raise InputError("load: give exactly one of a concurrency, a rate or a trace")
        if self.concurrency is not None and self.concurrency < 1:
            raise InputError(f"load: concurrency {self.concurrency!r} must be at least 1")
        if self.rate_rps is not None and not (math.isfinite(self.rate_rps) and self.rate_rps > 0):
            raise InputError(f"load: rate {self.rate_rps!r} must be above 0 requests a second")

    @property
    def order(self) -> tuple[int, float]:
        """What loads are sorted by: closed loops, then rates, then the trace; of each the lightest first."""
        if self.concurrency is not None:
            return 0, self.concurrency
        return (1, self.rate_rps) if self.rate_rps is not None else (2, self.speed)

    @property
    def label(self) -> str:
        """What to call it."""
        if self.concurrency is not None:
            return f"{self.concurrency} at once"
        return f"{self.rate_rps:g}/s" if self.rate_rps is not None else "replayed"


@dataclass(frozen=True)
class Item:
    """One planned request."""

    sequence: int
    target: Target
    arm_label: str
    arm: Arm
    key: str
    """Of its prompt, see :func:`replay.bench.prompts.make_prompt`."""
    intended_s: float | None
    """Since its load's start; None in a closed loop, where it is the moment a caller is free."""

    @property
    def cell(self) -> tuple[str, str]:
        """Target and arm."""
        return self.target.label, self.arm_label


@dataclass(frozen=True)
class Stage:
    """Requests under one load."""

    load: Load
    items: tuple[Item, ...]
    firsts: tuple[Item, ...] = ()
    """The run's first request to each target, with its first arm: made alone, before everything else."""


def make_plan(
    targets: Sequence[Target],
    arms: Mapping[str, Arm],
    loads: Sequence[Load],
    *,
    requests: int,
    seed: int,
) -> list[Stage]:
    """Plan a run.

    Each round holds every cell (target × arm) once, in an order of its own drawn from ``seed``; with several loads,
    the rounds of each are cut in two stages, and the stages are shuffled. One request more is planned per target, its
    first, which stands apart.

    Parameters
    ----------
    targets, arms, loads
        What to combine.
    requests
        Measured requests per cell and load.
    seed
        Of the order and the arrivals.

    Raises
    ------
    InputError
        Nothing to combine, or fewer than 1 request.
    """
    if not targets or not arms or not loads:
        raise InputError("benchmark: give at least one target, one arm and one load")
    if len({target.label for target in targets}) < len(targets):
        raise InputError("benchmark: two targets have one name; tell them apart with NAME=MODEL")
    if requests < 1:
        raise InputError(f"benchmark: requests {requests!r} must be at least 1 per cell")
    rng = np.random.default_rng([seed, 0x0BE7C4])
    halves = [requests] if len(loads) == 1 else [half for half in (requests - requests // 2, requests // 2) if half]
    parts = [(load, rounds) for rounds in halves for load in _shuffled(list(loads), rng)]
    stages: list[Stage] = []
    sequence = 0
    for load, rounds in parts:
        drafts: list[tuple[Target, str]] = []
        for _ in range(rounds):
            drafts += _shuffled([(target, label) for target in targets for label in arms], rng)
        intended = _intended(load, len(drafts), rng)
        sizes = _recorded_sizes(load, len(drafts))
        firsts = []
        if not stages:
            label, arm = next(iter(arms.items()))
            firsts = [Item(index, target, label, arm, f"{seed}/{index}", None) for index, target in enumerate(targets)]
            sequence = len(firsts)
        items = []
        for index, (target, label) in enumerate(drafts):
            arm = _sized(arms[label], sizes[index]) if sizes else arms[label]
            key = f"{seed}/{target.label}" if arm.cache == "read" else f"{seed}/{sequence}"
            items.append(Item(sequence, target, label, arm, key, intended[index]))
            sequence += 1
        stages.append(Stage(load, tuple(items), tuple(firsts)))
    return stages


def _intended(load: Load, count: int, rng: np.random.Generator) -> list[float | None]:
    if load.rate_rps is not None:
        # A Poisson process up to its n-th arrival: the gaps are exponential.
        return [float(time_s) for time_s in np.cumsum(rng.standard_exponential(count)) / load.rate_rps]
    if load.trace is not None:
        recorded = replayed_arrivals(load.trace, speed=load.speed)
        laps = -(-count // recorded.arrival_s.size)
        times = np.concatenate([recorded.arrival_s + lap * recorded.duration_s for lap in range(laps)])
        return [float(time_s) for time_s in times[:count]]
    return [None] * count


def _recorded_sizes(load: Load, count: int) -> list[tuple[int | None, int | None]]:
    if load.trace is None:
        return []
    columns = load.trace.frame.select("input_tokens", "output_tokens").rows()
    return [columns[index % len(columns)] for index in range(count)]


def _sized(arm: Arm, size: tuple[int | None, int | None]) -> Arm:
    input_tokens, output_tokens = size
    return replace(
        arm,
        input_tokens=input_tokens or arm.input_tokens,
        output_tokens=output_tokens or arm.output_tokens,
    )


def _shuffled(values: list[Shuffled], rng: np.random.Generator) -> list[Shuffled]:
    return [values[index] for index in rng.permutation(len(values))]
