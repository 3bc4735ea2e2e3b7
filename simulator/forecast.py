"""The forecast: what a planned rollout will show, figure by figure, with the doubt of each.

Each replication draws one version of everything that is not known (the fitted laws, their drift, the arrivals, which
request goes where), runs history and steps once through the engine, and takes the figures of each step exactly as an
observer will. The spread of a figure over the replications is its predictive interval: it carries the doubt of few
samples and the chance of a run of precisely that length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import ParameterError
from simulator.figures import ALL, METRICS, QUANTILE_METRICS, Figure, Latency
from simulator.fitted import Fitted, check_two, fit_recordings
from simulator.keep_alive import KeepAliveFit
from simulator.objective import Objective, Verdict
from simulator.parallel import Workers
from simulator.platform import Platform
from simulator.quantiles import CONFIDENCE, FloatArray, interval, samples_to_bound
from simulator.replication import WHOLE, CostModel, metrics_for
from simulator.runs import Progress, Runs, replicate
from simulator.service import ServiceFit
from simulator.timeline import PlannedStep, Timeline, make_timeline, memory_of
from simulator.trace import Trace

if TYPE_CHECKING:
    from simulator.cost import Prices

__all__ = ["DEFAULT_REPLICATIONS", "Forecast", "PlannedStep", "Progress", "forecast"]

DEFAULT_REPLICATIONS: Final = 400
"""Enough for each end of a 95 % interval to rest on ten replications."""
MIN_REPLICATIONS: Final = 40
"""Fewer cannot give the ends of a 95 % interval."""
FAR_BEYOND: Final = 2.0
"""A planned rate above this multiple of the recorded one is an extrapolation of the load."""


@dataclass(frozen=True)
class Forecast:
    """The forecast figures, and what they rest on.

    Parameters
    ----------
    figures
        In the order of the steps; within a step first ``all``, then each variant that gets traffic.
    warnings
        What a reader must know before believing them, one sentence each.
    fits
        Variant → how its model was fitted, as JSON types.
    replications, seed
        How many runs, from which seed.
    latency
        Which latency the quantiles are of.
    samples
        (step, variant, metric) → the figure in each replication, shape ``(replications,)``; NaN where one has none.
    """

    figures: tuple[Figure, ...]
    warnings: tuple[str, ...]
    fits: Mapping[str, Mapping[str, Any]]
    replications: int
    seed: int
    latency: Latency
    samples: Mapping[tuple[str, str, str], FloatArray] = field(repr=False, compare=False)

    @property
    def steps(self) -> list[str]:
        """Labels of the steps, in order."""
        return list(dict.fromkeys(figure.step for figure in self.figures))

    def probability(self, objective: Objective, step: str | None = None, variant: str = ALL) -> float:
        """Give the probability that ``objective`` is met in ``step``, or in every step at once where none is named.

        Raises
        ------
        ParameterError
            An unknown step or variant, or an objective that was not among those that the forecast was asked for.
        """
        met = np.ones(self.replications, dtype=np.bool_)
        known = np.zeros(self.replications, dtype=np.bool_)
        for label in self.steps if step is None else [step]:
            key = (label, variant, metric_name(objective))
            if key not in self.samples:
                raise ParameterError(
                    f"no forecast of {objective.metric} for step {label!r} and variant {variant!r}; "
                    "name it among the forecast's objectives"
                )
            values = self.samples[key]
            finite = np.isfinite(values)
            met &= ~finite | np.array([objective.met_by(float(value)) for value in values])
            known |= finite
        return float(met[known].mean()) if known.any() else math.nan

    def to_json(self) -> dict[str, Any]:
        """Give everything but the samples as JSON types."""
        return {
            "figures": [figure.to_json() for figure in self.figures],
            "warnings": list(self.warnings),
            "fits": {variant: dict(fit) for variant, fit in self.fits.items()},
            "replications": self.replications,
            "seed": self.seed,
            "latency": self.latency,
        }


def verdict(probability: float) -> Verdict:
    """Judge the probability that an objective is met: pass from 95 % on, fail up to 5 %, inconclusive between."""
    if probability >= CONFIDENCE:
        return "pass"
    return "fail" if probability <= 1.0 - CONFIDENCE else "inconclusive"


def chance_json(probability: float) -> float | None:
    """Give a probability for JSON, which has no NaN: None where no run tells it."""
    return None if math.isnan(probability) else probability


def metric_name(objective: Objective) -> str:
    """Give the figure's name of an objective's metric: ``p99`` is ``p99_ms``."""
    return f"{objective.metric}_ms" if objective.is_latency else objective.metric


def forecast(
    baseline: Trace,
    candidate: Trace,
    steps: Sequence[PlannedStep],
    platform: Platform,
    *,
    replications: int = DEFAULT_REPLICATIONS,
    seed: int = 0,
    history: Sequence[PlannedStep] | None = None,
    keep_alive: KeepAliveFit | None = None,
    prices: Prices | None = None,
    architecture: str = "x86_64",
    objectives: Sequence[Objective] = (),
    extra_metrics: Sequence[str] = (),
    progress: Progress | None = None,
    workers: Workers | None = None,
    fitted: Fitted | None = None,
) -> Forecast:
    """Forecast each of ``steps``.

    Parameters
    ----------
    baseline, candidate
        Recorded traces of the two variants. The rows of the platform's first variant (``baseline``) are taken from the
        one, those of its second (``optimized``) from the other; a trace of a single variant is taken whole.
    steps
        What is planned, in order; one run goes through all of them, so that each step starts with the environments
        that the one before left warm.
    platform
        Limits and settings of exactly two versions, the baseline's first.
    replications
        Runs, at least :data:`MIN_REPLICATIONS`.
    history
        What happens before the first step and warms environments. None means the two recordings, one after the
        other; an empty sequence means a cold start.
    keep_alive
        A fitted keep-alive, whose doubt is carried; None means ``platform.keep_alive_s``.
    prices
        What things cost; None leaves the cost out.
    objectives
        Further figures to keep samples of, for :meth:`Forecast.probability`.
    extra_metrics
        The same by name, such as ``p99.9_ms`` or ``throttled_share``.
    progress
        Called after each replication.
    workers
        Who runs the replications; None: this process. The forecast is the same whoever does.
    fitted
        What :func:`fit_recordings` gave of the same recordings, prices and architecture, for whoever forecasts several
        times; None: they are fitted here.

    Raises
    ------
    ParameterError, FitError
        A parameter outside its range; a trace from which no model can be fitted.
    """
    prepared = prepare(
        baseline,
        candidate,
        steps,
        platform,
        replications=replications,
        seed=seed,
        history=history,
        keep_alive=keep_alive,
        prices=prices,
        architecture=architecture,
        metrics=(*extra_metrics, *(metric_name(objective) for objective in objectives)),
        fitted=fitted,
    )
    runs, fits = prepared.runs, prepared.fits
    samples, requests = replicate(runs, workers, progress)
    return Forecast(
        figures=tuple(_figures(runs.timeline, fits, samples, requests, runs.costs)),
        warnings=tuple(_warnings(runs.timeline, fits, prepared.latency)),
        fits={name: fit.summary() for name, fit in fits.items()},
        replications=replications,
        seed=seed,
        latency=prepared.latency,
        samples=samples,
    )


@dataclass(frozen=True)
class Prepared:
    """What a forecast runs, and the fits behind it."""

    runs: Runs
    fits: Mapping[str, ServiceFit]
    latency: Latency


def prepare(
    baseline: Trace,
    candidate: Trace,
    steps: Sequence[PlannedStep],
    platform: Platform,
    *,
    replications: int = DEFAULT_REPLICATIONS,
    seed: int = 0,
    history: Sequence[PlannedStep] | None = None,
    keep_alive: KeepAliveFit | None = None,
    prices: Prices | None = None,
    architecture: str = "x86_64",
    metrics: Sequence[str] = (),
    fitted: Fitted | None = None,
) -> Prepared:
    """Fit everything that :func:`forecast` runs; parameters and errors are its own.

    ``metrics`` are figures to take besides those of every forecast.
    """
    if replications < MIN_REPLICATIONS:
        raise ParameterError(f"replications={replications!r} must be {MIN_REPLICATIONS} or more for a 95 % interval")
    check_two(platform.names)
    if any(step.label == WHOLE for step in steps):
        raise ParameterError(f"a step is called {WHOLE!r}, which stands for all steps together; give it another name")
    names = platform.names
    fitted = fitted or fit_recordings(baseline, candidate, names, prices=prices, architecture=architecture)
    traces, fits = fitted.traces, fitted.fits
    timeline = make_timeline(
        traces[names[0]], traces[names[1]], steps, history, memory_s=memory_of(platform, keep_alive)
    )
    services = [
        fits[name].prepare(timeline.steps_start_s - zero_s, timeline.end_s - zero_s)
        for name, zero_s in zip(names, timeline.recorded_at_s, strict=True)
    ]
    # What is planned for a time is planned for the rollout's, which begins after the history.
    platform = platform.delayed(timeline.steps_start_s)
    names_of_metrics = (*METRICS, *metrics)
    metrics_for(names_of_metrics)  # an unknown one is told before anything runs
    runs = Runs(
        timeline=timeline,
        services=tuple(services),
        platform=platform,
        costs=fitted.costs,
        metrics=names_of_metrics,
        keep_alive=keep_alive,
        seed=seed,
        replications=replications,
    )
    return Prepared(runs, fits, fitted.latency)


def _figures(
    timeline: Timeline,
    fits: Mapping[str, ServiceFit],
    samples: Mapping[tuple[str, str, str], FloatArray],
    requests: Mapping[tuple[str, str, str], FloatArray],
    costs: CostModel,
) -> list[Figure]:
    figures = []
    for step in timeline.steps:
        shares = dict(zip(fits, (1.0 - step.weight, step.weight), strict=True))
        served = [name for name, share in shares.items() if share > 0]
        for variant in (ALL, *served):
            behind = [fits[name] for name in (served if variant == ALL else [variant])]
            for metric in METRICS:
                key = (step.label, variant, metric)
                values = samples.get(key, np.empty(0))
                low, high = interval(values)
                known = bool(np.isfinite(values).any())
                figures.append(
                    Figure(
                        step=step.label,
                        variant=variant,
                        metric=metric,
                        estimate=float(np.nanmedian(values)) if known else None,
                        low=low if known else None,
                        high=high if known else None,
                        requests=int(np.median(requests[key])) if key in requests else 0,
                        note=_note(metric, behind, costs),
                    )
                )
    return figures


def _note(metric: str, fits: Sequence[ServiceFit], costs: CostModel) -> str | None:
    if metric in QUANTILE_METRICS:
        smallest = min(fits, key=lambda fit: fit.warm.values)
        return smallest.note(QUANTILE_METRICS[metric])
    if metric == "cost_usd_per_1000":
        reasons = [costs.reasons[fit.variant] for fit in fits if costs.reasons.get(fit.variant)]
        return "; ".join(dict.fromkeys(reasons)) or None
    return None


def _warnings(timeline: Timeline, fits: Mapping[str, ServiceFit], latency: Latency) -> list[str]:
    found = []
    if latency == "execution_ms":
        found.append("client_ms is not recorded in both traces: the latencies are INIT and handler, without network")
    for name, fit in fits.items():
        warm = fit.warm
        if warm.values < samples_to_bound(0.99):
            found.append(
                f"{name}: {warm.values} warm requests recorded; its p99 is extrapolated, "
                f"{samples_to_bound(0.99)} would settle it"
            )
        if fit.cold.source == "published":
            found.append(f"{name}: no cold start recorded; INIT and setup are taken from published figures")
        elif fit.cold.source == "both variants":
            found.append(f"{name}: its cold starts are too few on their own; those of both variants are used")
        if warm.level is not None and warm.level.drift_probability > 0.9:
            found.append(
                f"{name}: the recorded level drifts by about {warm.level.mean_sd:.1%} from window to window; "
                "the intervals carry that forward"
            )
        left_out = sum(fit.left_out.values())
        if left_out:
            kinds = ", ".join(f"{count} {status}" for status, count in sorted(fit.left_out.items()))
            found.append(f"{name}: {left_out} recorded requests did not end ok ({kinds}); the forecast leaves them out")
    recorded_rps = max(fit.recorded_rps for fit in fits.values())
    for step in timeline.steps:
        planned_rps = step.arrivals.expected_requests / step.arrivals.duration_s
        if recorded_rps > 0 and planned_rps > FAR_BEYOND * recorded_rps:
            found.append(
                f"step {step.label}: {planned_rps:.3g} requests a second is far beyond the recorded "
                f"{recorded_rps:.3g}; latency under that load was never seen"
            )
    return found
