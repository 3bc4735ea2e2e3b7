"""A benchmark from its description to its run: what it will cost, and what it measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from replay.bench.arms import Arm, unique
from replay.bench.budget import PriceList, SpendLimit
from replay.bench.calls import LiveCaller
from replay.bench.clients import Endpoint
from replay.bench.plan import Load, Stage, make_plan
from replay.bench.records import Run, arm_labels
from replay.bench.runner import Progress, Runner
from replay.bench.targets import Target
from replay.errors import InputError
from simulator.cost import load_prices


@dataclass(frozen=True)
class Benchmark:
    """What to measure.

    Raises
    ------
    InputError
        Nothing to measure, a limit without prices, or a value out of range.
    """

    targets: tuple[Target, ...]
    arms: tuple[Arm, ...]
    loads: tuple[Load, ...] = (Load(concurrency=1),)
    requests: int = 30
    """Measured requests per target, arm and load."""
    seed: int = 0
    spend_limit_usd: float | None = None
    prices: Path | None = None
    """TOML with prices of your own."""
    endpoint: Endpoint = field(default_factory=Endpoint)
    max_in_flight: int = 200

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"benchmark: seed {self.seed!r} must be 0 or more")
        if self.max_in_flight < 1:
            raise InputError(f"benchmark: max_in_flight {self.max_in_flight!r} must be at least 1")

    def price_list(self) -> PriceList:
        """Give the token prices of the targets."""
        prices = PriceList(load_prices(self.prices), self.targets)
        unknown = prices.unknown()
        if self.spend_limit_usd is not None and unknown:
            raise InputError(
                f"spend limit: no token price is known for {unknown[0]}; add it to a TOML file and pass --prices, "
                "or leave the limit out"
            )
        return prices

    def stages(self) -> list[Stage]:
        """Plan the requests."""
        arms = unique(self.arms)
        return make_plan(self.targets, arm_labels(arms), self.loads, requests=self.requests, seed=self.seed)


@dataclass(frozen=True)
class Expectation:
    """What a benchmark would do."""

    requests: int
    """With the first request to each target; cache warm-ups are a few more."""
    expected_usd: float | None
    """None: a price is not known."""
    at_most_usd: float | None
    unpriced: tuple[str, ...]
    span_s: float | None
    """How long it takes to send; None in a closed loop, which waits for the answers."""


def expect(benchmark: Benchmark) -> Expectation:
    """Say what a benchmark would cost, without sending anything."""
    prices, stages = benchmark.price_list(), benchmark.stages()
    items = [item for stage in stages for item in (*stage.firsts, *stage.items)]
    expected = [prices.expected_usd(item.target.label, item.arm) for item in items]
    highest = [prices.at_most_usd(item.target.label, item.arm) for item in items]
    spans = [stage.items[-1].intended_s for stage in stages]
    known_spans = [span for span in spans if span is not None]
    return Expectation(
        requests=len(items),
        expected_usd=_sum(expected),
        at_most_usd=_sum(highest),
        unpriced=tuple(prices.unknown()),
        span_s=sum(known_spans) if len(known_spans) == len(spans) else None,
    )


def run_benchmark(benchmark: Benchmark, *, on_progress: Callable[[Progress], None] | None = None) -> Run:
    """Measure. Ctrl-C ends it early; the run then holds what was measured until then.

    Parameters
    ----------
    benchmark
        What to measure.
    on_progress
        Called after each request.
    """
    stages = benchmark.stages()
    labels = arm_labels(unique(benchmark.arms))
    limit = SpendLimit(benchmark.spend_limit_usd)
    calls = LiveCaller(benchmark.endpoint)
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        runner = Runner(
            calls,
            benchmark.price_list(),
            limit,
            max_in_flight=benchmark.max_in_flight,
            on_progress=on_progress,
        )
        ended = runner.run(stages)
    finally:
        calls.close()
    return Run(
        started_at=started_at,
        targets=benchmark.targets,
        arms=labels,
        loads=tuple(load.label for load in sorted(benchmark.loads, key=lambda load: load.order)),
        seed=benchmark.seed,
        planned=len(benchmark.targets) * len(labels) * len(benchmark.loads) * benchmark.requests,
        measurements=ended.measurements,
        ended=ended.reason,
        warnings=(*_cache_warnings(benchmark), *ended.warnings),
        settings={
            "requests": benchmark.requests,
            "spend_limit_usd": benchmark.spend_limit_usd,
            "endpoint_url": benchmark.endpoint.endpoint_url,
            "max_in_flight": benchmark.max_in_flight,
        },
    )


def _cache_warnings(benchmark: Benchmark) -> list[str]:
    """Say where an arm wants a cache that its prompt cannot reach."""
    return [
        f"{target.label}: cache={arm.cache} at {arm.input_tokens} input tokens lies below the model's minimum of "
        f"{target.cache_minimum_tokens}; nothing will be cached"
        for target in benchmark.targets
        for arm in unique(benchmark.arms)
        if arm.cache in ("write", "read") and arm.input_tokens < (target.cache_minimum_tokens or 0)
    ]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
