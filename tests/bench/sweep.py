"""A sweep of 1,000 scenarios × 100,000 requests, and how much of it is what: the figures that a reader can hold it to.

Each scenario is observed over 40 runs of 2,500 requests on average, on top of the recordings that warm it up. The peer
is the same work scenario by scenario with ``forecast()``, which draws everything anew (on a part of the grid). On a
machine that others use too, the CPU of all processes says more than the wall; ``TAILCAST_BENCH_SCENARIOS`` runs a part
of the grid.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
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
    load = os.getloadavg()[0]
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
    every = scenarios_of([parse_axis(name, values) for name, values in _AXES])
    scenarios = _part(every, int(os.environ.get("TAILCAST_BENCH_SCENARIOS", len(every))))
    cores = usable_cores()
    with Processes(cores) as workers:
        list(workers.map(_nothing, None, range(2 * cores)))  # their start belongs to no sweep in particular
    used_s = _children_cpu_s()
    with Processes(cores) as workers:
        list(workers.map(_nothing, None, range(2 * cores)))
        wall_s, requests = _sweep(question, scenarios, workers)
    # The first pool did nothing but start: what it took is what starting takes.
    cpu_s = _children_cpu_s() - 2.0 * used_s
    few = _part(scenarios, 4 * BATCH)
    alone_s = _cpu_of(lambda: _sweep(question, few, InProcess()))
    peer_s = _cpu_of(lambda: _peer(question, few[:: len(few) // _PEER_SCENARIOS]))
    scale = len(every) / len(scenarios)
    figures = {
        f"{len(scenarios):,} scenarios on {cores} cores": Figure(wall_s, "s", 60.0 / scale),
        "requests of a scenario, mean": Figure(requests / len(scenarios), "requests"),
        "requests a second, observed": Figure(requests / wall_s, "requests/s"),
        f"CPU of {len(every):,} scenarios ÷ {cores} cores": Figure(scale * cpu_s / cores, "s", 60.0),
        "CPU of a scenario": Figure(1000.0 * cpu_s / len(scenarios), "ms"),
        "CPU of a scenario by itself (forecast) ÷ in the sweep": Figure(
            (peer_s / _PEER_SCENARIOS) / (alone_s / len(few)), "×"
        ),
        "load before": Figure(load, "processes"),
    }
    write_report("sweep", figures)


def _part(scenarios: tuple[Scenario, ...], count: int) -> tuple[Scenario, ...]:
    """Give about so many scenarios, whole batches from all over the grid."""
    batches = [scenarios[start : start + BATCH] for start in range(0, len(scenarios), BATCH)]
    step = max(1, round(len(scenarios) / count))
    return tuple(one for batch in batches[::step] for one in batch)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


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


def _peer(question: Question, scenarios: tuple[Scenario, ...]) -> None:
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


if __name__ == "__main__":
    main()
