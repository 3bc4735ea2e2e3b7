"""Runs like those of the pacslab study, whose truth is known: what nobody could forecast better is known too.

Poisson arrivals to one function; warm requests a percent apart, a few slow ones, environments each with a speed of its
own; cold starts that cost one of a few amounts; environments that end idle, each after a time of its own. Every number
is drawn anew for each run, from wide ranges, so that nothing is fitted to any one recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from simulator.quantiles import FloatArray
from simulator.trace import Trace, make_trace


@dataclass(frozen=True)
class SyntheticRun:
    """One function's laws, and when it is asked."""

    arrival_s: FloatArray
    warm_ms: float
    warm_log_sd: float
    level_log_sd: float
    slow_share: float
    slow_factor: float
    start_ms: FloatArray
    idle_s: tuple[float, float]

    def draw(self, rng: np.random.Generator) -> Trace:
        """Let it happen once."""
        size = self.arrival_s.size
        warm_ms = self.warm_ms * np.exp(self.warm_log_sd * rng.standard_normal(size))
        warm_ms = np.where(rng.random(size) < self.slow_share, warm_ms * self.slow_factor, warm_ms)
        start_ms = rng.choice(self.start_ms, size) * np.exp(0.03 * rng.standard_normal(size))
        idle_s = rng.uniform(*self.idle_s, size)
        level = np.exp(self.level_log_sd * rng.standard_normal(size))
        client_ms, cold, names = np.empty(size), np.zeros(size, dtype=bool), np.empty(size, dtype=np.int64)
        free: list[tuple[float, float, int]] = []
        for index, now_s in enumerate(self.arrival_s.tolist()):
            free = [one for one in free if one[1] >= now_s]
            ready = [one for one in free if one[0] <= now_s]
            if ready:
                last = max(ready)
                free.remove(last)
                names[index] = last[2]
            else:
                names[index], cold[index] = index, True
            client_ms[index] = warm_ms[index] * level[names[index]] + (0.0 if ready else start_ms[index])
            free_s = now_s + client_ms[index] / 1000.0
            free.append((free_s, free_s + idle_s[index], int(names[index])))
        return make_trace(
            pl.DataFrame(
                {
                    "arrival_s": self.arrival_s,
                    "client_ms": client_ms,
                    "duration_ms": client_ms - np.where(cold, client_ms - warm_ms, 0.0) - 50.0,
                    "cold": cold,
                    "environment_id": [f"e{name}" for name in names],
                }
            )
        )


def synthetic_run(seed: int) -> SyntheticRun:
    """Draw a function and its arrivals."""
    rng = np.random.default_rng([seed, 1])
    size = int(rng.choice([250, 800, 1600, 4000]))
    gap_s = float(np.exp(rng.uniform(np.log(5.0), np.log(400.0))))
    shortest_s = float(rng.uniform(200.0, 900.0))
    return SyntheticRun(
        arrival_s=np.cumsum(rng.exponential(gap_s, size)),
        warm_ms=float(np.exp(rng.uniform(np.log(200.0), np.log(3000.0)))),
        warm_log_sd=float(rng.uniform(0.005, 0.1)),
        level_log_sd=float(rng.uniform(0.0, 0.01)),
        slow_share=float(rng.uniform(0.0, 0.01)),
        slow_factor=float(rng.uniform(1.05, 1.5)),
        start_ms=rng.uniform(100.0, 900.0, int(rng.integers(1, 5))),
        idle_s=(shortest_s, shortest_s * float(rng.uniform(1.0, 2.0))),
    )
