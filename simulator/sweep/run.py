"""A sweep's work: the scenarios of a batch over the same draws, replication by replication.

Scenarios that differ only in weight, provisioned concurrency or time-out meet the very same requests, handler times and
environments' lives; those that differ in load, memory or keep-alive meet the same uniforms, mapped through their own
laws. So what differs between two scenarios is the setting and not the luck, and a scenario's figures are those that
``tailcast forecast`` gives for its settings and seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from simulator.arrivals import ArrivalPlan
from simulator.cost import Prices, provisioned_idle_usd_per_hour
from simulator.draws import Randomness
from simulator.engine.select import engine
from simulator.figures import ALL, METRICS, Latency
from simulator.fitted import fit_recordings
from simulator.forecast import metric_name, verdict
from simulator.keep_alive import KeepAliveFit
from simulator.objective import Objective
from simulator.platform import Platform
from simulator.quantiles import FloatArray, interval
from simulator.replication import COST_WITH_PROVISIONED, CostModel, group_figures, metrics_for
from simulator.run_draws import draw_run, with_environment_levels
from simulator.service import PreparedService, ServiceFit
from simulator.sweep.grid import Scenario
from simulator.sweep.memory import AtMemory
from simulator.timeline import PlannedStep, Timeline, make_timeline, memory_of
from simulator.trace import Trace

BATCH: Final = 16
"""Most scenarios of a batch: enough to share its draws, few enough to lose little with a kill."""
STEP: Final = "step"
IDLE_USD: Final = "provisioned_usd_per_hour"
TOTAL_COST: Final = COST_WITH_PROVISIONED
"""What the table ranks by."""
SHARES: Final = ("error_rate", "throttled_share", "timeout_share")


@dataclass(frozen=True)
class Question:
    """What every scenario has in common.

    Parameters
    ----------
    traces
        Variant → its own rows, the baseline's first.
    arrivals
        The load at scale 1, for as long as a step lasts.
    platform
        Both versions as they are where a scenario does not say otherwise.
    objectives
        All have to be met.
    keep_alive
        Fitted; None means the platform's.
    prices, architecture
        What things cost.
    replications, seed
        Runs of each scenario, from which seed.
    warm
        Begin after the two recordings; False: without any environment.
    """

    traces: Mapping[str, Trace]
    arrivals: ArrivalPlan
    platform: Platform
    objectives: tuple[Objective, ...]
    keep_alive: KeepAliveFit | None
    prices: Prices
    architecture: str
    replications: int
    seed: int
    warm: bool = True


@dataclass(frozen=True)
class Sweep:
    """A question, fitted, and its scenarios in batches: what the workers are given.

    Parameters
    ----------
    batches
        Indices of the scenarios that are run together.
    """

    question: Question
    scenarios: tuple[Scenario, ...]
    fits: Mapping[str, ServiceFit]
    costs: CostModel
    latency: Latency
    batches: tuple[tuple[int, ...], ...]


def prepare(question: Question, scenarios: Sequence[Scenario], left: Sequence[int]) -> Sweep:
    """Fit the recordings, and put the scenarios that are ``left`` (indices) into batches.

    Raises
    ------
    ParameterError, FitError
        As of :func:`~simulator.forecast.forecast`; a scenario that the platform does not allow.
    """
    baseline, candidate = question.traces.values()
    fitted = fit_recordings(
        baseline, candidate, tuple(question.traces), prices=question.prices, architecture=question.architecture
    )
    for scenario in scenarios:
        platform_of(question.platform, scenario)
    by_draws: dict[tuple[object, ...], list[int]] = {}
    for index in left:
        one = scenarios[index]
        by_draws.setdefault((one.scale, one.keep_alive_s, one.memory_mb), []).append(index)
    batches = [
        tuple(together[start : start + BATCH])
        for together in by_draws.values()
        for start in range(0, len(together), BATCH)
    ]
    return Sweep(question, tuple(scenarios), fitted.fits, fitted.costs, fitted.latency, tuple(batches))


def most_requests(sweep: Sweep) -> float:
    """Give how many requests the largest run has on average, the history's with them."""
    question = sweep.question
    largest = max(sweep.scenarios, key=lambda scenario: scenario.scale)
    platform = platform_of(question.platform, largest)
    keep_alive = question.keep_alive if largest.keep_alive_s is None else None
    return _timeline(question, largest, platform, keep_alive).expected_requests


def run_batch(sweep: Sweep, batch: int) -> list[dict[str, Any]]:
    """Run the scenarios of one batch; give each one's result, see :func:`_summary`."""
    question = sweep.question
    indices = sweep.batches[batch]
    scenarios = [sweep.scenarios[index] for index in indices]
    first = scenarios[0]
    keep_alive = question.keep_alive if first.keep_alive_s is None else None
    platforms = [platform_of(question.platform, scenario) for scenario in scenarios]
    timelines = [_timeline(question, scenario, platforms[0], keep_alive) for scenario in scenarios]
    rollouts = [timeline.rollout() for timeline in timelines]
    platforms = [one.delayed(timeline.steps_start_s) for one, timeline in zip(platforms, timelines, strict=True)]
    costs = _costs(sweep, first)
    services = _services(sweep, timelines[0], first)
    simulate = engine()
    metrics = metrics_for([*METRICS, TOTAL_COST, *SHARES, *(metric_name(one) for one in question.objectives)])
    names = question.platform.names
    observed_s = timelines[0].steps_start_s, timelines[0].end_s
    samples: list[dict[tuple[str, str], FloatArray]] = [{} for _ in indices]
    counts: list[dict[tuple[str, str], FloatArray]] = [{} for _ in indices]
    for replication in range(question.replications):
        randomness = Randomness(question.seed, replication)
        arrival_s, step = timelines[0].draw(randomness)
        draws, token_usd, log_sds = draw_run(
            services, platforms[0], keep_alive, randomness, arrival_s, timelines[0].recorded_at_s
        )
        inside = slice(int(np.searchsorted(step, 0)), None)
        for place, (scenario, platform, rollout) in enumerate(zip(scenarios, platforms, rollouts, strict=True)):
            outcomes = with_environment_levels(simulate(draws, platform, rollout), randomness, log_sds)
            cost_usd = costs.of(outcomes, token_usd, platform)
            ready = costs.ready(outcomes, platform)
            usd = {name: ready(version, *observed_s) for version, name in enumerate(names)}
            usd[ALL] = math.fsum(usd.values())
            served = (scenario.weight < 1.0, scenario.weight > 0.0)
            for variant, figures in group_figures(outcomes, inside, names, served, cost_usd, metrics, usd).items():
                for metric, (value, count) in figures.items():
                    key = (variant, metric)
                    if key not in samples[place]:
                        samples[place][key] = np.full(question.replications, math.nan)
                        counts[place][key] = np.zeros(question.replications)
                    samples[place][key][replication], counts[place][key][replication] = value, count
    return [
        _summary(sweep, index, platform, drawn, count)
        for index, platform, drawn, count in zip(indices, platforms, samples, counts, strict=True)
    ]


def platform_of(base: Platform, scenario: Scenario) -> Platform:
    """Give the platform of one scenario.

    Raises
    ------
    ParameterError
        Settings that exclude each other: more provisioned concurrency than there is concurrency.
    """
    ready = dict(zip(base.names, (scenario.provisioned_baseline, scenario.provisioned_optimized), strict=True))
    versions = {}
    for name, settings in base.versions.items():
        changes: dict[str, Any] = {}
        if ready[name] is not None:
            changes["provisioned"] = ready[name]
        if scenario.timeout_s is not None:
            changes["timeout_s"] = scenario.timeout_s
        if scenario.memory_mb is not None and name == base.names[1]:
            changes["memory_mb"] = scenario.memory_mb
        versions[name] = replace(settings, **changes)
    return replace(base, versions=versions, keep_alive_s=scenario.keep_alive_s or base.keep_alive_s)


def _timeline(question: Question, scenario: Scenario, platform: Platform, keep_alive: KeepAliveFit | None) -> Timeline:
    plan = question.arrivals if scenario.scale == 1.0 else question.arrivals.scaled(scenario.scale)
    baseline, candidate = question.traces.values()
    return make_timeline(
        baseline,
        candidate,
        [PlannedStep(STEP, scenario.weight, plan)],
        None if question.warm else (),
        memory_s=memory_of(platform, keep_alive),
    )


def _services(sweep: Sweep, timeline: Timeline, scenario: Scenario) -> list[PreparedService]:
    services: list[PreparedService] = []
    for version, (fit, zero_s) in enumerate(zip(sweep.fits.values(), timeline.recorded_at_s, strict=True)):
        service = fit.prepare(timeline.steps_start_s - zero_s, timeline.end_s - zero_s)
        other = version == 1 and scenario.memory_mb is not None
        services.append(AtMemory(service, scenario.memory_mb) if other and scenario.memory_mb else service)
    return services


def _costs(sweep: Sweep, scenario: Scenario) -> CostModel:
    if scenario.memory_mb is None:
        return sweep.costs
    candidate = sweep.question.platform.names[1]
    return replace(sweep.costs, memory_mb={**sweep.costs.memory_mb, candidate: scenario.memory_mb})


def _summary(
    sweep: Sweep,
    index: int,
    platform: Platform,
    samples: Mapping[tuple[str, str], FloatArray],
    counts: Mapping[tuple[str, str], FloatArray],
) -> dict[str, Any]:
    """Sum up one scenario as JSON types: settings, figures with their 95 % intervals, probability and verdict."""
    question, scenario = sweep.question, sweep.scenarios[index]
    figures: dict[str, dict[str, Any]] = {}
    for (variant, metric), values in samples.items():
        figures.setdefault(variant, {})[metric] = {
            **_spread(values),
            "requests": int(np.median(counts[variant, metric])),
        }
    costs = _costs(sweep, scenario)
    idle_usd = math.fsum(
        provisioned_idle_usd_per_hour(
            settings.provisioned,
            costs.memory_mb[name] or settings.memory_mb,
            prices=question.prices,
            architecture=question.architecture,
        )
        for name, settings in platform.versions.items()
    )
    chance = _joint(question.objectives, samples)
    undecided = "inconclusive" if question.objectives else None
    return {
        "scenario": index,
        "settings": scenario.to_json(),
        "replications": question.replications,
        "figures": figures,
        IDLE_USD: idle_usd,
        "objectives": {str(one): _joint([one], samples) for one in question.objectives},
        "probability": chance,
        "verdict": undecided if chance is None else verdict(chance),
    }


def _spread(values: FloatArray) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    if not known.size:
        return {"median": None, "lo": None, "hi": None}
    lo, hi = interval(known)
    return {"median": float(np.median(known)), "lo": lo, "hi": hi}


def _joint(objectives: Sequence[Objective], samples: Mapping[tuple[str, str], FloatArray]) -> float | None:
    """Give the share of the replications in which all objectives are met, of those in which all are known."""
    if not objectives:
        return None
    figures = [samples[ALL, metric_name(one)] for one in objectives]
    known = np.isfinite(figures).all(axis=0)
    met = np.all(
        [[one.met_by(float(value)) for value in values] for one, values in zip(objectives, figures, strict=True)],
        axis=0,
    )
    return float(met[known].mean()) if known.any() else None
