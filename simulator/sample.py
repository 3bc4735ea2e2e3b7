"""A recorded sample as a law to draw from, with the doubt of its size and of its drift.

Each replication of a forecast draws its own version of the law:

- the weights of the recorded values from a Bayesian bootstrap (Rubin 1981), interpolated between the order statistics;
- beyond the last few values a generalised Pareto tail from its posterior (``tail.py``);
- over time a level, and a stretch of the upper half, that wander as the recorded windows do (``drift.py``);
- a level of each execution environment's own, spread as those of the recorded environments are (``levels.py``).

All of it on the logarithm of the values, so that levels multiply.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from simulator.draws import IntArray
from simulator.drift import DriftFit, DriftPaths, fit_drift
from simulator.errors import FitError
from simulator.levels import LevelFit, clustering, fit_levels
from simulator.lookup import interpolate
from simulator.quantiles import FloatArray
from simulator.tail import TailFit, fit_tail

MAX_WINDOWS: Final = 16
MIN_WINDOW_VALUES: Final = 10
MIN_TAIL_VALUES: Final = 5
SPLICE_VALUES: Final = 2
"""How many of the largest values lie beyond the point where the fitted tail takes over from the sample. What the sample
can carry it carries by itself: one odd request among the largest would otherwise bend all of them (docs/model.md)."""
MAX_SUPPORT: Final = 4096
"""Values kept one by one; a larger sample is thinned in its body, never in its tail."""
_SPLICE: Final = -SPLICE_VALUES - 1
_UPPER_SHARE: Final = 0.2
"""The stretch of the upper half is measured by the mean of a window's largest fifth above its median."""
_ERROR_SIMULATIONS: Final = 200
_ERROR_VALUES: Final = 400
_FUTURE_WINDOWS: Final = 24
LONGEST_MS: Final = 900_000.0
"""Nothing is drawn beyond Lambda's longest time-out, or beyond what was recorded where that is more: a fitted tail has
no end of its own, and on the scale of logarithms it soon leads where no clock counts."""
_STILL_LEVEL_PRIOR: Final = 0.35
"""How likely a level is to stand still, before a trace has spoken: recordings of a day rarely showed one."""


@dataclass(frozen=True, eq=False)
class SampleFit:
    """A fitted sample.

    Parameters
    ----------
    log_values
        Logarithms with the fitted drift taken out, ascending, shape ``(k,)``.
    counts
        How many recorded values each stands for, shape ``(k,)``.
    rows
        Index of each one's recorded row, shape ``(k,)``.
    log_middle
        The median, around which the upper half is stretched.
    level, stretch
        Drift of the level (log units) and of the upper half's stretch (a factor, 1 on average); None without windows.
    groups
        How execution environments differ; None where they are not named or too few.
    tail
        The tail's posterior, None where the sample is too small or constant.
    values
        How many values were recorded.
    """

    log_values: FloatArray = field(repr=False)
    counts: FloatArray = field(repr=False)
    rows: IntArray = field(repr=False)
    log_middle: float
    level: DriftFit | None
    stretch: DriftFit | None
    groups: LevelFit | None
    tail: TailFit | None
    values: int

    def prepare(self, start_s: float, end_s: float) -> PreparedSample:
        """Prepare drawing for times between ``start_s`` and ``end_s`` (on the recording's clock)."""
        return PreparedSample(self, start_s, end_s)


class PreparedSample:
    """Draws versions of the law for one stretch of future time."""

    def __init__(self, fit: SampleFit, start_s: float, end_s: float) -> None:
        self.fit = fit
        self._grid_s = np.empty(0)
        self._level: DriftPaths | None = None
        self._stretch: DriftPaths | None = None
        if fit.level is not None:
            recorded_s = fit.level.time_s
            window_s = (recorded_s[-1] - recorded_s[0]) / max(recorded_s.size - 1, 1)
            points = int(np.clip(np.ceil((end_s - start_s) / max(window_s, 1e-9)), 1, _FUTURE_WINDOWS))
            edges_s = np.linspace(start_s, end_s, points + 1)
            self._grid_s = (edges_s[1:] + edges_s[:-1]) / 2.0
            self._level = fit.level.at(self._grid_s)
            self._stretch = fit.stretch.at(self._grid_s) if fit.stretch is not None else None

    def draw(self, rng: np.random.Generator) -> DrawnSample:
        """Draw one version of the law."""
        fit = self.fit
        weights = rng.standard_gamma(fit.counts)
        cumulative = np.cumsum(weights)
        positions = (cumulative - weights / 2.0) / cumulative[-1]
        tail = fit.tail.draw(rng) if fit.tail is not None else None
        level = self._level.draw(rng) if self._level is not None else None
        stretch = self._stretch.draw(rng) if self._stretch is not None else None
        group_sd, shift = fit.groups.draw(rng) if fit.groups is not None else (0.0, 0.0)
        above: Callable[[FloatArray], FloatArray] | None = None
        if tail is not None:
            threshold = fit.log_values[-_tail_values(fit.values) - 1]
            above = tail.above(float(fit.log_values[_SPLICE] - threshold)).quantile
        return DrawnSample(
            fit=fit,
            positions=positions,
            splice_level=float(positions[_SPLICE]) if tail is not None else 1.0,
            above=above,
            grid_s=self._grid_s,
            level=level,
            stretch=stretch,
            group_log_sd=group_sd,
            shift=shift,
        )


@dataclass(frozen=True, eq=False)
class DrawnSample:
    """One version of the law: a quantile function that wanders over time.

    ``group_log_sd`` is by how much execution environments differ, on the scale of logarithms; :meth:`at` leaves that to
    whoever knows which environment serves.
    """

    fit: SampleFit
    positions: FloatArray = field(repr=False)
    splice_level: float
    above: Callable[[FloatArray], FloatArray] | None
    grid_s: FloatArray = field(repr=False)
    level: FloatArray | None = field(repr=False)
    stretch: FloatArray | None = field(repr=False)
    group_log_sd: float
    shift: float

    def at(self, uniforms: FloatArray, time_s: FloatArray) -> tuple[FloatArray, IntArray]:
        """Give the value at each of ``uniforms`` in [0, 1) and the recorded row nearest to it; shape ``(n,)`` each."""
        fit = self.fit
        log_value, nearest = interpolate(uniforms, self.positions, fit.log_values)
        if self.above is not None:
            beyond = uniforms > self.splice_level
            share = (uniforms[beyond] - self.splice_level) / (1.0 - self.splice_level)
            log_value[beyond] = fit.log_values[_SPLICE] + self.above(share)
        if self.stretch is not None:
            factor = _factor(np.interp(time_s, self.grid_s, self.stretch))
            excess = np.maximum(log_value - fit.log_middle, 0.0)
            log_value = log_value + excess * (factor - 1.0)
        if self.level is not None:
            log_value = log_value + np.interp(time_s, self.grid_s, self.level)
        ceiling = max(math.log(LONGEST_MS), float(fit.log_values[-1]))
        return np.exp(np.minimum(log_value + self.shift, ceiling)), fit.rows[nearest]


def fit_sample(
    values: FloatArray,
    time_s: FloatArray | None = None,
    groups: IntArray | None = None,
    *,
    like: SampleFit | None = None,
) -> SampleFit:
    """Fit a law to ``values``.

    Parameters
    ----------
    values
        Milliseconds, above 0, shape ``(n,)``, n at least 1. Where ``time_s`` is given, in order of time.
    time_s
        When each was recorded; None for a sample whose drift is not to be modelled.
    groups
        Execution environment of each, numbered from 0, −1 where not known; None where none is.
    like
        A sample that may drift alike.

    Raises
    ------
    FitError
        No value, or one that is not above 0.
    """
    if not values.size:
        raise FitError("no value to fit a latency model to")
    if not (np.isfinite(values).all() and values.min() > 0.0):
        raise FitError(f"a latency of {values.min():g} ms cannot be modelled; latencies are above 0")
    log_values = np.log(values)
    level = stretch = None
    # Windows of equal size rather than of equal time: a quiet hour must not become a window of two requests.
    windows = min(values.size // MIN_WINDOW_VALUES, MAX_WINDOWS)
    differing = fit_levels(log_values, groups) if groups is not None else None
    if time_s is not None and windows >= 1 and log_values.max() > log_values.min():
        parts = np.array_split(np.arange(log_values.size), windows)
        # A window of two environments stands where those two do: that is no drift yet.
        own = np.zeros(windows)
        if groups is not None and differing is not None:
            own = np.array([differing.mean_square * clustering(groups[part]) for part in parts])
        level, stretch, log_values = _fit_windows(log_values, time_s, parts, own, like)
        differing = fit_levels(log_values, groups) if groups is not None else None
    if differing is not None:
        log_values = log_values - differing.departures
    order = np.argsort(log_values, kind="stable")
    ascending = log_values[order]
    keep, counts = _support(values.size)
    return SampleFit(
        log_values=ascending[keep],
        counts=counts,
        rows=order[keep].astype(np.int64),
        log_middle=float(np.median(ascending)),
        level=level,
        stretch=stretch,
        groups=differing,
        tail=_fit_tail(ascending),
        values=int(values.size),
    )


def _fit_windows(
    log_values: FloatArray,
    time_s: FloatArray,
    parts: list[IntArray],
    group_variance: FloatArray,
    like: SampleFit | None,
) -> tuple[DriftFit, DriftFit | None, FloatArray]:
    """Measure level and stretch window by window, fit their drifts, and take them out of the values.

    ``group_variance``, shape ``(windows,)``, is what the execution environments in a window add to its error.
    """
    windows = len(parts)
    middle = np.array([np.median(log_values[part]) for part in parts])
    centre_s = np.array([time_s[part].mean() for part in parts])
    centred = np.concatenate([log_values[part] - value for part, value in zip(parts, middle, strict=True)])
    sizes = np.array([part.size for part in parts])
    level_error, stretch_error = _errors(centred, sizes)
    level_error = np.sqrt(level_error**2 + group_variance)
    spread = float(np.quantile(centred, 0.84) - np.quantile(centred, 0.16)) / 2.0
    spread = spread if spread > 0.0 else float(centred.std())
    level = fit_drift(
        centre_s,
        middle,
        level_error,
        scale=max(spread, 1e-9),
        no_drift=_STILL_LEVEL_PRIOR,
        like=like.level if like is not None else None,
    )
    reach = np.array([float(_reach(centred[part][None, :])[0]) for part in parts])
    # Without any upper half (more than half of the values are equal) there is no stretch to compare.
    common = float(reach.mean())
    stretch = None
    if common > 1e-9:
        stretch = fit_drift(
            centre_s,
            reach / common,
            stretch_error / common,
            scale=0.5,
            like=like.stretch if like is not None else None,
        )
    index = np.repeat(np.arange(windows), sizes)
    log_middle = float(np.median(log_values - level.departures[index]))
    flat = log_values - level.departures[index]
    if stretch is None:
        return level, None, flat
    upper = flat > log_middle
    flat[upper] = log_middle + (flat[upper] - log_middle) / _factor(stretch.departures[index][upper])
    return level, stretch, flat


def _reach(centred: FloatArray) -> FloatArray:
    """Give the mean of the largest fifth above the median, one for each row of shape ``(m, n)``."""
    count = max(1, round(centred.shape[1] * _UPPER_SHARE))
    largest = np.partition(centred, -count, axis=1)[:, -count:]
    # The very largest value of a window says more about itself than about the window, so it is held to three times
    # the rest.
    held = np.minimum(largest, 3.0 * np.median(largest, axis=1, keepdims=True))
    return np.asarray(held.mean(axis=1), dtype=np.float64)


def _factor(departure: FloatArray) -> FloatArray:
    """Turn a stretch's departure from 1 into a factor that stays positive and within a factor of five."""
    return np.clip(1.0 + departure, 0.2, 5.0)


def _errors(centred: FloatArray, sizes: IntArray) -> tuple[FloatArray, FloatArray]:
    """Give the standard errors of level and stretch in windows of ``sizes``, by resampling windows without drift.

    Seeded by itself: an error bar belongs to the fit and is the same in every forecast.
    """
    rng = np.random.default_rng(0)
    by_size: dict[int, tuple[float, float]] = {}
    for size in sorted({int(size) for size in sizes}):
        drawn = min(size, _ERROR_VALUES)
        resampled = rng.choice(centred, (_ERROR_SIMULATIONS, drawn))
        shrink = float(np.sqrt(drawn / size))
        middle = np.median(resampled, axis=1)
        reach = _reach(resampled - middle[:, None])
        by_size[size] = float(middle.std()) * shrink, float(reach.std()) * shrink
    level = np.array([by_size[int(size)][0] for size in sizes])
    stretch = np.array([by_size[int(size)][1] for size in sizes])
    return np.maximum(level, 1e-9), np.maximum(stretch, 1e-9)


def _tail_values(values: int) -> int:
    return int(min(max(MIN_TAIL_VALUES, round(math.sqrt(values))), values // 2, MAX_SUPPORT // 4 - 1))


def _fit_tail(ascending: FloatArray) -> TailFit | None:
    if ascending.size < 2 * MIN_TAIL_VALUES:
        return None
    count = _tail_values(ascending.size)
    excesses = ascending[-count:] - ascending[-count - 1]
    return fit_tail(excesses) if float(excesses.max()) > 0.0 else None


def _support(values: int) -> tuple[IntArray, FloatArray]:
    """Choose which order statistics to keep, and how many values each stands for."""
    if values <= MAX_SUPPORT:
        return np.arange(values), np.ones(values)
    tail = MAX_SUPPORT // 4
    body = np.unique(np.linspace(0, values - tail - 1, MAX_SUPPORT - tail).round().astype(np.int64))
    keep = np.concatenate([body, np.arange(values - tail, values)])
    edges = np.concatenate([[0], (keep[1:] + keep[:-1] + 1) // 2, [values]])
    return keep, np.diff(edges).astype(np.float64)
