"""The peer of the accuracy benchmark: a plain replay of the second part, drawn from the first part's requests.

Warm and cold latencies are drawn one by one from those recorded, environments are reused most recently used first and
live idle for one fixed time, the one that gives the first part its own number of cold starts. No doubt, no drift.
"""

from __future__ import annotations

import numpy as np

from simulator.quantiles import FloatArray
from simulator.trace import Trace

KEEP_ALIVES_S = tuple(range(120, 3_601, 60))
RUNS = 40


def replay_peer(train: Trace, test: Trace, seed: int = 0) -> dict[str, float]:
    """Forecast p50, p95, p99 and the cold starts of ``test``: the median of a few dozen runs."""
    client_ms, cold = train.frame["client_ms"].to_numpy(), train.frame["cold"].to_numpy()
    warm_ms, cold_ms = client_ms[~cold], client_ms[cold]
    train_s, test_s = (part.frame["arrival_s"].to_numpy() for part in (train, test))
    fixed = np.random.default_rng(seed)
    starts = [_run(train_s, warm_ms, cold_ms, keep_alive_s, fixed)[1] for keep_alive_s in KEEP_ALIVES_S]
    keep_alive_s = KEEP_ALIVES_S[int(np.argmin(np.abs(np.array(starts) - cold.sum())))]
    found = []
    for run in range(RUNS):
        drawn_ms, count = _run(test_s, warm_ms, cold_ms, keep_alive_s, np.random.default_rng([seed, run]))
        found.append([*np.quantile(drawn_ms, [0.5, 0.95, 0.99]), count])
    return dict(zip(("p50_ms", "p95_ms", "p99_ms", "cold_count"), np.median(found, axis=0).tolist(), strict=True))


def _run(
    arrival_s: FloatArray, warm_ms: FloatArray, cold_ms: FloatArray, keep_alive_s: float, rng: np.random.Generator
) -> tuple[FloatArray, int]:
    warm, cold = rng.choice(warm_ms, arrival_s.size), rng.choice(cold_ms, arrival_s.size)
    drawn_ms, free_s, starts = np.empty(arrival_s.size), [], 0
    for index, now_s in enumerate(arrival_s.tolist()):
        free_s = [since_s for since_s in free_s if now_s - since_s <= keep_alive_s]
        idle = [since_s for since_s in free_s if since_s <= now_s]
        if idle:
            free_s.remove(max(idle))
        starts += not idle
        drawn_ms[index] = warm[index] if idle else cold[index]
        free_s.append(now_s + drawn_ms[index] / 1000.0)
    return drawn_ms, starts
