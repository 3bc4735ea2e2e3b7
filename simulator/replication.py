"""The figures of one simulated run: what an observer of each step would have written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from simulator.draws import IntArray
from simulator.engine.outcomes import Outcomes, Status
from simulator.engine.usage import provisioned_use
from simulator.errors import ParameterError
from simulator.figures import ALL
from simulator.platform import Platform
from simulator.quantiles import FloatArray
from simulator.timeline import Timeline
from simulator.trace import Trace

if TYPE_CHECKING:
    from simulator.cost import Prices

BoolArray = NDArray[np.bool_]

# Plain numbers: an enum's member is slow to look up, and a forecast asks ten thousand times.
_OK: Final = int(Status.OK)
_THROTTLED: Final = int(Status.THROTTLED)
_TIMEOUT: Final = int(Status.TIMEOUT)
WHOLE: Final = "whole rollout"
"""The step name that stands for all steps together."""
PROVISIONED_COST: Final = "provisioned_usd_per_1000"
"""Keeping provisioned concurrency ready, spread over the requests of the time; without the rounding up to five minutes
that AWS does once, when it is taken away."""
COST_WITH_PROVISIONED: Final = "total_usd_per_1000"
"""``cost_usd_per_1000`` and :data:`PROVISIONED_COST` together."""


Rows = IntArray | slice
"""Which requests: their indices, or a stretch of them."""


class Seen:
    """What an observer sees of a group of requests, each part taken when it is asked for.

    Parameters
    ----------
    outcomes
        What became of all requests.
    rows
        The group.
    cost_usd
        Of all requests, shape ``(n,)``.
    levels
        The quantiles that will be asked for, 0 to 1.
    ready_usd
        What keeping provisioned concurrency ready costs meanwhile; NaN where it is not told.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        rows: Rows,
        cost_usd: FloatArray,
        levels: Sequence[float] = (),
        ready_usd: float = math.nan,
    ) -> None:
        self._outcomes, self._rows, self._cost_usd, self._levels = outcomes, rows, cost_usd, levels
        self.ready_usd = ready_usd

    @cached_property
    def status(self) -> NDArray[np.int64]:
        """How each ended."""
        return self._outcomes.status[self._rows]

    @cached_property
    def latency_ms(self) -> FloatArray:
        """Of those answered or timed out; the order statistics around each of the levels stand at their places."""
        latency_ms = self._outcomes.client_ms[self._rows]
        throttled = self.status == _THROTTLED
        if throttled.any():
            latency_ms = latency_ms[~throttled]
        places = {
            place
            for level in self._levels
            for place in (int(level * (latency_ms.size - 1)), int(level * (latency_ms.size - 1)) + 1)
            if place < latency_ms.size
        }
        # A selection of a few places takes a twentieth of a sort.
        return np.partition(latency_ms, sorted(places)) if places else latency_ms

    @property
    def cold(self) -> BoolArray:
        """Of those that an environment served."""
        served = self._outcomes.environment[self._rows] >= 0
        cold = self._outcomes.cold[self._rows]
        return cold if served.all() else cold[served]

    @property
    def attempts(self) -> NDArray[np.int64]:
        """Of each."""
        return self._outcomes.attempts[self._rows]

    @property
    def cost_usd(self) -> FloatArray:
        """Of each."""
        return self._cost_usd[self._rows]


ReadyCost = Callable[[int, float, float], float]
"""Gives the USD of keeping a version's provisioned concurrency ready between two moments of the run."""

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
    ready: ReadyCost,
) -> dict[tuple[str, str, str], tuple[float, int]]:
    """Give (step, variant, metric) → (figure, requests) of one run, for ``all`` and each variant with traffic.

    The steps together are the step :data:`WHOLE`. Provisioned concurrency is paid for ``all`` with that of both
    versions, with traffic or without.
    """
    found: dict[tuple[str, str, str], tuple[float, int]] = {}
    # Requests come in order of the steps, so that each step is a stretch of them.
    edges = np.searchsorted(step, np.arange(len(timeline.steps) + 1))
    starts_s = timeline.starts_s[timeline.first_step :].tolist()
    parts: list[tuple[str, slice, float | None, float, float]] = [
        (
            planned.label,
            slice(edges[index], edges[index + 1]),
            planned.weight,
            starts_s[index],
            starts_s[index] + planned.arrivals.duration_s,
        )
        for index, planned in enumerate(timeline.steps)
    ]
    weights = [planned.weight for planned in timeline.steps]
    whole = (WHOLE, slice(edges[0], None), None, timeline.steps_start_s, timeline.end_s)
    for label, inside, weight, from_s, to_s in [*parts, whole]:
        served = (
            (min(weights) < 1.0, max(weights) > 0.0)
            if weight is None  # all steps: a version that any of them sends to
            else (weight < 1.0, weight > 0.0)
        )
        usd = {name: ready(version, from_s, to_s) for version, name in enumerate(platform.names)}
        usd[ALL] = math.fsum(usd.values())
        for variant, figures in group_figures(outcomes, inside, platform.names, served, cost_usd, metrics, usd).items():
            for metric, figure in figures.items():
                found[label, variant, metric] = figure
    return found


def group_figures(
    outcomes: Outcomes,
    inside: slice,
    names: Sequence[str],
    served: Sequence[bool],
    cost_usd: FloatArray,
    metrics: Mapping[str, Metric],
    ready_usd: Mapping[str, float] | None = None,
) -> dict[str, dict[str, tuple[float, int]]]:
    """Give variant → metric → (figure, requests) of a stretch of requests: all of them, and each variant ``served``.

    ``ready_usd``: variant → what keeping its provisioned concurrency ready costs during the stretch.
    """
    version = outcomes.version[inside]
    start = 0 if inside.start is None else int(inside.start)
    groups: dict[str, Rows] = {ALL: inside}
    for number, (name, serves) in enumerate(zip(names, served, strict=True)):
        if serves:
            groups[name] = start + np.flatnonzero(version == number)
    levels = [level for level in map(level_of, metrics) if level is not None]
    found = {}
    for variant, rows in groups.items():
        seen = Seen(outcomes, rows, cost_usd, levels, math.nan if ready_usd is None else ready_usd[variant])
        found[variant] = {metric: compute(seen) for metric, compute in metrics.items()}
    return found


def level_of(metric: str) -> float | None:
    """Give the level of a quantile's name: 0.99 for ``p99_ms``; None for another figure."""
    return float(metric[1:-3]) / 100.0 if metric.startswith("p") and metric.endswith("_ms") else None


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
            # A row whose tokens are unknown stands for the mean of the others that were answered, not for nothing.
            others = cost.token_usd[usable & (trace.frame["status"] == "ok").to_numpy()]
            mean_usd = float(others.mean()) if others.size else np.nan
            token_usd[variant] = np.where(usable, cost.token_usd, mean_usd)
            if not usable.all():
                # Only what concerns tokens: a missing billed time is simulated anyway.
                told = [one.reason for one in cost.unpriced if "token" in one.reason or "model" in one.reason]
                reasons[variant] = f"{variant}: {'; '.join(dict.fromkeys(told)) or 'some tokens are not priced'}"
        silent = [variant for variant, trace in traces.items() if not _asks_a_model(trace)]
        if len(silent) < len(traces):
            # Beside one whose tokens are priced it would look cheap.
            for variant in silent:
                reasons.setdefault(variant, f"{variant}: no tokens and no model are recorded; its cost is without them")
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

    def ready(self, outcomes: Outcomes, platform: Platform) -> ReadyCost:
        """Price keeping provisioned concurrency ready, used or not; NaN without prices."""

        def of(version: int, from_s: float, to_s: float) -> float:
            if self.prices is None:
                return math.nan
            from simulator.cost import provisioned_idle_usd_per_hour

            name = platform.names[version]
            settings = platform.versions[name]
            memory_mb = self.memory_mb[name] or settings.memory_mb
            constant = not settings.provisioned_changes and settings.target_tracking is None
            allotted_s = (
                settings.provisioned * (to_s - from_s)
                if constant
                else provisioned_use(outcomes, version, from_s, to_s).allotted_s
            )
            return provisioned_idle_usd_per_hour(
                allotted_s / 3600.0, memory_mb, prices=self.prices, architecture=self.architecture
            )

        return of


def _metric(name: str) -> Metric:
    if name == "cold_share":
        return lambda seen: _mean(seen.cold)
    if name == "error_rate":
        return lambda seen: _mean(seen.status != _OK)
    if name == "throttled_share":
        return lambda seen: _mean(seen.status == _THROTTLED)
    if name == "retry_amplification":
        return lambda seen: _mean(seen.attempts)
    if name == "timeout_share":
        return lambda seen: _mean(seen.status == _TIMEOUT)
    if name == "cold_count":
        return lambda seen: _count(seen.cold)
    if name == "throttled_count":
        return lambda seen: _count(seen.status == _THROTTLED)
    if name == "timeout_count":
        return lambda seen: _count(seen.status == _TIMEOUT)
    if name == "mean_ms":
        return lambda seen: _mean(seen.latency_ms)
    if name == "cost_usd_per_1000":
        return lambda seen: (_mean(seen.cost_usd)[0] * 1000.0, seen.cost_usd.size)
    if name == PROVISIONED_COST:
        return lambda seen: (_per_1000(seen.ready_usd, seen.cost_usd.size), seen.cost_usd.size)
    if name == COST_WITH_PROVISIONED:
        return lambda seen: (
            _mean(seen.cost_usd)[0] * 1000.0 + _per_1000(seen.ready_usd, seen.cost_usd.size),
            seen.cost_usd.size,
        )
    level = level_of(name)
    if level is not None:
        return lambda seen: (_placed_quantile(seen.latency_ms, level), seen.latency_ms.size)
    raise ParameterError(f"{name!r} is no figure; known are p50_ms … p99.9_ms, mean_ms, cold_share, error_rate")


def _mean(values: NDArray[np.float64] | NDArray[np.int64] | BoolArray) -> tuple[float, int]:
    if not values.size:
        return math.nan, 0
    # Counting truth values takes a tenth of averaging them.
    total = np.count_nonzero(values) / values.size if values.dtype == np.bool_ else float(values.mean())
    return float(total), int(values.size)


def _count(values: BoolArray) -> tuple[float, int]:
    return float(np.count_nonzero(values)), int(values.size)


def _per_1000(usd: float, requests: int) -> float:
    return 1000.0 * usd / requests if requests else math.nan


def _placed_quantile(values: FloatArray, level: float) -> float:
    """Give what :func:`simulator.quantiles.quantile` gives, of values whose order statistics are at their places."""
    if not values.size:
        return math.nan
    place = level * (values.size - 1)
    below = int(place)
    above = min(below + 1, values.size - 1)
    return float(values[below] + (place - below) * (values[above] - values[below]))


def _asks_a_model(trace: Trace) -> bool:
    return bool(trace.metadata.models) or trace.frame["input_tokens"].null_count() < len(trace)


def _memory_mb(trace: Trace) -> int | None:
    memory = trace.frame["memory_mb"].drop_nulls()
    return int(memory.mode()[0]) if len(memory) else None
