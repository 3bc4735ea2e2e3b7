"""One case from beginning to end: deploy, record, forecast, write it down, let it happen, look."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from replay.demo.results import write_json
from replay.drive import DriveResult, drive
from replay.errors import CloudError
from replay.package import Package
from replay.record import ClientJoin, Settle, join_client, record
from replay.validate.cases import Case
from replay.validate.lab import FUNCTION, LIVE, Lab, open_lab, platform_of
from simulator.arrivals import (
    ArrivalPlan,
    PoissonArrivals,
    ReplayedArrivals,
    Segment,
    poisson,
    poisson_with_burst,
    replay,
)
from simulator.figures import ALL, QUANTILE_METRICS, observe
from simulator.forecast import DEFAULT_REPLICATIONS, Forecast, forecast
from simulator.holdout import HeldOutFigure
from simulator.quantiles import interval, quantile
from simulator.timeline import PlannedStep
from simulator.trace import Trace, write_trace

COUNTS: Final = ("cold_count", "throttled_count", "timeout_count")
FIGURES: Final = (*QUANTILE_METRICS, *COUNTS)
JUDGED: Final = ("p99_ms", *COUNTS)
"""The figures that the validation is held to; the others are shown beside them."""

LATENESS_LIMIT_MS: Final = 50.0
"""Above this the driver's or the local Bedrock's own p99 lateness blurs the case: the machine was too busy for it. A
p99 of some 1,250 ms moves by less than 4 %, where its interval reaches 10 to 20 % to either side."""
OVERHEAD_LIMIT_MS: Final = 50.0
"""What a warm request takes besides its model's call (SDK, runtime, data plane): under 20 ms at the p95 where cores are
free, 100 ms and more where the functions themselves have to wait for one, however punctual driver and models are."""
START_LIMIT_S: Final = 1.0
"""A case that begins this much after its planned time meets other environments than forecast."""

_USE_ARRIVALS: Final = 3
_SETTLE: Final = Settle(poll_s=0.25, quiet_s=2.0, timeout_s=30.0)
_AROUND: Final = timedelta(seconds=2)
_STEP: Final = "case"

Said = Callable[[str], None]


@dataclass(frozen=True)
class Pace:
    """How much is recorded, and how long there is to forecast.

    Parameters
    ----------
    baseline_s, candidate_s, record_rps
        Length and rate of the two recordings; the baseline's holds three seconds at three times the rate.
    gap_s
        From the candidate's last planned second to the case: time to read the logs and to forecast.
    replications
        Simulated runs.
    """

    baseline_s: float = 14.0
    candidate_s: float = 11.0
    record_rps: float = 8.0
    gap_s: float = 20.0
    replications: int = DEFAULT_REPLICATIONS


def run_case(case: Case, package: Package, folder: Path, *, seed: int, pace: Pace, said: Said) -> dict[str, Any]:
    """Run ``case`` and give what was forecast and what happened; ``forecast.json`` is in ``folder`` before it happens.

    Parameters
    ----------
    case
        What to try.
    package
        The inference function's package.
    folder
        For the traces, the forecast and the cloud's log; made here.
    seed
        Of the cloud, the arrivals and the forecast, each with streams of its own.
    pace
        How long it takes.
    said
        Told what is going on, a few words at a time.

    Raises
    ------
    ReplayError, SimulatorError
        The cloud did not come up or answer, or nothing could be fitted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said("starting a cloud")
    with open_lab(case, package, folder, seed) as lab:
        bench = _Bench(lab, folder, seed, said)
        burst_s = 3.0
        bursty = poisson_with_burst(
            pace.record_rps,
            pace.baseline_s,
            factor=3.0,
            burst_start_s=(pace.baseline_s - burst_s) / 2.0,
            burst_duration_s=burst_s,
        )
        baseline = bench.measure("baseline", lab.versions["baseline"], bursty)
        candidate = bench.measure("candidate", lab.versions["optimized"], poisson(pace.record_rps, pace.candidate_s))
        planned_at = candidate.start + pace.candidate_s + pace.gap_s
        plan = bench.draw(PoissonArrivals(tuple(Segment(*part) for part in case.load)))
        lab.change_for_case()
        said("forecasting")
        found = _forecast(case, baseline.trace, candidate, plan, planned_at, pace, seed)
        written_at = datetime.now(UTC)
        foreseen = {name: _foreseen(found, name) for name in FIGURES}
        sha256 = write_json(
            folder / "forecast.json",
            {
                "case": case.to_json(),
                "seed": seed,
                "written_at": written_at.isoformat(),
                "requests": plan.arrival_s.size,
                "figures": foreseen,
                "fits": {name: dict(fit) for name, fit in found.fits.items()},
                "warnings": list(found.warnings),
            },
        )
        late_s = time.monotonic() - planned_at
        if late_s < 0.0:
            said("waiting for the planned time")
            time.sleep(-late_s)
        happened = bench.measure("case", LIVE, plan)
        bedrock = lab.cloud.control("GET", "/_tailcast/bedrock")
    figures = {
        name: _beside(foreseen[name], value, found.samples[_STEP, ALL, name])
        for name, value in _observed(happened.trace).items()
    }
    return {
        "case": case.name,
        "family": case.family,
        "seed": seed,
        "requests": len(happened.trace),
        "figures": figures,
        "status": happened.driven.status_counts(),
        "forecast": {"file": "forecast.json", "sha256": sha256, "written_at": written_at.isoformat()},
        "happened_from": happened.driven.started_at.isoformat(),
        "busy": _busy([baseline, candidate, happened], bedrock, late_s),
        "lateness_ms": {
            one.name: one.driven.to_json()["lateness_ms"]["p99"] for one in (baseline, candidate, happened)
        },
        "overhead_p95_ms": {one.name: _overhead_ms(one.trace) for one in (baseline, candidate, happened)},
        "load_average": os.getloadavg()[0],
        "warnings": list(found.warnings),
    }


@dataclass(frozen=True)
class _Measured:
    """A phase of load from both ends, on this process's clock."""

    name: str
    start: float
    """Monotonic time of ``arrival_s`` = 0."""
    driven: DriveResult
    joined: ClientJoin

    @property
    def trace(self) -> Trace:
        return self.joined.trace


class _Bench:
    """Drives and records the phases of one case."""

    def __init__(self, lab: Lab, folder: Path, seed: int, said: Said) -> None:
        self._lab = lab
        self._folder = folder
        self._seed = seed
        self._said = said
        self._phases = 0

    def draw(self, plan: ArrivalPlan) -> ReplayedArrivals:
        """Fix the arrivals of the next phase: what is sent is what is forecast."""
        rng = np.random.default_rng([self._seed, _USE_ARRIVALS, self._phases])
        self._phases += 1
        return ReplayedArrivals(plan.draw(rng), plan.duration_s)

    def measure(self, name: str, qualifier: str, plan: ArrivalPlan) -> _Measured:
        fixed = plan if isinstance(plan, ReplayedArrivals) else self.draw(plan)
        self._said(f"{name}: {fixed.arrival_s.size} requests")
        driven = drive(self._lab.target(qualifier), fixed.arrival_s, seed=self._seed + self._phases)
        if driven.interrupted:
            raise KeyboardInterrupt
        start = time.monotonic() - (datetime.now(UTC) - driven.started_at).total_seconds()
        status = driven.trace.frame["status"]
        ran = driven.trace.frame.filter(status.is_in(["ok", "timeout"]))
        if ran.is_empty():
            raise CloudError(f"{name}: none of {len(driven.trace)} requests was answered ({dict(driven.failures)})")
        recorded = record(
            self._lab.cloud.client("logs"),
            f"/aws/lambda/{FUNCTION}",
            start=driven.started_at - _AROUND,
            end=driven.ended_at + _AROUND,
            expected=[str(one) for one in ran["request_id"].drop_nulls()],
            settle=_SETTLE,
            function=FUNCTION,
        )
        joined = join_client(recorded.trace, driven.trace)
        write_trace(joined.trace, self._folder / f"{name}.parquet")
        return _Measured(name, start, driven, joined)


def _forecast(
    case: Case,
    baseline: Trace,
    candidate: _Measured,
    plan: ReplayedArrivals,
    planned_at: float,
    pace: Pace,
    seed: int,
) -> Forecast:
    recorded = candidate.trace
    history_ends = candidate.start + float(recorded.frame["arrival_s"][0]) + replay(recorded).duration_s
    # New versions begin without environments, whatever the recorded ones left behind.
    gap_s = 0.0 if case.redeploys else max(planned_at - history_ends, 0.0)
    return forecast(
        baseline,
        recorded,
        [PlannedStep(_STEP, case.weight, plan, gap_before_s=gap_s)],
        platform_of(case),
        replications=pace.replications,
        seed=seed,
        history=() if case.redeploys else None,
        extra_metrics=COUNTS,
    )


def _foreseen(found: Forecast, name: str) -> dict[str, float]:
    samples = found.samples[_STEP, ALL, name]
    low, high = interval(samples)
    return {"median": float(np.nanmedian(samples)), "lo": low, "hi": high}


def _observed(trace: Trace) -> dict[str, float]:
    seen = {figure.metric: figure.estimate for figure in observe(trace, step=_STEP) if figure.variant == ALL}
    found = {name: float(value) for name in QUANTILE_METRICS if (value := seen[name]) is not None}
    status = trace.frame["status"]
    found["cold_count"] = float(trace.frame["cold"].sum())
    found["throttled_count"] = float((status == "throttled").sum())
    found["timeout_count"] = float((status == "timeout").sum())
    return found


def _beside(foreseen: dict[str, float], observed: float, samples: Any) -> dict[str, Any]:
    inside = foreseen["lo"] <= observed <= foreseen["hi"]
    error = 100.0 * (foreseen["median"] - observed) / observed if observed else None
    figure = HeldOutFigure(observed, foreseen["median"], foreseen["lo"], foreseen["hi"], error, inside)
    # Where the forecast is sure and right (no time-out in either), the figure could hardly have missed.
    return {**figure.to_json(), "certain": bool(np.nanmin(samples) == np.nanmax(samples))}


def _busy(phases: list[_Measured], bedrock: dict[str, Any], late_s: float) -> str | None:
    """Say why the machine was too busy for what was measured to mean anything; None where it was not."""
    for one in phases:
        if one.driven.lateness.p99_ms > LATENESS_LIMIT_MS:
            return f"{one.name}: the driver was late by {one.driven.lateness.p99_ms:.0f} ms at p99"
        if one.driven.unsent:
            return f"{one.name}: {one.driven.unsent} requests were not sent"
        overhead_ms = _overhead_ms(one.trace)
        if overhead_ms > OVERHEAD_LIMIT_MS:
            return f"{one.name}: warm requests took {overhead_ms:.0f} ms at p95 besides the model"
    for name, model in bedrock["models"].items():
        p99_ms = model["lateness"].get("p99_ms", 0.0)
        if p99_ms > LATENESS_LIMIT_MS:
            return f"{name}: the local Bedrock was late by {p99_ms:.0f} ms at p99"
    return f"the case began {late_s:.1f} s late" if late_s > START_LIMIT_S else None


def _overhead_ms(trace: Trace) -> float:
    """Give the p95 of what warm requests that ended well took besides the model's call; 0 where none is known."""
    warm = trace.frame.filter((pl.col("status") == "ok") & ~pl.col("cold").fill_null(value=True))
    besides = (warm["client_ms"] - warm["inference_ms"]).drop_nulls().to_numpy()
    return quantile(besides, 0.95) if besides.size else 0.0
