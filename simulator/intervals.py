"""Intervals for what a sample says: quantiles, mean, spread, a share, and the difference of two of them.

Each answers with an :class:`Estimate`: the figure, its interval, and, where the sample cannot carry an interval at the
asked confidence, no interval but the number of samples that could. All of them take the samples as independent; where
they are not (drift, bursts), :func:`autocorrelation` says so and the interval is too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, betaincinv, ndtri, stdtrit

from simulator.errors import ParameterError
from simulator.quantiles import CONFIDENCE, FloatArray, quantile, samples_to_bound

MIN_FOR_MEAN: Final = 8
"""Fewest samples for an interval of a mean: below, the skewness that corrects it cannot be told."""

MIN_FOR_SPREAD: Final = 10
"""Fewest samples for an interval of a variance: below, Bonett's kurtosis cannot be told."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval, or with the reason why it has none."""

    value: float
    """The figure; NaN where there is no sample."""
    low: float | None
    high: float | None
    samples: int
    needed: int | None = None
    """Fewest samples that could carry the interval, where this sample cannot; else None."""

    @property
    def refused(self) -> bool:
        """Whether the sample is too small for an interval."""
        return self.low is None

    @property
    def width(self) -> float | None:
        """Interval width, in the figure's unit."""
        return None if self.low is None or self.high is None else self.high - self.low

    def holds(self, truth: float) -> bool | None:
        """Say whether the interval holds ``truth``; None where there is none."""
        return None if self.low is None or self.high is None else self.low <= truth <= self.high


def quantile_estimate(values: ArrayLike, level: float, confidence: float = CONFIDENCE) -> Estimate:
    r"""Estimate a quantile, with an interval between interpolated order statistics.

    The number of samples at or below the true quantile is binomial whatever the distribution, so an order statistic
    bounds it with a known probability. Those probabilities are steps; interpolating between two neighbours reaches the
    asked one to :math:`O(1/n)` (Hettmansperger and Sheather 1986 for the median; Beran and Hall 1993; Nyblom 1992 for
    any level), where the plain order statistics would be up to several points too wide.

    Parameters
    ----------
    values
        Shape ``(n,)``, finite.
    level
        Between 0 and 1, both excluded.
    confidence
        Of the two-sided interval; each side errs with half of the rest.

    Raises
    ------
    ParameterError
        A level or confidence outside (0, 1), or a value that is not finite.
    """
    ordered = np.sort(_finite(values))
    needed = max(samples_to_bound(level, confidence), samples_to_bound(1.0 - level, confidence))
    value = quantile(ordered, level)
    if ordered.size < needed:
        return Estimate(value, None, None, ordered.size, needed)
    alpha = (1.0 - confidence) / 2.0
    low = _lower_bound(ordered, level, alpha)
    high = -_lower_bound(-ordered[::-1], 1.0 - level, alpha)
    return Estimate(value, low, high, ordered.size)


def _lower_bound(ordered: FloatArray, level: float, alpha: float) -> float:
    """Bound the quantile from below, erring with probability ``alpha``; ``ordered`` ascends and is large enough."""
    n = ordered.size
    counts = np.arange(n + 1)
    below = bdtr(counts, n, level)  # P(B <= k)
    # P(X_(r) > quantile) = P(B <= r - 1): the largest r whose probability does not pass alpha.
    r = int(np.searchsorted(below, alpha, side="right"))
    if r >= n:
        return float(ordered[-1])
    reached = float(below[r - 1])
    share = (alpha - reached) / (float(below[r]) - reached)
    # Given r samples at or below the quantile, its distance to either neighbour is nearly exponential, with r / level
    # and (n - r) / (1 - level) times the density as rates; this weight makes the bound err with `share`.
    left, right = r / level, (n - r) / (1.0 - level)
    weight = right * share / (left * (1.0 - share) + right * share)
    between = (1.0 - weight) * ordered[r - 1] + weight * ordered[r]
    # Rounding may carry a mean of two equal values past both.
    return float(np.clip(between, ordered[r - 1], ordered[r]))


def mean_estimate(values: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    r"""Estimate a mean; the interval is Student's, corrected for skewness by Hall's transformation.

    Latencies are skewed, and Student's interval then misses high means too often. Hall (1992, "On the removal of
    skewness by transformation") maps the studentised mean through the monotone cubic
    :math:`g(t) = t + \hat\gamma (t^2 a + b) + \hat\gamma^2 a^2 t^3 / 3` with :math:`a = 1 / (3\sqrt n)`,
    :math:`b = 1 / (6\sqrt n)`, whose distribution is closer to normal, and inverts it.
    """
    sample = _finite(values)
    n = sample.size
    value = float(sample.mean()) if n else math.nan
    if n < MIN_FOR_MEAN:
        return Estimate(value, None, None, n, MIN_FOR_MEAN)
    centred = sample - value
    sd = float(np.sqrt(np.sum(centred**2) / (n - 1)))
    if sd == 0.0:
        return Estimate(value, value, value, n)
    # The sample's skewness is biased towards 0; the factor is Fisher's correction.
    skewness = float(np.mean(centred**3)) / float(np.mean(centred**2)) ** 1.5 * math.sqrt(n * (n - 1)) / (n - 2)
    critical = float(stdtrit(n - 1, (1.0 + confidence) / 2.0))
    standard_error = sd / math.sqrt(n)
    upper = _hall_inverse(critical, skewness, n)
    lower = _hall_inverse(-critical, skewness, n)
    return Estimate(value, value - standard_error * upper, value - standard_error * lower, n)


def _hall_inverse(y: float, skewness: float, n: int) -> float:
    root = math.sqrt(n)
    if abs(skewness) / root < 1e-9:
        return y
    # g(t) = t + a s t^2 + a^2 s^2 t^3 / 3 + s b, with a = 1 / (3 sqrt n) and b = 1 / (6 sqrt n), is a shifted cube.
    a = skewness / (3.0 * root)
    shifted = 1.0 + 3.0 * a * (y - skewness / (6.0 * root))
    return (math.copysign(abs(shifted) ** (1.0 / 3.0), shifted) - 1.0) / a


def standard_deviation_estimate(values: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a standard deviation with Bonett's interval, which allows for heavy tails.

    Bonett (2006), "Approximate confidence interval for standard deviation of nonnormal distributions". Square it for
    the variance.
    """
    sample = _finite(values)
    n = sample.size
    value = float(sample.std(ddof=1)) if n > 1 else math.nan
    if n < MIN_FOR_SPREAD:
        return Estimate(value, None, None, n, MIN_FOR_SPREAD)
    if value == 0.0:
        return Estimate(0.0, 0.0, 0.0, n)
    trim = 1.0 / (2.0 * math.sqrt(n - 4))
    ordered = np.sort(sample)
    cut = math.floor(n * trim)
    centre = float(ordered[cut : n - cut].mean())
    squares = float(np.sum((sample - sample.mean()) ** 2))
    kurtosis = n * float(np.sum((sample - centre) ** 4)) / squares**2
    z = float(ndtri((1.0 + confidence) / 2.0))
    c = n / (n - z)
    error = c * math.sqrt(max(kurtosis - (n - 3) / n, 0.0) / (n - 1))
    low, high = (math.sqrt(math.exp(math.log(c * value**2) + sign * z * error)) for sign in (-1.0, 1.0))
    return Estimate(value, low, high, n)


def share_estimate(hits: int, of: int, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a probability from counts, with Jeffreys's interval (Brown, Cai and DasGupta 2001).

    Its ends are 0 and 1 where no hit, or nothing but hits, were seen.

    Raises
    ------
    ParameterError
        Counts that are negative, or more hits than tries.
    """
    if not 0 <= hits <= of:
        raise ParameterError(f"hits={hits!r} of {of!r}: give a count between 0 and the number of tries")
    if of == 0:
        return Estimate(math.nan, None, None, 0, 1)
    alpha = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(betaincinv(hits + 0.5, of - hits + 0.5, alpha))
    high = 1.0 if hits == of else float(betaincinv(hits + 0.5, of - hits + 0.5, 1.0 - alpha))
    return Estimate(hits / of, low, high, of)


def difference_estimate(first: Estimate, second: Estimate) -> Estimate:
    """Estimate ``first - second`` of two independent samples from their intervals.

    MOVER, the "method of variance estimates recovery" (Zou and Donner 2008): each side of the interval joins the two
    distances that matter to it, so that skewed intervals stay skewed. Both must be at one confidence.
    """
    value = first.value - second.value
    samples = min(first.samples, second.samples)
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Estimate(value, None, None, samples, max(first.needed or 0, second.needed or 0) or None)
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - down, value + up, samples)


def autocorrelation(values: ArrayLike, lag: int = 1) -> float:
    """Give the correlation of the ranks of samples ``lag`` apart; NaN for fewer than ``lag + 3`` samples or no spread.

    Ranks, so that one outlier does not decide it. Independent samples stay within ``±2 / sqrt(n)`` 95 % of the time.
    """
    sample = _finite(values)
    if sample.size < lag + 3:
        return math.nan
    _, value, counts = np.unique(sample, return_inverse=True, return_counts=True)
    if counts.size == 1:
        return math.nan
    # Equal values share the middle of their ranks: in the order they came in they would seem to grow.
    ranks = (np.cumsum(counts) - counts / 2.0)[value]
    centred = ranks - ranks.mean()
    return float(np.sum(centred[lag:] * centred[:-lag]) / np.sum(centred**2))


def _finite(values: ArrayLike) -> FloatArray:
    sample = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(sample).all():
        bad = sample[~np.isfinite(sample)][0]
        raise ParameterError(f"a sample holds {bad!r}; leave out what was not measured")
    return sample
