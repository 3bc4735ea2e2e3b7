"""What the engine is measured beside: SimFaaS, a naive SimPy model, and our own SimPy engine, on the same work."""

from __future__ import annotations

import heapq
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import simpy

from simulator.engine import reference
from simulator.quantiles import quantile
from tests.bench._engine_work import AT_REST, KEEP_ALIVE_S, SERVICE_S, joined, plain_blocks, plain_platform

SIMFAAS = "simfaas==0.2.2"
FOLDER = Path("build/simfaas")
LEVELS = (0.5, 0.95, 0.99)

_SIMFAAS_RUN = """
import json, sys, time
from simfaas.ServerlessSimulator import ServerlessSimulator
rate, requests, service_s, keep_alive_s = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
run = ServerlessSimulator(
    arrival_rate=rate, warm_service_rate=1 / service_s, cold_service_rate=1 / service_s,
    expiration_threshold=keep_alive_s, max_time=requests / rate,
)
started = time.process_time()
run.generate_trace(debug_print=False, progress=False)
seconds = time.process_time() - started
print(json.dumps({"requests": run.total_req_count, "seconds": seconds}))
"""


def simfaas_rps(rate_rps: float, requests: int) -> float:
    """Run SimFaaS in an environment of its own (its pins must not meet ours); give requests a second."""
    python = FOLDER / "bin" / "python"
    if not (FOLDER / ".ready").exists():
        print(f"installing {SIMFAAS} into {FOLDER} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", SIMFAAS], check=True)
        (FOLDER / ".ready").touch()
    arguments = [str(value) for value in (rate_rps, requests, SERVICE_S, KEEP_ALIVE_S)]
    run = subprocess.run(
        [str(python), "-c", _SIMFAAS_RUN, *arguments], check=True, capture_output=True, text=True, timeout=120
    )
    told = json.loads(run.stdout.strip().splitlines()[-1])
    return float(told["requests"]) / float(told["seconds"])


def reference_rps(rate_rps: float, requests: int) -> float:
    """Run our SimPy engine, draws and quantiles included; give requests a second."""
    started = time.process_time()
    outcomes = reference.simulate(joined(list(plain_blocks(requests, rate_rps))), plain_platform(), AT_REST)
    for level in LEVELS:
        quantile(outcomes.client_ms, level)
    return requests / (time.process_time() - started)


def naive_rps(rate_rps: float, requests: int) -> float:
    """Run what one would write in an afternoon: a SimPy process for each request, a list of idle environments."""
    rng = random.Random(1)
    clock = simpy.Environment()
    idle: list[float] = []
    latency_s: list[float] = []

    def serve() -> simpy.events.ProcessGenerator:
        while idle and idle[-1] <= clock.now:
            idle.pop()
        cold = not idle
        if idle:
            idle.pop()
        service_s = rng.expovariate(1.0 / SERVICE_S) + (0.63 if cold else 0.0)
        yield clock.timeout(service_s)
        latency_s.append(service_s)
        idle.append(clock.now + KEEP_ALIVE_S)

    def arrive() -> simpy.events.ProcessGenerator:
        for _ in range(requests):
            yield clock.timeout(rng.expovariate(rate_rps))
            clock.process(serve())

    started = time.process_time()
    clock.process(arrive())
    clock.run()
    for level in LEVELS:
        quantile(latency_s, level)
    return requests / (time.process_time() - started)


def heapq_rps(rate_rps: float, requests: int) -> float:
    """Run the shortest loop of plain Python that does it: the yardstick for figures noted on another day."""
    rng = random.Random(1)
    now_s = 0.0
    busy_s: list[float] = []
    idle_s: list[float] = []
    latency_s: list[float] = []
    started = time.process_time()
    for _ in range(requests):
        now_s += rng.expovariate(rate_rps)
        while busy_s and busy_s[0] <= now_s:
            idle_s.append(heapq.heappop(busy_s) + KEEP_ALIVE_S)
        while idle_s and idle_s[-1] <= now_s:
            idle_s.pop()
        service_s = rng.expovariate(1.0 / SERVICE_S)
        if idle_s:
            idle_s.pop()
        latency_s.append(service_s)
        heapq.heappush(busy_s, now_s + service_s)
    for level in LEVELS:
        quantile(latency_s, level)
    return requests / (time.process_time() - started)
