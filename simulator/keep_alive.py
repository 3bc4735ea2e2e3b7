"""How long an idle environment lives, fitted to a trace that names its environments.

AWS documents no keep-alive, and it is no constant: most environments live to a common age, some end earlier. A trace
shows each idle period once, at its end: an environment that is used again after g seconds lived longer than g; one that
had been idle for g seconds when its version had to start another, and never came back, had ended before. Such *current
status* data have a simple maximum-likelihood estimate of the survival function: the decreasing step function closest to
the outcomes in order of g (Ayer et al. 1955; Groeneboom and Wellner 1992).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from simulator.quantiles import FloatArray
from simulator.trace import Trace

BEYOND_FACTOR: Final = 2.0
"""What outlives the longest idle period seen is taken to live this many times as long."""


@dataclass(frozen=True, eq=False)
class KeepAliveFit:
    """The idle periods that a trace shows.

    Parameters
    ----------
    idle_s
        Their lengths when their end was seen, ascending, shape ``(k,)``.
    alive
        Whether the environment was still there, shape ``(k,)``.
    """

    idle_s: FloatArray = field(repr=False)
    alive: NDArray[np.bool_] = field(repr=False)

    @property
    def longest_s(self) -> float:
        """The longest time that an environment is taken to live idle."""
        return float(self.idle_s[-1]) * BEYOND_FACTOR

    def draw(self, rng: np.random.Generator) -> DrawnKeepAlive:
        """Draw one version of the law: a Bayesian bootstrap of the idle periods, and where between two of them."""
        return self._drawn(rng.standard_exponential(self.idle_s.size), float(rng.random()))

    def summary(self) -> dict[str, Any]:
        """Say what was fitted, as JSON types: the times by which 5, 50 and 95 % of the idle environments are gone."""
        law = self._drawn(np.ones(self.idle_s.size), 0.5)
        p5, p50, p95 = law.at(np.array([0.95, 0.5, 0.05])).tolist()
        lost = int((~self.alive).sum())
        return {"p5_s": p5, "p50_s": p50, "p95_s": p95, "reuses": int(self.alive.sum()), "losses": lost}

    def _drawn(self, weights: FloatArray, place: float) -> DrawnKeepAlive:
        survival = isotonic_regression(self.alive.astype(np.float64), weights=weights, increasing=False).x
        return DrawnKeepAlive(self.idle_s, np.asarray(survival, dtype=np.float64), place)


@dataclass(frozen=True, eq=False)
class DrawnKeepAlive:
    """One version of the law: P(alive after ``idle_s``) = ``survival``, decreasing.

    The data do not say where between two idle periods the survival falls; ``place`` in [0, 1) says it for this version.
    """

    idle_s: FloatArray = field(repr=False)
    survival: FloatArray = field(repr=False)
    place: float

    def at(self, uniforms: FloatArray) -> FloatArray:
        """Give how long an environment lives idle, in seconds, at each of ``uniforms`` in [0, 1)."""
        # The first idle period that it does not survive: survival ≤ uniform there.
        index = np.searchsorted(-self.survival, -uniforms, side="left")
        edges_s = np.concatenate([[0.0], self.idle_s, [self.idle_s[-1] * BEYOND_FACTOR]])
        return np.asarray(edges_s[index] + self.place * (edges_s[index + 1] - edges_s[index]), dtype=np.float64)


def fit_keep_alive(trace: Trace) -> KeepAliveFit | None:
    """Fit the keep-alive; None where the trace names no environments, or shows no reuse or no loss.

    The rows are taken in order of arrival. An environment is idle from its arrival plus the longer of what the caller
    and Lambda report.
    """
    known = trace.frame.filter(trace.frame["environment_id"].is_not_null() & trace.frame["cold"].is_not_null())
    frame = known.filter(~known["provisioned"].fill_null(value=False))
    arrival_s = frame["arrival_s"].to_list()
    busy_ms = frame["client_ms"].fill_null(0.0).to_numpy()
    busy_ms = np.maximum(busy_ms, frame["duration_ms"].fill_null(0.0).to_numpy())
    cold = frame["cold"].to_list()
    versions = frame["version"].fill_null("").to_list()
    names = frame["environment_id"].to_list()
    last_row = {name: row for row, name in enumerate(names)}
    free_s: dict[str, float] = {}
    reused_s: list[float] = []
    lost_s: list[float] = []
    for row, name in enumerate(names):
        now_s = float(arrival_s[row])
        if name in free_s:
            reused_s.append(max(now_s - free_s[name], 0.0))
        elif cold[row]:
            # Every environment of this version that is idle now and never comes back is gone: this start says so first.
            gone = [
                other
                for other, since_s in free_s.items()
                if last_row[other] < row and since_s < now_s and versions[last_row[other]] == versions[row]
            ]
            lost_s.extend(now_s - free_s.pop(other) for other in gone)
        free_s[name] = now_s + float(busy_ms[row]) / 1000.0
    if not reused_s or not lost_s:
        return None
    idle_s = np.array([*reused_s, *lost_s])
    alive = np.array([True] * len(reused_s) + [False] * len(lost_s))
    order = np.argsort(idle_s, kind="stable")
    return KeepAliveFit(idle_s[order], alive[order])
