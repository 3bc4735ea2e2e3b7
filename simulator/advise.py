"""Advice: the cheapest settings that meet an objective with 95 % probability, and how long steps must be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from simulator.arrivals import ArrivalPlan
from simulator.cost import Prices, provisioned_idle_usd_per_hour
from simulator.errors import ParameterError
from simulator.figures import ALL
from simulator.fitted import Fitted, fit_recordings, rows_of
from simulator.forecast import Forecast, chance_json, forecast, verdict
from simulator.keep_alive import KeepAliveFit
from simulator.objective import Objective, Verdict
from simulator.parallel import Workers
from simulator.platform import HTTP_API_TIMEOUT_S, Platform
from simulator.quantiles import CONFIDENCE, FloatArray, interval, samples_to_bound
from simulator.sample import fit_sample
from simulator.service import environments_of
from simulator.timeline import PlannedStep
from simulator.trace import Trace

MAX_PROVISIONED: Final = 64
TIMEOUT_HEADROOM: Final = 1.5
"""A time-out leaves half as much again beyond the upper end of the p99.9."""
EFFECT: Final = 0.1
"""The regression that a step must be able to show, as a share of the baseline's quantile."""
POWER_Z: Final = 1.96 + 0.84
"""Standard errors apart at which a two-sided test at 5 % finds a difference four times in five."""
_STEP: Final = "advice"
_LONGEST_TIMEOUT_S: Final = 900.0
_PROBE_REQUESTS: Final = 400
_PROBES: Final = 200
_LAWS: Final = 15


@dataclass(frozen=True)
class VersionAdvice:
    """What one version needs when it serves all of the traffic.

    ``provisioned`` is None where no provisioned concurrency that was tried meets the objective with 95 % probability;
    ``tried`` gives that probability by provisioned concurrency.
    """

    provisioned: int | None
    probability: float
    idle_usd_per_hour: float | None
    request_usd_per_1000: float | None
    tried: Mapping[int, float]
    timeout_s: float | None
    timeout_note: str
    memory: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict:
        """Whether the objective can be met: what the most provisioned concurrency that was tried comes to."""
        return "pass" if self.provisioned is not None else verdict(max(self.tried.values()))

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "provisioned": self.provisioned,
            "probability": chance_json(self.probability),
            "verdict": self.verdict,
            "idle_usd_per_hour": self.idle_usd_per_hour,
            "cost_per_1k_usd": self.request_usd_per_1000,
            "tried": {str(count): chance_json(chance) for count, chance in sorted(self.tried.items())},
            "timeout_s": self.timeout_s,
            "timeout_note": self.timeout_note,
            "memory": dict(self.memory),
        }


@dataclass(frozen=True)
class StepAdvice:
    """How long a step must last before its candidate can be told from its baseline.

    Parameters
    ----------
    weight
        The candidate's share.
    bound_s
        Until the candidate has as many requests as bound the quantile from above.
    regression_s
        Until a regression by :data:`EFFECT` of the baseline's quantile shows, four times in five.
    apart_s
        Until the difference that the recordings show does; None where they show none.
    """

    weight: float
    bound_s: float
    regression_s: float
    apart_s: float | None

    @property
    def duration_s(self) -> float:
        """The longer of the two that every step needs."""
        return max(self.bound_s, self.regression_s)

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "weight": self.weight,
            "duration_s": self.duration_s,
            "bound_s": self.bound_s,
            "regression_s": self.regression_s,
            "apart_s": self.apart_s,
        }


@dataclass(frozen=True)
class Question:
    """What is asked about: recordings, load and platform.

    Parameters
    ----------
    traces
        Variant → its own rows, the baseline's first.
    arrivals
        The load under which the objective is to be met.
    platform
        Both versions; its provisioned concurrency and time-outs are what is searched.
    objectives
        All of them have to be met.
    keep_alive, prices, architecture, replications, seed, workers
        As of :func:`~simulator.forecast.forecast`.
    """

    traces: Mapping[str, Trace]
    arrivals: ArrivalPlan
    platform: Platform
    objectives: Sequence[Objective]
    keep_alive: KeepAliveFit | None
    prices: Prices
    architecture: str
    replications: int
    seed: int
    workers: Workers | None = None

    @cached_property
    def fitted(self) -> Fitted:
        """What the recordings say, the same for every forecast that is asked for."""
        baseline, candidate = self.traces.values()
        return fit_recordings(
            baseline, candidate, tuple(self.traces), prices=self.prices, architecture=self.architecture
        )

    def ask(self, variant: str, provisioned: int, *, timeout_s: float | None = None) -> Forecast:
        """Forecast all of the traffic on one version with so much provisioned concurrency, after as much before."""
        names = list(self.traces)
        # A schedule or a target of its own would be what is searched.
        own: dict[str, Any] = {"provisioned": 0, "provisioned_changes": (), "target_tracking": None}
        versions = {name: replace(one, **own) for name, one in self.platform.versions.items()}
        settings = replace(versions[variant], provisioned=provisioned)
        if timeout_s is not None:
            settings = replace(settings, timeout_s=timeout_s)
        versions[variant] = settings
        platform = replace(self.platform, versions=versions)
        if timeout_s is not None:
            platform = replace(platform, gateway_timeout_s=2.0 * timeout_s)
        return forecast(
            self.traces[names[0]],
            self.traces[names[1]],
            [PlannedStep(_STEP, float(names.index(variant)), self.arrivals)],
            platform,
            replications=self.replications,
            seed=self.seed,
            history=[PlannedStep("before", float(names.index(variant)), self.arrivals)],
            keep_alive=self.keep_alive,
            prices=self.prices,
            architecture=self.architecture,
            objectives=self.objectives,
            extra_metrics=("p99.9_ms",),
            workers=self.workers,
            fitted=self.fitted,
        )


def advise_version(question: Question, variant: str, *, most: int = MAX_PROVISIONED) -> VersionAdvice:
    """Find the least provisioned concurrency, and a time-out, with which ``variant`` meets the objectives.

    Doubling until it meets them, then halving between: more provisioned concurrency is never worse. Neither more than
    ``most`` is tried nor more than the platform's limits leave.
    """
    tried: dict[int, float] = {}
    found: dict[int, Forecast] = {}

    def chance(count: int) -> float:
        if count not in tried:
            found[count] = question.ask(variant, count)
            tried[count] = _joint(found[count], question.objectives)
        return tried[count]

    least = _least(chance, min(most, *_limits(question.platform, variant)))
    chosen = max(tried) if least is None else least
    settings = question.platform.versions[variant]
    memory = _memory(question.traces[variant], settings.memory_mb)
    cost = found[chosen].samples.get((_STEP, ALL, "cost_usd_per_1000"))
    known = cost is not None and bool(np.isfinite(cost).any())
    timeout_s, note = _timeout(question, variant, chosen)
    return VersionAdvice(
        provisioned=least,
        probability=tried[chosen],
        idle_usd_per_hour=None
        if least is None
        else provisioned_idle_usd_per_hour(
            least, memory["configured_mb"], prices=question.prices, architecture=question.architecture
        ),
        request_usd_per_1000=float(np.nanmedian(cost)) if known and cost is not None else None,
        tried=tried,
        timeout_s=timeout_s,
        timeout_note=note,
        memory=memory,
    )


def advise_steps(question: Question, weights: Sequence[float], *, seed: int = 0) -> list[StepAdvice]:
    """Say how long a step at each of ``weights`` must last, for the quantile of the first latency objective.

    The standard error of a sample quantile falls with the root of the requests (Serfling 1980, section 2.3.3); its
    constant is measured on samples drawn from each fitted law.

    Raises
    ------
    ParameterError
        A weight of 0: there is nothing to be told apart.
    """
    level = next((one.level for one in question.objectives if one.level is not None), 0.5)
    rng = np.random.default_rng(seed)
    middles, errors = zip(*(_quantile_error(trace, level, rng) for trace in question.traces.values()), strict=True)
    apart = middles[1] - middles[0]
    rate_rps = question.arrivals.expected_requests / question.arrivals.duration_s
    steps = []
    for weight in weights:
        if weight <= 0.0:
            raise ParameterError(f"a step of weight {weight:g} has no candidate to tell apart; leave it out")
        # With everything on the candidate there is no baseline left but the recorded one.
        variance = errors[1] ** 2 / weight + (errors[0] ** 2 / (1.0 - weight) if weight < 1.0 else 0.0)

        def until(difference: float, variance: float = variance) -> float:
            return (POWER_Z / difference) ** 2 * variance / rate_rps

        steps.append(
            StepAdvice(
                weight=weight,
                bound_s=samples_to_bound(level) / (rate_rps * weight),
                regression_s=until(EFFECT * middles[0]),
                apart_s=until(abs(apart)) if apart else None,
            )
        )
    return steps


def _least(chance: Callable[[int], float], most: int) -> int | None:
    if chance(0) >= CONFIDENCE:
        return 0
    if most < 1:
        return None
    low, high = 0, 1
    while chance(high) < CONFIDENCE:
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if chance(middle) >= CONFIDENCE:
            high = middle
        else:
            low = middle
    return high


def _limits(platform: Platform, variant: str) -> list[int]:
    """Give what a version's provisioned concurrency may not exceed."""
    limits = (
        platform.account_concurrency,
        platform.reserved_concurrency,
        platform.versions[variant].concurrency_limit,
    )
    return [limit for limit in limits if limit is not None]


def _joint(found: Forecast, objectives: Sequence[Objective]) -> float:
    # The least of several: a lower bound would be too harsh, and their joint chance is hardly below it.
    return min(found.probability(one) for one in objectives)


def _timeout(question: Question, variant: str, provisioned: int) -> tuple[float | None, str]:
    """Choose a time-out beyond the p99.9 of a run without any."""
    free = question.ask(variant, provisioned, timeout_s=_LONGEST_TIMEOUT_S)
    samples = free.samples[_STEP, ALL, "p99.9_ms"]
    high_ms = interval(samples)[1]
    if not math.isfinite(high_ms):
        return None, "no request was forecast"
    timeout_s = float(math.ceil(TIMEOUT_HEADROOM * high_ms / 1000.0))
    if timeout_s >= HTTP_API_TIMEOUT_S:
        return (
            HTTP_API_TIMEOUT_S - 1.0,
            f"the p99.9 may reach {high_ms / 1000.0:.1f} s; an HTTP API gives up after {HTTP_API_TIMEOUT_S:g} s, "
            "so end the work just before it",
        )
    return timeout_s, f"{TIMEOUT_HEADROOM:g} × the upper end of the p99.9 ({high_ms / 1000.0:.2f} s)"


def _memory(trace: Trace, default_mb: int) -> dict[str, Any]:
    """Say what the recording knows of memory: how a function runs with other memory it does not show."""
    sizes = sorted(int(size) for size in trace.frame["memory_mb"].drop_nulls().unique())
    used = trace.frame["max_memory_mb"].drop_nulls()
    peak_mb = int(used.max()) if len(used) else None  # type: ignore[arg-type]  # Polars types a column's figure as anything
    configured_mb = sizes[-1] if sizes else default_mb
    note = f"recorded at {', '.join(str(size) for size in sizes)} MB" if sizes else "memory was not recorded"
    if len(sizes) <= 1:
        only = " only" if sizes else ""
        note += f"{only}; memory also sets the CPU, so record another size before changing it"
    if peak_mb is not None:
        note += f"; {peak_mb} MB of {configured_mb} were used at most"
    return {"configured_mb": configured_mb, "peak_mb": peak_mb, "recorded_mb": sizes, "note": note}


def _quantile_error(trace: Trace, level: float, rng: np.random.Generator) -> tuple[float, float]:
    """Give a quantile of the warm requests that were answered, and its standard error × √requests."""
    warm = trace.frame.filter((pl.col("status") == "ok") & ~pl.col("cold").fill_null(value=False))
    column = "client_ms" if warm["client_ms"].is_not_null().any() else "duration_ms"
    rows = warm.filter(warm[column].is_not_null() & (warm[column] > 0.0))
    values: FloatArray = rows[column].to_numpy()
    fit = fit_sample(values, None, environments_of(rows)).prepare(0.0, 0.0)
    variances = []
    for _ in range(_LAWS):
        # One law alone would decide by the luck of its tail.
        drawn, _ = fit.draw(rng).at(rng.random(_PROBES * _PROBE_REQUESTS), np.zeros(_PROBES * _PROBE_REQUESTS))
        variances.append(np.quantile(drawn.reshape(_PROBES, _PROBE_REQUESTS), level, axis=1).var())
    return float(np.quantile(values, level)), math.sqrt(float(np.median(variances)) * _PROBE_REQUESTS)


def question_about(
    baseline: Trace, candidate: Trace, arrivals: ArrivalPlan, platform: Platform, objectives: Sequence[Objective],
    *, keep_alive: KeepAliveFit | None, prices: Prices, architecture: str, replications: int, seed: int,
    workers: Workers | None = None,
) -> Question:  # fmt: skip
    """Ask about two recordings, see :class:`Question`.

    Raises
    ------
    ParameterError
        No objective: there is nothing to meet.
    """
    if not objectives:
        raise ParameterError("no objective to meet; give one such as --slo 'p99 < 1500 ms'")
    names = platform.names
    traces = {names[0]: rows_of(baseline, names[0]), names[1]: rows_of(candidate, names[1])}
    return Question(
        traces, arrivals, platform, tuple(objectives), keep_alive, prices, architecture, replications, seed, workers
    )
