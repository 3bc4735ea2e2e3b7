"""Weak scaling on a Dask cluster: twice the workers do twice the sweep in nearly the same time.

Worker processes of this machine, one thread each, over loopback TCP; the peer is the same sweep without Dask. A part of
the work is one batch of scenarios, as in ``tailcast sweep --scheduler``.
"""

from __future__ import annotations

import os
import resource
import statistics
import time

from distributed import Client, LocalCluster

from replay.cluster import DaskWorkers
from simulator.arrivals import poisson
from simulator.cost import load_prices
from simulator.engine.compiled.warm import warm
from simulator.objective import parse_objectives
from simulator.parallel import InProcess, Workers
from simulator.platform import Platform
from simulator.sweep.grid import parse_axis, scenarios_of
from simulator.sweep.run import Question, prepare, run_batch
from tests.bench.report import Figure, write_report
from tests.simulator.worlds import World

_PC = 16
_SCALES = 4
"""Batches of 16 scenarios for one worker; twice as many for two."""
_RUNS = 2


def main() -> None:
    """Run the benchmark."""
    load = os.getloadavg()[0]
    warm()
    here_s = statistics.median(_sweep(InProcess(), _SCALES) for _ in range(_RUNS))
    walls, cpus = {}, {}
    for workers in (1, 2):
        before_s = _children_cpu_s()
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=50,
            ) as local,
            Client(local, set_as_default=False) as client,
        ):
            found = DaskWorkers(client)
            _sweep(found, workers)  # imports and compiled code: once for each worker
            walls[workers] = statistics.median(_sweep(found, _SCALES * workers) for _ in range(_RUNS))
        cpus[workers] = (_children_cpu_s() - before_s) / workers
    figures = {
        "weak scaling, 1 → 2 workers": Figure(2.0 * walls[1] / walls[2], "×", 1.8, better="higher"),
        "CPU of a worker, 1 ÷ 2 workers": Figure(cpus[1] / cpus[2], "×"),
        "1 worker": Figure(walls[1], "s"),
        "2 workers, twice the work": Figure(walls[2], "s"),
        "without Dask, the work of 1 worker": Figure(here_s, "s"),
        "load before": Figure(load, "processes"),
    }
    write_report("cluster", figures)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sweep(workers: Workers, batches: int) -> float:
    """Give the seconds of a sweep of so many batches."""
    recorded = World().record(2)
    question = Question(
        traces={"baseline": recorded.baseline, "optimized": recorded.candidate},
        arrivals=poisson(50.0, 50.0),
        platform=Platform(keep_alive_s=300.0),
        objectives=parse_objectives("p99 < 1500 ms"),
        keep_alive=None,
        prices=load_prices(None),
        architecture="x86_64",
        replications=40,
        seed=0,
    )
    scales = ",".join(f"{1.0 + index / 1000.0:g}" for index in range(batches))
    scenarios = scenarios_of([parse_axis("pc-optimized", f"1:{_PC}"), parse_axis("scale", scales)])
    prepared = prepare(question, scenarios, range(len(scenarios)))
    began = time.perf_counter()
    done = list(workers.map(run_batch, prepared, range(len(prepared.batches))))
    assert len(done) == batches
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
