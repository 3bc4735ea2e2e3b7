r"""Bursty arrivals: a Poisson process whose rate jumps, fitted to how counts vary over short and long windows.

The rate keeps a level for an exponential time of mean :math:`\theta` and then draws a new one, gamma distributed around
:math:`\lambda` with squared coefficient of variation :math:`c`. Its autocovariance is
:math:`\lambda^2 c\, e^{-t / \theta}`, so the counts N(w) of windows of w seconds have the index of dispersion

.. math:: I(w) = \frac{\mathrm{Var}\,N(w)}{\mathrm{E}\,N(w)}
          = 1 + 2 \lambda c \theta \left(1 - \frac{1 - e^{-w / \theta}}{w / \theta}\right)

(Cox and Isham, Point Processes, 1980, section 3.3), 1 for Poisson at every w. :math:`c` and :math:`\theta` are fitted
to the indices measured at windows from a second to an eighth of the recording. The fit is then held against the
recording: statistics that it was not fitted to must lie where runs of the fitted process put them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from simulator.arrivals import poisson
from simulator.errors import FitError, ParameterError
from simulator.quantiles import CONFIDENCE, FloatArray, interval
from simulator.trace import Trace

MIN_ARRIVALS: Final = 50
"""Fewer arrivals than this say nothing of bursts."""
_WINDOWS: Final = 12
_RUNS: Final = 100
_MOST_IN_A_RUN: Final = 20_000


@dataclass(frozen=True)
class BurstyArrivals:
    """Poisson arrivals at a rate that jumps.

    Parameters
    ----------
    rate_rps
        Mean rate, above 0.
    duration_s
        How long the plan lasts, above 0.
    squared_variation
        Squared coefficient of variation of the rate, 0 or more.
    holding_s
        Mean time for which the rate keeps a level, above 0.
    """

    rate_rps: float
    duration_s: float
    squared_variation: float
    holding_s: float

    def __post_init__(self) -> None:
        for name in ("rate_rps", "duration_s", "holding_s"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ParameterError(f"{name}={getattr(self, name)!r} must be above 0")
        if not (math.isfinite(self.squared_variation) and self.squared_variation >= 0):
            raise ParameterError(f"squared_variation={self.squared_variation!r} must be 0 or more")

    @property
    def expected_requests(self) -> float:
        """Rate × duration."""
        return self.rate_rps * self.duration_s

    def scaled(self, factor: float) -> BurstyArrivals:
        """Give the same bursts at ``factor`` times the rate."""
        return BurstyArrivals(self.rate_rps * factor, self.duration_s, self.squared_variation, self.holding_s)

    def lasting(self, duration_s: float) -> BurstyArrivals:
        """Give the same process for another time."""
        return BurstyArrivals(self.rate_rps, duration_s, self.squared_variation, self.holding_s)

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw arrival times, see :class:`~simulator.arrivals.ArrivalPlan`."""
        if self.squared_variation == 0.0:
            return poisson(self.rate_rps, self.duration_s).draw(rng)
        # Levels hold for exponential times, so the jumps are a Poisson process of their own.
        jumps = int(rng.poisson(self.duration_s / self.holding_s))
        edges_s = np.concatenate([[0.0], np.sort(rng.random(jumps)) * self.duration_s, [self.duration_s]])
        shape = 1.0 / self.squared_variation
        rates = self.rate_rps * rng.standard_gamma(shape, edges_s.size - 1) / shape
        counts = rng.poisson(rates * np.diff(edges_s))
        starts_s, lengths_s = np.repeat(edges_s[:-1], counts), np.repeat(np.diff(edges_s), counts)
        arrival_s = np.sort(starts_s + rng.random(starts_s.size) * lengths_s)
        return np.asarray(np.minimum(arrival_s, np.nextafter(self.duration_s, 0.0)), dtype=np.float64)


@dataclass(frozen=True)
class Check:
    """A statistic of the recording, and the 95 % of the fitted process's runs."""

    observed: float
    lo: float
    hi: float

    @property
    def inside(self) -> bool:
        """Whether the recording looks like a run of the fitted process."""
        return self.lo <= self.observed <= self.hi

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {"observed": self.observed, "lo": self.lo, "hi": self.hi, "inside": self.inside}


@dataclass(frozen=True)
class ArrivalsFit:
    """A fitted arrival process, and how well it fits.

    Parameters
    ----------
    process
        The fitted process, as long as the recording.
    kind
        ``poisson`` where no burst shows, else ``bursty``.
    checks
        Statistic → where the recording stands among runs of the process.
    arrivals
        How many were recorded.
    """

    process: BurstyArrivals
    kind: str
    checks: Mapping[str, Check]
    arrivals: int = field(default=0)

    @property
    def failed(self) -> list[str]:
        """Name the statistics that the fitted process does not show."""
        return [name for name, check in self.checks.items() if not check.inside]

    def warnings(self) -> list[str]:
        """Say aloud where the fit fails, one sentence each."""
        return [
            f"arrivals: the fitted {self.kind} process shows a {name.replace('_', ' ')} of "
            f"{self.checks[name].lo:.3g}–{self.checks[name].hi:.3g}, the recording {self.checks[name].observed:.3g}; "
            "replay the recorded arrivals instead (--arrivals-as replay)"
            for name in self.failed
        ]

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "kind": self.kind,
            "arrivals": self.arrivals,
            "rate_rps": self.process.rate_rps,
            "squared_variation": self.process.squared_variation,
            "holding_s": self.process.holding_s,
            "checks": {name: check.to_json() for name, check in self.checks.items()},
            "fits": not self.failed,
        }


def fit_arrivals(trace: Trace, *, seed: int = 0) -> ArrivalsFit:
    """Fit an arrival process to ``trace``.

    Poisson is kept where the indices of dispersion do not leave what Poisson runs show.

    Raises
    ------
    FitError
        Fewer than :data:`MIN_ARRIVALS` arrivals, or all of them at one time.
    """
    arrival_s = trace.frame["arrival_s"].to_numpy()
    if arrival_s.size < MIN_ARRIVALS or trace.duration_s <= 0.0:
        raise FitError(
            f"{arrival_s.size} arrivals in {trace.duration_s:g} s; a process needs {MIN_ARRIVALS} to be fitted to, "
            "replay them or give a rate"
        )
    arrival_s = arrival_s - arrival_s[0]
    duration_s = float(arrival_s[-1]) * arrival_s.size / (arrival_s.size - 1)
    rate_rps = arrival_s.size / duration_s
    rng = np.random.default_rng(seed)
    plain = BurstyArrivals(rate_rps, duration_s, 0.0, 1.0)
    checks = _checks(plain, arrival_s, rng)
    if all(check.inside for check in checks.values()):
        return ArrivalsFit(plain, "poisson", checks, arrival_s.size)
    fitted = _fit(arrival_s, duration_s, rate_rps)
    return ArrivalsFit(fitted, "bursty", _checks(fitted, arrival_s, rng), arrival_s.size)


def dispersion(arrival_s: FloatArray, duration_s: float, window_s: float) -> float:
    """Give the index of dispersion of the counts of whole windows of ``window_s``; NaN with fewer than two."""
    windows = int(duration_s / window_s)
    if windows < 2:
        return math.nan
    places = np.floor(arrival_s / window_s).astype(np.int64)
    counts = np.bincount(places[places < windows], minlength=windows)
    mean = float(counts.mean())
    return float(counts.var(ddof=1)) / mean if mean > 0.0 else math.nan


def _fit(arrival_s: FloatArray, duration_s: float, rate_rps: float) -> BurstyArrivals:
    """Find variation and holding time by least squares over the logarithms of the indices, on a grid of times."""
    shortest_s = min(max(1.0, 2.0 / rate_rps), duration_s / 32.0)
    windows_s = np.geomspace(shortest_s, duration_s / 8.0, _WINDOWS)
    measured = np.array([dispersion(arrival_s, duration_s, window_s) for window_s in windows_s])
    known = np.isfinite(measured)
    # An index over few windows is uncertain by about sqrt(2 / windows) of itself.
    weight = duration_s / windows_s[known]
    best: tuple[float, float, float] | None = None
    for holding_s in np.geomspace(shortest_s / 4.0, duration_s / 2.0, 40):
        ratio = windows_s[known] / holding_s
        growth = 2.0 * rate_rps * holding_s * (1.0 + np.expm1(-ratio) / ratio)
        for squared in np.geomspace(1e-3, 10.0, 60):
            apart = np.log(np.maximum(measured[known], 1e-6)) - np.log1p(growth * squared)
            loss = float(weight @ apart**2)
            if best is None or loss < best[0]:
                best = loss, float(squared), float(holding_s)
    assert best is not None  # noqa: S101  (the grids are not empty)
    return BurstyArrivals(rate_rps, duration_s, best[1], best[2])


def _checks(process: BurstyArrivals, arrival_s: FloatArray, rng: np.random.Generator) -> dict[str, Check]:
    """Hold statistics of the recording against runs of ``process``; a long recording against its beginning."""
    share = min(1.0, _MOST_IN_A_RUN / arrival_s.size)
    duration_s = process.duration_s * share
    rate_rps = process.rate_rps
    observed = _statistics(arrival_s[arrival_s < duration_s], duration_s, rate_rps)
    runs = [_statistics(process.lasting(duration_s).draw(rng), duration_s, rate_rps) for _ in range(_RUNS)]
    # As many statistics as there are, one in twenty of true fits must not fail: the level is shared between them.
    level = 1.0 - (1.0 - CONFIDENCE) / len(observed)
    found = {}
    for name, value in observed.items():
        lo, hi = interval(np.array([run[name] for run in runs]), level)
        found[name] = Check(value, lo, hi)
    return found


def _statistics(arrival_s: FloatArray, duration_s: float, rate_rps: float) -> dict[str, float]:
    if arrival_s.size < 3:
        return dict.fromkeys(("interarrival_cv", "busiest_second", "short_dispersion", "long_dispersion"), math.nan)
    gaps_s = np.diff(arrival_s)
    busiest = int(np.bincount(np.floor(arrival_s).astype(np.int64)).max())
    # Ten seconds and a minute, or long enough for a few requests where they are rare.
    long_s = min(max(60.0, 20.0 / rate_rps), duration_s / 8.0)
    short_s = min(max(10.0, 4.0 / rate_rps), long_s / 2.0)
    return {
        "interarrival_cv": float(gaps_s.std() / gaps_s.mean()),
        "busiest_second": float(busiest),
        "short_dispersion": dispersion(arrival_s, duration_s, short_s),
        "long_dispersion": dispersion(arrival_s, duration_s, long_s),
    }
