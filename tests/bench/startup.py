"""What a command takes before it answers: help, and the first and the second forecast on a machine.

A forecast is of three steps of five minutes after 20 minutes of history, and of a burst (5.8 million simulated requests
in 200 replications); or of the trace's own 10,000 arrivals (2 million). Each run is a process of its own. The first
forecast has an empty cache of compiled code, the later ones what it left. CPU seconds stand beside those of the wall,
since other programs of the machine lengthen only the latter.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from simulator.trace import TraceMetadata, make_trace, write_trace
from tests.bench.report import Figure, write_report

_PROGRAM = ("-c", "import sys; from replay.cli import main; main(sys.argv[1:])")
_REQUESTS = 10_000
_RATE_RPS = 10.0
_REPLICATIONS = 200
_ENVIRONMENTS = 20
_HELPS = 7
_RUNS = int(os.environ.get("TAILCAST_BENCH_RUNS", "3"))


def main() -> None:
    """Run the benchmark."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for variant, median_ms, seed in (("baseline", 600.0, 1), ("optimized", 450.0, 2)):
            _write_recording(folder / f"{variant}.parquet", variant, median_ms, seed)
        ask = (
            "forecast", "--baseline", str(folder / "baseline.parquet"),
            "--candidate", str(folder / "optimized.parquet"), "--replications", str(_REPLICATIONS), "--json",
        )  # fmt: skip
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
        bare = [_timed(("-c", "pass"), environment) for _ in range(_HELPS)]
        libraries = [_timed(("-c", "import numpy, polars, numba, scipy.special"), environment) for _ in range(_RUNS)]
        helps = [_timed((*_PROGRAM, "--help"), environment) for _ in range(_HELPS)]
        first = _timed((*_PROGRAM, *ask), environment)
        later = [_timed((*_PROGRAM, *ask), environment) for _ in range(_RUNS)]
        own = ("--arrivals", str(folder / "baseline.parquet"), "--weight", "50%", "--cold-begin", "--burst", "0")
        replayed = [_timed((*_PROGRAM, *ask, *own), environment) for _ in range(_RUNS)]
    figures = {
        "help": Figure(_median(helps, 0), "s", 0.3),
        "help, CPU": Figure(_median(helps, 1), "s"),
        "a bare interpreter": Figure(_median(bare, 0), "s"),
        "first forecast": Figure(first[0], "s"),
        "second forecast": Figure(_median(later, 0), "s", 3.0),
        "second forecast, the fastest": Figure(min(wall for wall, _ in later), "s"),
        "second forecast, CPU": Figure(_median(later, 1), "s"),
        "second forecast of the trace's own arrivals": Figure(_median(replayed, 0), "s", 3.0),
        "second forecast of the trace's own arrivals, CPU": Figure(_median(replayed, 1), "s"),
        "of it the libraries' imports": Figure(_median(libraries, 0), "s"),
        "of it the libraries' imports, CPU": Figure(_median(libraries, 1), "s"),
        "load before": Figure(load, "processes"),
    }
    write_report("startup", figures)


def _write_recording(path: Path, variant: str, median_ms: float, seed: int) -> None:
    """Write 10,000 requests of one variant, at 10 a second, in 20 environments."""
    rng = np.random.default_rng(seed)
    arrival_s = np.cumsum(rng.exponential(1.0 / _RATE_RPS, _REQUESTS))
    duration_ms = rng.lognormal(np.log(median_ms), 0.35, _REQUESTS)
    cold = np.arange(_REQUESTS) < _ENVIRONMENTS
    frame = pl.DataFrame(
        {
            "arrival_s": arrival_s - arrival_s[0],
            "variant": [variant] * _REQUESTS,
            "environment_id": [f"environment-{number % _ENVIRONMENTS}" for number in range(_REQUESTS)],
            "cold": cold,
            "init_ms": pl.Series([500.0 if one else None for one in cold], dtype=pl.Float64),
            "duration_ms": duration_ms,
            "client_ms": duration_ms + rng.lognormal(3.5, 0.3, _REQUESTS) + np.where(cold, 600.0, 0.0),
            "inference_ms": 0.95 * duration_ms,
            "input_tokens": rng.integers(200, 900, _REQUESTS),
            "output_tokens": rng.integers(20, 300, _REQUESTS),
            "status": ["ok"] * _REQUESTS,
            "memory_mb": [1024] * _REQUESTS,
        }
    )
    write_trace(make_trace(frame, TraceMetadata(source="made", models={variant: "us.amazon.nova-lite-v1:0"})), path)


def _timed(arguments: tuple[str, ...], environment: dict[str, str]) -> tuple[float, float]:
    """Give the seconds of wall time and of CPU that a process took."""
    before, began = _cpu_s(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - began, _cpu_s() - before


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _median(runs: list[tuple[float, float]], which: int) -> float:
    return statistics.median(run[which] for run in runs)


if __name__ == "__main__":
    main()
