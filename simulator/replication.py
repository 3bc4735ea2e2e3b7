"""The figures of one simulated run: what an observer of each step would have written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from simulator.draws import IntArray
from simulator.engine.outcomes import Outcomes, Status
from simulator.errors import ParameterError
from simulator.figures import ALL
from simulator.platform import Platform
from simulator.quantiles import FloatArray
from simulator.timeline import Timeline
from simulator.trace import Trace

if TYPE_CHECKING:
    from simulator.cost import Prices

BoolArray = NDArray[np.bool_]

WHOLE: Final = "whole rollout"
"""The step name that stands for all steps together."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What an observer sees of a group of requests: latencies of those answered or timed out, and the rest."""

    latency_ms: FloatArray
    """Ascending, so that several quantiles cost one sort."""
    cold: BoolArray
    """Of those that an environment served."""
    failed: BoolArray
    throttled: BoolArray
    timed_out: BoolArray
    attempts: NDArray[np.int64]
    cost_usd: FloatArray


Metric = Callable[[Seen], tuple[float, int]]
"""Gives a figure (NaN where there is none) and how many requests it speaks of."""


def metrics_for(names: Sequence[str]) -> dict[str, Metric]:
    """Give the functions that compute the figures called ``names``, duplicates once.

    Raises
    ------
    ParameterError
        A name that is no figure.
    """
    return {name: _metric(name) for name in dict.fromkeys(names)}


def step_figures(
    outcomes: Outcomes,
    step: IntArray,
    cost_usd: FloatArray,
    timeline: Timeline,
    platform: Platform,
    metrics: Mapping[str, Metric],
) -> dict[tuple[str, str, str], tuple[float, int]]:
    """Give (step, variant, metric) → (figure, requests) of one run, for ``all`` and each variant with traffic.

    The steps together are the step :data:`WHOLE`.
    """
    found: dict[tuple[str, str, str], tuple[float, int]] = {}
    parts = [(planned.label, step == index, planned.weight) for index, planned in enumerate(timeline.steps)]
    weights = [planned.weight for planned in timeline.steps]
    by_version = [outcomes.version == version for version in range(2)]
    for label, inside, weight in [*parts, (WHOLE, step >= 0, None)]:
        served = (
            (min(weights) < 1.0, max(weights) > 0.0)
            if weight is None  # all steps: a version that any of them sends to
            else (weight < 1.0, weight > 0.0)
        )
        groups = {ALL: inside}
        for name, serves, rows in zip(platform.names, served, by_version, strict=True):
            if serves:
                groups[name] = inside & rows
        for variant, rows in groups.items():
            for metric, figure in figures_of(outcomes, rows, cost_usd, metrics).items():
                found[label, variant, metric] = figure
    return found


def figures_of(
    outcomes: Outcomes, rows: BoolArray, cost_usd: FloatArray, metrics: Mapping[str, Metric]
) -> dict[str, tuple[float, int]]:
    """Give metric → (figure, requests) of the requests that ``rows``, shape ``(n,)``, picks."""
    seen = _seen(outcomes, rows, cost_usd)
    return {metric: compute(seen) for metric, compute in metrics.items()}


@dataclass(frozen=True, eq=False)
class CostModel:
    """What a simulated request costs.

    Parameters
    ----------
    prices, architecture
        As of :mod:`simulator.cost`; without prices every cost is NaN.
    token_usd
        Variant → cost of the tokens of each recorded row, NaN where it cannot be told.
    memory_mb
        Variant → recorded memory, None where it was not recorded (then the platform's counts).
    reasons
        Variant → why its cost cannot be told, or on how much it rests; empty where all is well.
    """

    prices: Prices | None
    architecture: str
    token_usd: Mapping[str, FloatArray] = field(repr=False)
    memory_mb: Mapping[str, int | None]
    reasons: Mapping[str, str]

    @classmethod
    def fit(cls, traces: Mapping[str, Trace], prices: Prices | None, architecture: str) -> CostModel:
        """Price the recorded rows' tokens."""
        memory = {variant: _memory_mb(trace) for variant, trace in traces.items()}
        if prices is None:
            nothing = {variant: np.full(len(trace), np.nan) for variant, trace in traces.items()}
            return cls(None, architecture, nothing, memory, dict.fromkeys(traces, "no prices were given"))
        # Imported here: the price tables are slow to load, and a forecast without prices needs none.
        from simulator.cost import trace_cost

        token_usd: dict[str, FloatArray] = {}
        reasons: dict[str, str] = {}
        for variant, trace in traces.items():
            cost = trace_cost(trace, prices=prices, architecture=architecture)
            usable = np.isfinite(cost.token_usd)
            # A row whose tokens are unknown stands for the mean of the others, not for nothing.
            mean_usd = float(cost.token_usd[usable].mean()) if usable.any() else np.nan
            token_usd[variant] = np.where(usable, cost.token_usd, mean_usd)
            if not usable.all():
                # Only what concerns tokens: a missing billed time is simulated anyway.
                told = [one.reason for one in cost.unpriced if "token" in one.reason or "model" in one.reason]
                reasons[variant] = f"{variant}: {'; '.join(dict.fromkeys(told)) or 'some tokens are not priced'}"
        return cls(prices, architecture, token_usd, memory, reasons)

    def of(self, outcomes: Outcomes, token_usd: FloatArray, platform: Platform) -> FloatArray:
        """Price each simulated request in USD with all of its attempts, shape ``(n,)``.

        ``token_usd``, shape ``(versions, n)``, is what its tokens would cost on each version. A refused attempt pays
        the gateway only; one that timed out has used its tokens.
        """
        if self.prices is None:
            return np.full(outcomes.requests, np.nan)
        from simulator.cost import lambda_cost_usd, request_cost_usd

        log = outcomes.log
        served = log.environment >= 0
        version = np.maximum(log.version, 0)
        memory_mb = np.array(
            [self.memory_mb[name] or settings.memory_mb for name, settings in platform.versions.items()]
        )
        usd = lambda_cost_usd(
            log.billed_ms,
            memory_mb[version],
            prices=self.prices,
            provisioned=log.provisioned,
            architecture=self.architecture,
        )
        usd = usd + np.where(served, token_usd[version, log.request], 0.0)
        per_request = request_cost_usd(prices=self.prices)
        invocation = self.prices.lambda_requests_per_million_usd / 1e6
        usd = usd + np.where(served, per_request, per_request - invocation)
        return np.asarray(np.bincount(log.request, usd, minlength=outcomes.requests), dtype=np.float64)


def _seen(outcomes: Outcomes, rows: BoolArray, cost_usd: FloatArray) -> Seen:
    answered = rows & (outcomes.status != Status.THROTTLED)
    return Seen(
        latency_ms=np.sort(outcomes.client_ms[answered]),
        cold=outcomes.cold[rows & (outcomes.environment >= 0)],
        failed=outcomes.status[rows] != Status.OK,
        throttled=outcomes.status[rows] == Status.THROTTLED,
        timed_out=outcomes.status[rows] == Status.TIMEOUT,
        attempts=outcomes.attempts[rows],
        cost_usd=cost_usd[rows],
    )


def _metric(name: str) -> Metric:
    if name == "cold_share":
        return lambda seen: _mean(seen.cold)
    if name == "error_rate":
        return lambda seen: _mean(seen.failed)
    if name == "throttled_share":
        return lambda seen: _mean(seen.throttled)
    if name == "retry_amplification":
        return lambda seen: _mean(seen.attempts)
    if name == "timeout_share":
        return lambda seen: _mean(seen.timed_out)
    if name == "mean_ms":
        return lambda seen: _mean(seen.latency_ms)
    if name == "cost_usd_per_1000":
        return lambda seen: (_mean(seen.cost_usd)[0] * 1000.0, seen.cost_usd.size)
    if name.startswith("p") and name.endswith("_ms"):
        level = float(name[1:-3]) / 100.0
        return lambda seen: (_sorted_quantile(seen.latency_ms, level), seen.latency_ms.size)
    raise ParameterError(f"{name!r} is no figure; known are p50_ms … p99.9_ms, mean_ms, cold_share, error_rate")


def _mean(values: NDArray[np.float64] | NDArray[np.int64] | BoolArray) -> tuple[float, int]:
    return (float(values.mean()) if values.size else math.nan), int(values.size)


def _sorted_quantile(ascending: FloatArray, level: float) -> float:
    """Give what :func:`simulator.quantiles.quantile` gives, without sorting again."""
    if not ascending.size:
        return math.nan
    place = level * (ascending.size - 1)
    below = int(place)
    above = min(below + 1, ascending.size - 1)
    return float(ascending[below] + (place - below) * (ascending[above] - ascending[below]))


def _memory_mb(trace: Trace) -> int | None:
    memory = trace.frame["memory_mb"].drop_nulls()
    return int(memory.mode()[0]) if len(memory) else None
