"""Worlds whose truth is known: draws built by hand, and runs of a known service to record and forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from simulator.arrivals import poisson, poisson_with_burst
from simulator.draws import Draws, ModelDraws, Randomness, Use
from simulator.engine.reference import simulate
from simulator.platform import BASELINE, OPTIMIZED, Platform, VersionSettings
from simulator.quantiles import FloatArray
from simulator.simulated import trace_of
from simulator.timeline import PlannedStep, Timeline
from simulator.trace import Trace


def draws(
    arrival_s: Sequence[float] | FloatArray,
    *,
    handler_ms: ArrayLike = 100.0,
    cold_handler_ms: ArrayLike | None = None,
    init_ms: ArrayLike = 500.0,
    setup_ms: ArrayLike = 0.0,
    overhead_ms: ArrayLike = 0.0,
    keep_alive_s: ArrayLike = 600.0,
    route: ArrayLike = 0.5,
    versions: int = 2,
    attempts: int = 1,
    client_jitter: ArrayLike | None = None,
    inference_ms: ArrayLike | None = None,
    input_tokens: ArrayLike = 100.0,
    output_tokens: ArrayLike = 50.0,
    sdk_jitter: ArrayLike = 0.5,
    sdk_tries: int = 5,
) -> Draws:
    """Build draws by hand; each value is a scalar or anything that broadcasts to its shape in :class:`Draws`.

    With ``inference_ms`` the draws have a model part.
    """
    n = len(arrival_s)

    def of_shape(values: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), shape).copy()

    def by_version(values: ArrayLike) -> FloatArray:
        return of_shape(values, (versions, attempts, n))

    def by_request(values: ArrayLike) -> FloatArray:
        return of_shape(values, (attempts, n))

    return Draws(
        arrival_s=np.asarray(arrival_s, dtype=np.float64),
        route=by_request(route),
        handler_ms=by_version(handler_ms),
        cold_handler_ms=by_version(handler_ms if cold_handler_ms is None else cold_handler_ms),
        init_ms=by_version(init_ms),
        setup_ms=by_version(setup_ms),
        overhead_ms=by_version(overhead_ms),
        keep_alive_s=by_request(keep_alive_s),
        client_jitter=None if client_jitter is None else by_request(client_jitter),
        model=None
        if inference_ms is None
        else ModelDraws(
            inference_ms=by_version(inference_ms),
            input_tokens=of_shape(input_tokens, (versions, n)),
            output_tokens=of_shape(output_tokens, (versions, n)),
            sdk_jitter=of_shape(sdk_jitter, (attempts, sdk_tries, n)),
        ),
    )


Law = Callable[[np.random.Generator, FloatArray], FloatArray]
"""Draws handler times in milliseconds for requests at the given times in seconds."""


def lognormal(median_ms: float, log_sd: float) -> Law:
    return lambda rng, time_s: median_ms * np.exp(log_sd * rng.standard_normal(time_s.size))


def wandering(median_ms: float, log_sd: float, *, drift_log_sd: float, correlation_s: float) -> Law:
    """A lognormal whose level is an Ornstein-Uhlenbeck process."""

    def draw(rng: np.random.Generator, time_s: FloatArray) -> FloatArray:
        grid_s = np.linspace(0.0, max(float(time_s.max()), 1e-9), 400)
        keep = np.exp(-(grid_s[1] - grid_s[0]) / correlation_s)
        level = [rng.standard_normal()]
        for _ in grid_s[1:]:
            level.append(level[-1] * keep + np.sqrt(1.0 - keep**2) * rng.standard_normal())
        drift = drift_log_sd * np.interp(time_s, grid_s, level)
        return np.asarray(median_ms * np.exp(drift + log_sd * rng.standard_normal(time_s.size)))

    return draw


@dataclass(frozen=True)
class Recorded:
    """What an experiment recorded: the traces to fit, the plan, and one trace for each step as it then happened."""

    baseline: Trace
    candidate: Trace
    steps: tuple[PlannedStep, ...]
    happened: tuple[Trace, ...]


@dataclass(frozen=True)
class World:
    """Two variants of known latency on a known platform, and a rollout of three steps."""

    baseline: Law = field(default_factory=lambda: lognormal(650.0, 0.2))
    candidate: Law = field(default_factory=lambda: lognormal(340.0, 0.25))
    rate_rps: float = 9.0
    step_s: float = 27.0
    baseline_s: float = 45.0
    candidate_s: float = 17.0
    platform: Platform = field(
        default_factory=lambda: Platform(
            versions={BASELINE: VersionSettings(provisioned=2), OPTIMIZED: VersionSettings(provisioned=2)},
            keep_alive_s=60.0,
        )
    )

    def record(self, seed: int) -> Recorded:
        """Record both variants, then go through the rollout; one run, cut into its phases."""
        burst = poisson_with_burst(self.rate_rps, self.baseline_s, factor=3, burst_start_s=20, burst_duration_s=5)
        steps = tuple(
            PlannedStep(label, weight, poisson(self.rate_rps, self.step_s), gap_before_s=2.0)
            for label, weight in (("10%", 0.1), ("50%", 0.5), ("100%", 1.0))
        )
        phases = (
            PlannedStep("baseline", 0.0, burst),
            PlannedStep("candidate", 1.0, poisson(self.rate_rps, self.candidate_s)),
            *steps,
        )
        starts_s, now_s = [], 0.0
        for phase in phases:
            starts_s.append(now_s + phase.gap_before_s)
            now_s = starts_s[-1] + phase.arrivals.duration_s
        timeline = Timeline(phases, np.array(starts_s), 0, 0.0, (0.0, 0.0))
        randomness, rng = Randomness(seed, 2**31), np.random.default_rng(seed)
        arrival_s, phase_of = timeline.draw(randomness)
        n = arrival_s.size
        handler_ms = np.stack([self.baseline(rng, arrival_s), self.candidate(rng, arrival_s)])[:, None, :]
        outcomes = simulate(
            draws(
                arrival_s,
                handler_ms=handler_ms,
                cold_handler_ms=handler_ms + 15.0,
                init_ms=np.exp(rng.normal(np.log(500.0), 0.05, n)),
                setup_ms=30.0 + rng.exponential(20.0, n),
                overhead_ms=5.0 + rng.exponential(2.0, n),
                keep_alive_s=self.platform.keep_alive_s,
                route=randomness.uniforms(Use.ROUTE, n),
            ),
            self.platform,
            timeline.rollout(),
        )
        whole = trace_of(outcomes, self.platform)
        parts = [_part(whole, phase_of == index) for index in range(len(phases))]
        return Recorded(parts[0], parts[1], steps, tuple(parts[2:]))


def _part(trace: Trace, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Trace:
    frame = trace.frame.filter(pl.Series(rows))
    return Trace(frame.with_columns(pl.col("arrival_s") - frame["arrival_s"][0]), trace.metadata)
