"""Everything before the first step: preflight, thresholds, forecast, and how long each step must last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from replay.aws import make_client
from replay.canary import preflight
from replay.canary.errors import EvidenceDownError
from replay.canary.expectation import Duration, Expectation, durations, expect
from replay.canary.gates import Gates, alarms_now
from replay.canary.live import Place, evidence_for, live_alias
from replay.canary.live_alias import quick_client
from replay.canary.metric_evidence import MetricEvidence
from replay.canary.plan import Plan, Source
from replay.canary.ports import EvidenceSource
from replay.canary.preflight import Finding, Target
from replay.canary.reference import Reference
from replay.canary.target_platform import target_platform
from replay.errors import CloudError
from replay.record import Settle, function_log_group, record
from simulator.errors import SimulatorError
from simulator.platform import BASELINE, OPTIMIZED
from simulator.trace import Trace, read_trace

_CANDIDATE_FROM: Final = timedelta(days=1)
"""How far back requests of the candidate are looked for: it was measured before it was to be rolled out."""
_FEWEST: Final = 30

Say = Callable[[str, Mapping[str, object]], None]


@dataclass(frozen=True)
class Prepared:
    """What is known before the first step.

    Parameters
    ----------
    findings
        What the checks found.
    reference
        Thresholds from the baseline's history.
    evidence
        The source to go on with.
    expectation
        The forecast, or None.
    durations
        How long each step must last.
    firing
        Alarms that fire already.
    """

    findings: tuple[Finding, ...]
    reference: Reference
    evidence: EvidenceSource
    expectation: Expectation | None
    durations: tuple[Duration, ...]
    firing: tuple[str, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """Reasons not to start."""
        return preflight.refusals(self.findings)

    @property
    def source(self) -> Source:
        """Which source ``auto`` chose: whoever takes over must go on with the same, whatever the traffic is then."""
        return "metrics" if isinstance(self.evidence, MetricEvidence) else "logs"

    @property
    def intervals(self) -> Mapping[tuple[str, str], tuple[float, float]]:
        """The forecast's intervals of the candidate's figures."""
        return self.expectation.intervals if self.expectation else {}


def prepare(
    place: Place,
    target: Target,
    plan: Plan,
    *,
    baseline_trace: Path | None,
    candidate_trace: Path | None,
    platform_file: Path | None,
    with_forecast: bool,
    seed: int,
    say: Say,
) -> Prepared:
    """Check, measure, forecast.

    Parameters
    ----------
    baseline_trace, candidate_trace
        What the forecast is fitted to; None for the logs.
    platform_file
        Laid over the platform that is found; None for none.
    with_forecast
        Whether to forecast at all.
    seed
        Of the forecast.
    say
        Told what is under way.

    Raises
    ------
    CloudError
        AWS does not answer: nothing can be said before the start.
    ParameterError
        ``platform_file`` is no platform.
    """
    functions = make_client("lambda", region=place.region, endpoint_url=place.endpoint_url)
    say(
        "checking", {"why": f"{target.function}: versions {target.baseline} and {target.candidate}, alias, permissions"}
    )
    findings = preflight.check(functions, live_alias(place, target), target)
    if not preflight.refusals(findings) and plan.smoke is not None:
        # One try each: an invocation that is sent again is another request.
        once = quick_client(
            "lambda", region=place.region, endpoint_url=place.endpoint_url, read_timeout_s=plan.smoke.timeout_s
        )
        findings += preflight.smoke(once, target, plan.smoke)
    gates = Gates(
        plan.gates, plan.alarms, make_client("cloudwatch", region=place.region, endpoint_url=place.endpoint_url)
    )
    findings += [Finding("refuse", text) for text in gates.refusals()]
    firing = alarms_now(gates)
    findings += [
        Finding("warn", f"alarm {name} fires already; it does not count against the rollout") for name in firing
    ]
    evidence = evidence_for(place, target, plan)
    say("reading", {"why": f"the baseline's history of {plan.history_s / 60:.0f} min"})
    try:
        reference = evidence.reference(time.time())
        findings += preflight.judge_reference(plan, reference)
    except EvidenceDownError as error:
        reference = Reference()
        findings.append(Finding("refuse", f"the baseline's history cannot be read: {error}"))
    expectation = None
    if with_forecast:
        say("forecasting", {"why": f"{len(plan.steps)} steps at {reference.requests_per_s:.2g} requests/s"})
        expectation, more = _forecast(
            place, target, plan, reference, (baseline_trace, candidate_trace), platform_file, seed
        )
        findings += more
    else:
        findings.append(Finding("warn", "started without a forecast"))
    return Prepared(tuple(findings), reference, evidence, expectation, tuple(durations(plan, reference)), firing)


def _forecast(
    place: Place,
    target: Target,
    plan: Plan,
    reference: Reference,
    traces: tuple[Path | None, Path | None],
    platform_file: Path | None,
    seed: int,
) -> tuple[Expectation | None, list[Finding]]:
    baseline_trace, candidate_trace = traces
    try:
        baseline = (
            read_trace(baseline_trace)
            if baseline_trace
            else _recorded(place, target, BASELINE, timedelta(seconds=plan.history_s))
        )
        candidate = (
            read_trace(candidate_trace) if candidate_trace else _recorded(place, target, OPTIMIZED, _CANDIDATE_FROM)
        )
    except CloudError as error:
        return None, [Finding("refuse", f"no forecast: {error}")]
    for name, trace in (("baseline", baseline), ("candidate", candidate)):
        if len(trace) < _FEWEST:
            return None, [
                Finding(
                    "refuse",
                    f"no forecast: {len(trace)} requests of the {name} are known, {_FEWEST} are the least; measure it "
                    "first (tailcast drive), give its trace, or start with --no-forecast",
                )
            ]
    rate = reference.requests_per_s or 1.0
    try:
        platform = target_platform(place, target, platform_file)
        expectation = expect(plan, baseline, candidate, platform, rate_rps=rate, seed=seed)
    except (CloudError, SimulatorError) as error:
        return None, [Finding("refuse", f"no forecast: {error}")]
    found = [Finding("refuse", f"the forecast fails the plan at {text}") for text in expectation.failures]
    return expectation, [*found, *(Finding("warn", text) for text in expectation.warnings)]


def _recorded(place: Place, target: Target, variant: str, back: timedelta) -> Trace:
    """Record one variant from the logs: what settled by now is enough for a forecast."""
    functions = make_client("lambda", region=place.region, endpoint_url=place.endpoint_url)
    end = datetime.now(UTC)
    recording = record(
        make_client("logs", region=place.region, endpoint_url=place.endpoint_url),
        function_log_group(functions, target.function),
        start=end - back,
        end=end,
        variants={target.baseline: BASELINE, target.candidate: OPTIMIZED},
        settle=Settle(poll_s=0.5, quiet_s=0.0, timeout_s=10.0),
        longest_s=0.0,
    )
    version = target.baseline if variant == BASELINE else target.candidate
    frame = recording.trace.frame.filter(pl.col("version") == version)
    if frame.height == 0:
        raise CloudError(f"no request of version {version} in the logs of the last {back}")
    return recording.trace.select(pl.col("version") == version)
