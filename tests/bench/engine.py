"""The engine's speed on one core, beside its peers on the same work; its growth, its memory, and that it is the same.

Everything measured runs in one thread, so its time is processor time: what other programs take meanwhile is not in it,
but for the caches and the memory that they share.

``TAILCAST_BENCH_ENGINE_CASES`` sets how many random worlds are held against the SimPy engine, and
``TAILCAST_BENCH_ENGINE_BILLION=1`` also streams 1,000,000,000 requests.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from simulator.engine import compiled, reference
from simulator.engine.compiled.stream import StreamedRun, stream
from simulator.engine.compiled.warm import warm
from tests.bench._engine_peers import LEVELS, heapq_rps, naive_rps, reference_rps, simfaas_rps
from tests.bench._engine_work import (
    AT_REST,
    SERVICE_S,
    SHIFTING,
    full_blocks,
    full_platform,
    joined,
    plain_blocks,
    plain_platform,
)
from tests.bench.report import Figure, write_report
from tests.simulator.engine.both import differences
from tests.simulator.engine.compiled.random_worlds import random_world, without_feedback

RATES_RPS = (10.0, 50.0, 100.0)
DSLAB_RPS = {10.0: 470e3, 50.0: 362e3, 100.0: 326e3}
"""DSLab FaaS (Rust), noted on two shared cores: the upper ends."""
HEAPQ_RPS = {10.0: 581e3, 50.0: 556e3, 100.0: 535e3}
"""A loop of plain Python, noted on the same occasion: how much faster it runs here, DSLab FaaS would too."""
PLAIN_REQUESTS, FULL_REQUESTS, FULL_RPS = 3_000_000, 1_000_000, 100.0
PEER_REQUESTS, SIMFAAS_REQUESTS = 40_000, 10_000
CONCURRENCIES = (10, 100, 1_000, 10_000)
RUNS = 5
PEER_RUNS = 3
CASES = int(os.environ.get("TAILCAST_BENCH_ENGINE_CASES", "3000"))


def main() -> None:
    warm()
    figures: dict[str, Figure] = {}
    _plain(figures)
    _full(figures)
    _growth(figures)
    _memory(figures)
    _same(figures)
    write_report("engine", figures)


def _plain(figures: dict[str, Figure]) -> None:
    """Poisson arrivals, exponential service, keep-alive of ten minutes: sampling and quantiles included."""
    table = Table(title="plain case, requests a second")
    for heading in (
        "requests/s",
        "tailcast",
        "its SimPy engine",
        "naive SimPy",
        "SimFaaS 0.2.2",
        "Python, heapq",
        "DSLab (noted)",
    ):
        table.add_column(heading, justify="right")
    for rate_rps in RATES_RPS:

        def run(rate_rps: float = rate_rps) -> None:
            found = stream(plain_blocks(PLAIN_REQUESTS, rate_rps), plain_platform(), AT_REST).all
            for level in LEVELS:
                found.latency.quantile_ms(level)

        # One after the other, several times, so that a slow moment of the machine meets all of them.
        ours, simpy_engine, naive, simfaas, plain = [], [], [], [], []
        for turn in range(RUNS):
            ours.append(PLAIN_REQUESTS / _seconds(run))
            if turn < PEER_RUNS:
                simpy_engine.append(reference_rps(rate_rps, PEER_REQUESTS))
                naive.append(naive_rps(rate_rps, PEER_REQUESTS))
                simfaas.append(simfaas_rps(rate_rps, SIMFAAS_REQUESTS))
                plain.append(heapq_rps(rate_rps, PEER_REQUESTS))
        of = [statistics.median(values) for values in (ours, simpy_engine, naive, simfaas, plain)]
        at = f"plain, {rate_rps:.0f} rps"
        figures[f"{at}: requests simulated"] = Figure(of[0] / 1e6, "M/s", 5.0, "higher")
        figures[f"{at}: times DSLab FaaS as noted"] = Figure(of[0] / DSLAB_RPS[rate_rps], "×", 10.0, "higher")
        there_is_slower = of[4] / HEAPQ_RPS[rate_rps]
        figures[f"{at}: times DSLab FaaS at this machine's speed"] = Figure(
            of[0] / (DSLAB_RPS[rate_rps] * there_is_slower), "×"
        )
        figures[f"{at}: times our SimPy engine"] = Figure(of[0] / of[1], "×", 100.0, "higher")
        figures[f"{at}: times a naive SimPy model"] = Figure(of[0] / of[2], "×")
        figures[f"{at}: times SimFaaS"] = Figure(of[0] / of[3], "×")
        table.add_row(f"{rate_rps:.0f}", *(_short(value) for value in (*of, DSLAB_RPS[rate_rps])))
    Console().print(table)


def _short(rps: float) -> str:
    return f"{rps / 1e6:.2f} M" if rps >= 1e6 else f"{rps / 1e3:.0f} k"


def _full(figures: dict[str, Figure]) -> None:
    """Everything on: weights that shift, changing PC, quotas, retries inside and outside, time-outs, throttles."""
    platform = full_platform(FULL_RPS)

    def draw() -> None:
        for _ in full_blocks(FULL_REQUESTS, FULL_RPS, platform):
            pass

    def run() -> StreamedRun:
        return stream(full_blocks(FULL_REQUESTS, FULL_RPS, platform), platform, SHIFTING)

    both, draws = [], []
    for _ in range(RUNS):
        draws.append(_seconds(draw))
        both.append(_seconds(run))
    whole_s, draw_s = statistics.median(both), statistics.median(draws)
    figures["everything on: requests simulated, draws given"] = Figure(
        FULL_REQUESTS / (whole_s - draw_s) / 1e6, "M/s", 2.0, "higher"
    )
    figures["everything on: requests simulated, sampling included"] = Figure(FULL_REQUESTS / whole_s / 1e6, "M/s")
    part = joined(list(full_blocks(PEER_REQUESTS, FULL_RPS, platform)))
    slow_s = statistics.median(_seconds(lambda: reference.simulate(part, platform, SHIFTING)) for _ in range(PEER_RUNS))
    figures["everything on: times our SimPy engine, draws given"] = Figure(
        FULL_REQUESTS / (whole_s - draw_s) / (PEER_REQUESTS / slow_s), "×"
    )
    found = run().all
    figures["everything on: attempts a request"] = Figure(found.attempts / found.requests, "")
    figures["everything on: attempts refused"] = Figure(100.0 * sum(found.refused.values()) / found.attempts, "%")
    figures["everything on: model calls a handler"] = Figure(found.model_tries / found.asked_model, "")


def _growth(figures: dict[str, Figure]) -> None:
    """Cost per request against how many are at work at one time."""
    cost_ns = []
    for concurrency in CONCURRENCIES:
        rate_rps = concurrency / SERVICE_S
        requests = max(PLAIN_REQUESTS // 2, 100 * concurrency)
        blocks = list(plain_blocks(requests, rate_rps))
        seconds = [_seconds(lambda blocks=blocks: stream(blocks, plain_platform(), AT_REST)) for _ in range(PEER_RUNS)]
        cost_ns.append(statistics.median(seconds) / requests * 1e9)
        figures[f"{concurrency:,} at work: a request"] = Figure(cost_ns[-1], "ns")
    # With the logarithm, the cost at 10,000 is at most log(10,000) ÷ log(10) times that at 10.
    logarithms = np.log(CONCURRENCIES)
    figures["10 → 10,000 at work: growth of the cost"] = Figure(
        cost_ns[-1] / cost_ns[0], "×", float(logarithms[-1] / logarithms[0])
    )


def _memory(figures: dict[str, Figure]) -> None:
    """Streamed runs of two lengths, each in a process of its own."""
    few, many = (_streamed(millions * 1_000_000) for millions in (5, 20))
    figures["memory of 5 M streamed requests"] = Figure(few["peak_mb"], "MB")
    figures["memory of 20 M streamed requests"] = Figure(many["peak_mb"], "MB", few["peak_mb"] * 1.02)
    if os.environ.get("TAILCAST_BENCH_ENGINE_BILLION"):
        billion = _streamed(1_000_000_000)
        figures["memory of 1,000 M streamed requests"] = Figure(billion["peak_mb"], "MB", few["peak_mb"] * 1.02)
        figures["time of 1,000 M streamed requests"] = Figure(billion["seconds"], "s of CPU")
    one = joined(list(plain_blocks(100_000, 100.0)))
    kept = compiled.simulate_compact(one, plain_platform(), AT_REST)
    figures["outcomes kept as arrays"] = Figure(kept.bytes_per_request, "bytes a request", 48.0)


def _streamed(requests: int) -> dict[str, float]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench._engine_memory", str(requests)],
        check=True,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    told: dict[str, float] = json.loads(run.stdout)
    return told


def _same(figures: dict[str, Figure]) -> None:
    """Hold both engines against each other in random worlds, and in one long run with everything on."""
    differing = attempts = 0
    for seed in range(CASES):
        # Every third one as the engine may sort its ends ahead.
        world = random_world(seed, 120)
        world = without_feedback(world) if seed % 3 == 0 else world
        expected = reference.simulate(world.draws, world.platform, world.rollout)
        found = compiled.simulate(world.draws, world.platform, world.rollout)
        differing += bool(differences(expected, found))
        attempts += expected.log.size
    platform = full_platform(FULL_RPS)
    long = joined(list(full_blocks(2 * PEER_REQUESTS, FULL_RPS, platform, seed=1)))
    expected, found = (engine.simulate(long, platform, SHIFTING) for engine in (reference, compiled))
    differing += bool(differences(expected, found))
    figures["runs held against the SimPy engine"] = Figure(CASES + 1, "runs")
    figures["their attempts"] = Figure(attempts + expected.log.size, "attempts")
    figures["runs in which anything differs"] = Figure(differing, "runs", 0.0)


def _seconds(work: Callable[[], object]) -> float:
    """Give the processor time of some work: on one core, what the clock shows where nobody else uses it."""
    started = time.process_time()
    work()
    return time.process_time() - started
