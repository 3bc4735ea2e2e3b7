"""A sweep of 1,000 scenarios × 100,000 requests, and how much of it is what: the figures that a reader can hold it to.

Each scenario is observed over 40 runs of 2,500 requests on average, on top of the recordings that warm it up. The peer
is the same work scenario by scenario with ``forecast()``, which draws everything anew (on a part of the grid).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from simulator.arrivals import poisson
from simulator.cost import load_prices
from simulator.engine.compiled.warm import warm
from simulator.forecast import forecast
from simulator.objective import parse_objectives
from simulator.parallel import InProcess, Processes, Workers, usable_cores
from simulator.platform import Platform
from simulator.sweep.grid import Scenario, parse_axis, scenarios_of
from simulator.sweep.journal import opened
from simulator.sweep.run import BATCH, Question, platform_of, prepare, run_batch
from simulator.timeline import PlannedStep
from tests.bench.report import Figure, write_report
from tests.simulator.worlds import World

_REPLICATIONS = 40
_RATE_RPS = 50.0
_DURATION_S = 50.0
_AXES = (
    ("pc-optimized", "0:24"),
    ("weight", "5%,10%,25%,50%,100%"),
    ("scale", "0.5,0.75,1.25,1.5"),
    ("timeout", "10,30"),
)
_PEER_SCENARIOS = 20


def main() -> None:
    """Run the benchmark."""
    warm()
    recorded = World().record(2)
    platform = Platform(keep_alive_s=300.0)
    question = Question(
        traces={"baseline": recorded.baseline, "optimized": recorded.candidate},
        arrivals=poisson(_RATE_RPS, _DURATION_S),
        platform=platform,
        objectives=parse_objectives("p99 < 1500 ms"),
        keep_alive=None,
        prices=load_prices(None),
        architecture="x86_64",
        replications=_REPLICATIONS,
        seed=0,
    )
    scenarios = scenarios_of([parse_axis(name, values) for name, values in _AXES])
    cores = usable_cores()
    with Processes(cores) as workers:
        list(workers.map(_nothing, None, range(2 * cores)))  # their start belongs to no sweep in particular
        wall_s, requests = _sweep(question, scenarios, workers)
    alone_s, alone_requests = _sweep(question, scenarios[: 4 * BATCH], InProcess())
    peer_s = _peer(question, scenarios[:: len(scenarios) // _PEER_SCENARIOS])
    figures = {
        f"{len(scenarios):,} scenarios on {cores} cores": Figure(wall_s, "s", 60.0),
        "requests of a scenario, mean": Figure(requests / len(scenarios), "requests"),
        "requests a second, observed": Figure(requests / wall_s, "requests/s"),
        "one core": Figure(alone_requests / alone_s, "requests/s"),
        "a scenario by itself (forecast) ÷ in the sweep, one core": Figure(
            (peer_s / _PEER_SCENARIOS) / (alone_s / (4 * BATCH)), "×"
        ),
        "load before": Figure(os.getloadavg()[0], "processes"),
    }
    write_report("sweep", figures)


def _nothing(shared: None, index: int) -> int:
    return index


def _sweep(question: Question, scenarios: tuple[Scenario, ...], workers: Workers) -> tuple[float, float]:
    """Give the seconds of the sweep with its journal, and the requests that it observed in all."""
    began = time.perf_counter()
    requests = 0.0
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), {"bench": True}) as journal:
        prepared = prepare(question, scenarios, range(len(scenarios)))
        for _, results in workers.map(run_batch, prepared, range(len(prepared.batches))):
            journal.write(results)
            requests += sum(row["figures"]["all"]["cold_share"]["requests"] * row["replications"] for row in results)
    return time.perf_counter() - began, requests


def _peer(question: Question, scenarios: tuple[Scenario, ...]) -> float:
    began = time.perf_counter()
    baseline, candidate = question.traces.values()
    for one in scenarios[:_PEER_SCENARIOS]:
        forecast(
            baseline,
            candidate,
            [PlannedStep("step", one.weight, question.arrivals.scaled(one.scale))],
            platform_of(question.platform, one),
            replications=question.replications,
            prices=question.prices,
            objectives=question.objectives,
        )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
