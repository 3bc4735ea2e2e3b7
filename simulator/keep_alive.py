"""How long an environment lives, fitted to a trace that names its environments, or says at least what was cold.

AWS documents no keep-alive, and it is no constant: most environments live idle to a common age, some end earlier. A
trace shows each idle period once, at its end: an environment that is used again after g seconds lived longer than g;
one that had been idle for g seconds when its version had to start another, and never came back, had ended before. Such
*current status* data have a simple maximum-likelihood estimate of the survival function: the decreasing step function
closest to the outcomes in order of g (Ayer et al. 1955; Groeneboom and Wellner 1992).

An environment may also have ended with age (``lifetimes.py``). Which of the two it was no trace says; each loss is
shared between them by expectation and maximisation (Dempster, Laird and Rubin 1977).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.lifetimes import DrawnLifetime, LifetimeFit, fit_lifetime
from simulator.platform import KEEP_ALIVE_S
from simulator.quantiles import FloatArray
from simulator.trace import Trace

BEYOND_FACTOR: Final = 2.0
"""What outlives the longest idle period seen is taken to live this many times as long."""
_ROUNDS: Final = 25


@dataclass(frozen=True, eq=False)
class KeepAliveFit:
    """The idle periods that a trace shows.

    Parameters
    ----------
    idle_s
        Their lengths when their end was seen, ascending, shape ``(k,)``.
    survived
        1 where the environment was still there; else the probability that it did not end of idling but of age; shape
        ``(k,)``.
    losses
        How many had ended.
    lifetime
        At which age environments end however busy they are.
    """

    idle_s: FloatArray = field(repr=False)
    survived: FloatArray = field(repr=False)
    losses: int
    lifetime: LifetimeFit

    @property
    def longest_s(self) -> float:
        """The longest time that an environment is taken to live idle."""
        return float(self.idle_s[-1]) * BEYOND_FACTOR

    def draw(self, rng: np.random.Generator) -> DrawnKeepAlive:
        """Draw one version of the law: a Bayesian bootstrap of the idle periods, and where between two of them."""
        drawn = self._drawn(rng.standard_exponential(self.idle_s.size), float(rng.random()))
        return DrawnKeepAlive(drawn.idle_s, drawn.survival, drawn.place, self.lifetime.draw(rng))

    def summary(self) -> dict[str, Any]:
        """Say what was fitted, as JSON types: the times by which 5, 50 and 95 % of the environments are gone."""
        law = self._drawn(np.ones(self.idle_s.size), 0.5)
        levels = np.array([0.95, 0.5, 0.05])
        p5, p50, p95 = law.at(levels).tolist()
        old_p5, old_p50, old_p95 = law.lifetime.at(1.0 - levels).tolist()
        return {
            "p5_s": p5,
            "p50_s": p50,
            "p95_s": p95,
            "reuses": int(self.idle_s.size) - self.losses,
            "losses": self.losses,
            "lifetime": {
                "p5_s": old_p5,
                "p50_s": old_p50,
                "p95_s": old_p95,
                "losses_by_age": float(self.lifetime.ends.sum()),
            },
        }

    def _drawn(self, weights: FloatArray, place: float) -> DrawnKeepAlive:
        return DrawnKeepAlive(self.idle_s, _decreasing(self.survived, weights), place, self.lifetime.mean())


@dataclass(frozen=True, eq=False)
class DrawnKeepAlive:
    """One version of the law: P(alive after ``idle_s``) = ``survival``, decreasing; and the ages beside it.

    The data do not say where between two idle periods the survival falls; ``place`` in [0, 1) says it for this version.
    """

    idle_s: FloatArray = field(repr=False)
    survival: FloatArray = field(repr=False)
    place: float
    lifetime: DrawnLifetime

    def at(self, uniforms: FloatArray) -> FloatArray:
        """Give how long an environment lives idle, in seconds, at each of ``uniforms`` in [0, 1)."""
        # The first idle period that it does not survive: survival ≤ uniform there.
        index = np.searchsorted(-self.survival, -uniforms, side="left")
        edges_s = np.concatenate([[0.0], self.idle_s, [self.idle_s[-1] * BEYOND_FACTOR]])
        return np.asarray(edges_s[index] + self.place * (edges_s[index + 1] - edges_s[index]), dtype=np.float64)


def fit_keep_alive(trace: Trace) -> KeepAliveFit | None:
    """Fit the keep-alive; None where the trace does not say what was cold, or shows no reuse or no loss.

    The rows are taken in order of arrival. An environment is idle from its arrival plus the longer of what the caller
    and Lambda report; its age counts from when the trace first shows it. A trace that names no environments is taken to
    have reused the most recently used one (:func:`inferred_environments`). Without a loss there is still something to
    learn where environments outlived :data:`~simulator.platform.KEEP_ALIVE_S`, which would else be taken for the limit.
    """
    frame = trace.frame
    if frame["environment_id"].is_null().all() and frame["cold"].is_not_null().any():
        frame = inferred_environments(frame)
    idle_s, age_s, alive = _idle_periods(frame)
    if not alive.any() or (alive.all() and float(idle_s.max()) <= KEEP_ALIVE_S):
        return None
    order = np.argsort(idle_s, kind="stable")
    idle_s, age_s, alive = idle_s[order], age_s[order], alive[order]
    survived = alive.astype(np.float64)
    lifetime = fit_lifetime(age_s - idle_s, age_s, 0.5 * (1.0 - survived))
    for _ in range(_ROUNDS):
        survival = _decreasing(survived, np.ones(idle_s.size))
        # An environment that idling ended was at risk of ageing only until then.
        median_s = float(idle_s[min(int(np.searchsorted(-survival, -0.5)), idle_s.size - 1)])
        at_risk_s = np.where(alive, idle_s, np.minimum(idle_s, median_s))
        law = lifetime.mean()
        by_age = -np.expm1(law.cumulative(age_s - idle_s) - law.cumulative(age_s - idle_s + at_risk_s))
        by_idling = 1.0 - survival
        either = np.maximum(1.0 - (1.0 - by_age) * (1.0 - by_idling), 1e-12)
        survived = np.where(alive, 1.0, 1.0 - np.minimum(by_idling / either, 1.0))
        share = np.where(alive, 0.0, np.minimum(by_age / either, 1.0))
        lifetime = fit_lifetime(age_s - idle_s, age_s - idle_s + at_risk_s, share, law)
    return KeepAliveFit(idle_s, survived, int((~alive).sum()), lifetime)


def _decreasing(survived: FloatArray, weights: FloatArray) -> FloatArray:
    # Imported here: a third of a second that a recording without environments does not need.
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(survived, weights=weights, increasing=False).x, dtype=np.float64)


def inferred_environments(frame: pl.DataFrame) -> pl.DataFrame:
    """Name the environments of requests that only say whether they were cold.

    A warm request went to the free environment of its version that had been used last, as Lambda does (docs/model.md,
    rule 6); a cold one started a new one, and found none that was free: whatever had been idle until then is gone.
    """
    names: list[str | None] = []
    free: dict[str, list[tuple[float, str]]] = {}
    arrival_s, busy_s = frame["arrival_s"].to_list(), (_busy_ms(frame) / 1000.0).tolist()
    versions, cold = frame["version"].fill_null("").to_list(), frame["cold"].to_list()
    provisioned = frame["provisioned"].fill_null(value=False).to_list()
    for row, now_s in enumerate(arrival_s):
        if cold[row] is None or provisioned[row]:
            names.append(None)
            continue
        ours = free.setdefault(versions[row], [])
        idle = [one for one in ours if one[0] <= now_s]
        if idle and not cold[row]:
            last = max(idle)
            ours.remove(last)
            name = last[1]
        else:
            ours[:] = [one for one in ours if one[0] > now_s]
            name = f"inferred-{row}"
        ours.append((now_s + busy_s[row], name))
        names.append(name)
    return frame.with_columns(environment_id=pl.Series(names, dtype=pl.String))


def _busy_ms(frame: pl.DataFrame) -> FloatArray:
    caller_ms = frame["client_ms"].fill_null(0.0).to_numpy()
    return np.asarray(np.maximum(caller_ms, frame["duration_ms"].fill_null(0.0).to_numpy()), dtype=np.float64)


def _idle_periods(frame: pl.DataFrame) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Give each idle period's length, the environment's age at its end, and whether the environment was still there."""
    known = frame.filter(frame["environment_id"].is_not_null() & frame["cold"].is_not_null())
    frame = known.filter(~known["provisioned"].fill_null(value=False))
    arrival_s = frame["arrival_s"].to_list()
    busy_ms = _busy_ms(frame)
    cold = frame["cold"].to_list()
    versions = frame["version"].fill_null("").to_list()
    names = frame["environment_id"].to_list()
    last_row = {name: row for row, name in enumerate(names)}
    born_s: dict[str, float] = {}
    free_s: dict[str, float] = {}
    periods: list[tuple[float, float, bool]] = []
    for row, name in enumerate(names):
        now_s = float(arrival_s[row])
        born_s.setdefault(name, now_s)
        if name in free_s:
            periods.append((max(now_s - free_s[name], 0.0), now_s - born_s[name], True))
        elif cold[row]:
            # Every environment of this version that is idle now and never comes back is gone: this start says so first.
            gone = [
                other
                for other, since_s in free_s.items()
                if last_row[other] < row and since_s < now_s and versions[last_row[other]] == versions[row]
            ]
            periods.extend((now_s - free_s.pop(other), now_s - born_s[other], False) for other in gone)
        free_s[name] = now_s + float(busy_ms[row]) / 1000.0
    lengths_s = np.array([period[0] for period in periods], dtype=np.float64)
    ages_s = np.array([period[1] for period in periods], dtype=np.float64)
    return lengths_s, ages_s, np.array([period[2] for period in periods], dtype=np.bool_)
