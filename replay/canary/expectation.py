"""The forecast of each step, before the first one: what it should show, and whether that would do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from replay.canary.plan import COST, ObjectiveSpec, Plan
from replay.canary.reference import Reference
from replay.canary.sequential import requests_to_decide
from simulator.arrivals import poisson
from simulator.candidate import ready_candidate
from simulator.cost import load_prices
from simulator.figures import Figure
from simulator.forecast import forecast, verdict
from simulator.objective import parse_objective
from simulator.platform import BASELINE, OPTIMIZED, Platform
from simulator.quantiles import FloatArray
from simulator.timeline import PlannedStep
from simulator.trace import Trace

REPLICATIONS: Final = 100
_REQUESTS_AT_MOST: Final = 1500.0
"""Requests that a step is forecast for: figures of a longer one vary less, so its interval is at most as wide."""
_SPENT_ON_OTHERS: Final = 0.5
"""Nats that a test's bets on other sizes cost, roughly: the logarithm of one over the prior weight near the truth."""


@dataclass(frozen=True)
class Expectation:
    """What the forecast says of a plan.

    Parameters
    ----------
    figures
        All forecast figures, step by step.
    intervals
        (step label, plan metric) → the candidate's 95 % interval.
    failures
        Objectives that the forecast expects to be missed, one sentence each.
    warnings
        What a reader must know.
    """

    figures: tuple[Figure, ...]
    intervals: Mapping[tuple[str, str], tuple[float, float]]
    failures: tuple[str, ...]
    warnings: tuple[str, ...]


def expect(
    plan: Plan,
    baseline: Trace,
    candidate: Trace,
    platform: Platform,
    *,
    rate_rps: float,
    seed: int,
    replications: int = REPLICATIONS,
) -> Expectation:
    """Forecast every step of ``plan``, and hold the forecast against its objectives.

    Raises
    ------
    ParameterError, FitError
        A trace from which no model can be fitted.
    """
    candidate = ready_candidate(candidate, baseline, seed=seed)
    steps = [
        PlannedStep(
            step.label,
            step.weight,
            poisson(rate_rps, max(min(max(step.at_least_s, 60.0), _REQUESTS_AT_MOST / rate_rps), 10.0)),
        )
        for step in plan.steps
    ]
    wanted = {spec.metric: _figure_name(spec) for spec in plan.objectives if _figure_name(spec) is not None}
    extra = [
        parse_objective(f"{spec.metric} <= 1 s")
        for spec in plan.objectives
        if spec.is_quantile and spec.column == "execution_ms"
    ]
    result = forecast(
        baseline,
        candidate,
        steps,
        platform,
        replications=replications,
        seed=seed,
        prices=load_prices() if COST in wanted else None,
        objectives=extra,
    )
    intervals: dict[tuple[str, str], tuple[float, float]] = {}
    failures: list[str] = []
    for step in plan.steps:
        for spec in plan.objectives:
            name = wanted.get(spec.metric)
            values = result.samples.get((step.label, OPTIMIZED, name)) if name else None
            if values is None or not np.isfinite(values).any():
                continue
            low, high = (float(value) for value in np.nanquantile(values, (0.025, 0.975)))
            intervals[(step.label, spec.metric)] = (low, high)
            base = result.samples.get((step.label, BASELINE, str(name)))
            failure = _failure(spec, values, base)
            if failure is not None:
                failures.append(f"{step.label}: {spec.metric} forecast {low:.4g} to {high:.4g}, {failure}")
    return Expectation(result.figures, intervals, tuple(failures), result.warnings)


def _figure_name(spec: ObjectiveSpec) -> str | None:
    if spec.metric in (COST, "cold_share"):
        return spec.metric
    return f"{spec.metric}_ms" if spec.is_quantile and spec.column == "execution_ms" else None


def _failure(spec: ObjectiveSpec, values: FloatArray, base: FloatArray | None) -> str | None:
    finite = np.isfinite(values)
    if spec.max is not None and verdict(float((values[finite] <= spec.max).mean())) == "fail":
        return f"over the maximum of {spec.max:g}"
    # Cold starts of a small arm are rarely comparable with those of a large one; the live test has room for that.
    if spec.margin is None or base is None or spec.metric == "cold_share":
        return None
    both = finite & np.isfinite(base)
    if not both.any():
        return None
    # The replications share their random numbers, so their ratio is far steadier than either figure.
    ratio = values[both] / np.maximum(base[both], 1e-12)
    if verdict(float((ratio < 1 + spec.margin).mean())) == "fail":
        return f"{float(np.median(ratio)):.2f} × the baseline's, beyond the margin of {1 + spec.margin:.2f} ×"
    return None


@dataclass(frozen=True)
class Duration:
    """How long a step must last.

    Parameters
    ----------
    step, metric
        Which.
    find_s
        Expected seconds until a regression as large as the margin is rolled back.
    pass_s
        Expected seconds until a candidate like the baseline is shown to be inside the margin.
    """

    step: str
    metric: str
    find_s: float
    pass_s: float


def durations(plan: Plan, reference: Reference) -> list[Duration]:
    """Say how long each step must last to see a regression of the size that matters.

    The last step has no baseline beside the candidate, and is not listed.
    """
    found = []
    for step in plan.steps:
        if step.weight >= 1 or reference.requests_per_s <= 0:
            continue
        for spec in plan.objectives:
            base, worse, sound, null = _odds(spec, reference)
            if not 0 < base < 1:
                continue
            threshold = -math.log(plan.alpha * plan.budget(spec)) + _SPENT_ON_OTHERS
            find = requests_to_decide(base, worse, null, step.weight, threshold)
            passing = requests_to_decide(base, sound[0], sound[1], step.weight, -math.log(plan.beta) + _SPENT_ON_OTHERS)
            rate = reference.requests_per_s
            found.append(Duration(step.label, spec.metric, find / rate, passing / rate))
    return found


def _odds(spec: ObjectiveSpec, reference: Reference) -> tuple[float, float, tuple[float, float], float]:
    """Give base rate, the odds of a regression as large as the margin, (sound odds, limit to refute), the null's."""
    if spec.tolerance is None or spec.margin is None or spec.metric == COST:
        return math.nan, 1.0, (1.0, 1.0), 1.0
    if spec.is_quantile:
        effect = reference.effect_odds.get(spec.metric, 2.0)
        sound = reference.sound_odds.get(spec.metric, 0.5)
        return 1 - spec.probability, effect, (sound, 1.0), 1.0
    base = reference.rates.get(spec.metric, 0.0)
    return base, 1 + spec.margin, (1.0, 1 + spec.margin), 1 + spec.tolerance
