"""How sure a mean cost is: the trace's rows, resampled."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.special import ndtr, stdtrit

from simulator.cost.request import FloatArray
from simulator.quantiles import CONFIDENCE

RESAMPLES: Final = 2_000
MIN_ROWS: Final = 8
"""Fewest rows for an interval, as for any mean (:data:`simulator.intervals.MIN_FOR_MEAN`)."""
_NUMBERS_AT_ONCE: Final = 4_000_000
"""Most that are gathered in one step: 32 MB."""


def resampled_means(parts: FloatArray, rng: np.random.Generator, resamples: int = RESAMPLES) -> FloatArray:
    r"""Give the means of resampled rows: blocks of neighbours, so that runs of dear requests stay together.

    Circular block bootstrap (Politis and Romano 1992) with blocks of :math:`n^{1/3}` rows, the order at which its
    variance is best (Hall, Horowitz and Jing 1995). All parts of a row stay together too, so that differences
    and ratios of parts can be read off one resample.

    Parameters
    ----------
    parts
        Shape ``(parts, rows)``, the rows in order of arrival.
    rng
        Draws where the blocks begin.
    resamples
        How many.

    Returns
    -------
    numpy.ndarray
        Shape ``(resamples, parts)``.
    """
    rows = parts.shape[1]
    length = block_length(rows)
    blocks = math.ceil(rows / length)
    # Sums of each block from a running total: a resample of a million rows reads ten thousand numbers.
    around = np.concatenate([parts, parts[:, : length - 1]], axis=1)
    running = np.concatenate([np.zeros((parts.shape[0], 1)), np.cumsum(around, axis=1)], axis=1)
    block_sums = running[:, length:] - running[:, :-length]
    means = np.empty((resamples, parts.shape[0]))
    at_once = max(1, _NUMBERS_AT_ONCE // (blocks * parts.shape[0]))
    for first in range(0, resamples, at_once):
        count = min(at_once, resamples - first)
        starts = rng.integers(0, rows, (count, blocks))
        means[first : first + count] = block_sums[:, starts].sum(axis=2).T / (blocks * length)
    return means


def block_length(rows: int) -> int:
    """Give how many neighbouring rows are drawn together."""
    return max(1, math.floor(math.cbrt(rows) + 1e-9))


def interval(values: FloatArray, rows: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    r"""Give the interval that resampled figures span, widened for few rows.

    The expanded percentile interval (Hesterberg 2015, "What teachers should know about the bootstrap"): the percentiles
    of level :math:`\Phi(-\sqrt{k / (k - 1)}\, t_{k - 1})` in place of :math:`\alpha / 2`, since plain percentiles are
    too narrow where there are few draws; here :math:`k` is the number of blocks. On independent log-normal costs
    (:math:`\sigma = 0.6`) it held the mean in 92 % of 11 rows, 93 % of 30 and 95 % of 100 and more; where neighbours
    are as much alike as a correlation of 0.5 of their logarithms makes them, in 79, 85 and 89 %.
    """
    blocks = max(2.0, rows / block_length(rows))
    critical = float(stdtrit(blocks - 1, (1.0 + confidence) / 2.0))
    tail = float(ndtr(-math.sqrt(blocks / (blocks - 1)) * critical))
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)
