"""The one definition of a quantile in this package, and how many samples one needs.

Every latency figure, forecast or observed, uses :func:`quantile`, so that the two can be held against each other.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import ParameterError

FloatArray = NDArray[np.float64]

CONFIDENCE: Final = 0.95
"""The confidence of every interval that this package prints."""


def quantile(values: ArrayLike, level: float) -> float:
    """Give the ``level`` quantile by linear interpolation between order statistics (Hyndman and Fan's type 7).

    Parameters
    ----------
    values
        Shape ``(n,)``, any unit; the answer has the same unit.
    level
        Between 0 and 1.

    Returns
    -------
    float
        NaN where ``values`` is empty.

    Raises
    ------
    ParameterError
        ``level`` outside [0, 1].
    """
    _check_level(level, low=0.0, high=1.0)
    array = np.asarray(values, dtype=np.float64)
    return float(np.quantile(array, level)) if array.size else math.nan


def interval(values: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Give the central interval that holds ``confidence`` of ``values``; NaN values are left out.

    Returns
    -------
    tuple
        ``(low, high)``; both NaN where no value is left.
    """
    _check_level(confidence, low=0.0, high=1.0)
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if not array.size:
        return math.nan, math.nan
    low, high = np.quantile(array, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(low), float(high)


def samples_to_bound(level: float, confidence: float = CONFIDENCE) -> int:
    r"""Give the fewest independent samples whose maximum bounds the ``level`` quantile from above.

    The largest of n samples lies above the quantile with probability :math:`1 - level^n`; below the number given here,
    no distribution-free upper bound exists at this two-sided confidence and a bound must be extrapolated
    (David and Nagaraja, Order Statistics, 3rd ed., section 7.1).

    Examples
    --------
    >>> samples_to_bound(0.50), samples_to_bound(0.95), samples_to_bound(0.99)
    (6, 72, 368)
    """
    _check_level(level, low=0.0, high=1.0, open_ends=True)
    _check_level(confidence, low=0.0, high=1.0, open_ends=True)
    return math.ceil(math.log((1.0 - confidence) / 2.0) / math.log(level))


def _check_level(level: float, *, low: float, high: float, open_ends: bool = False) -> None:
    inside = low < level < high if open_ends else low <= level <= high
    if not inside:
        raise ParameterError(f"quantile level {level!r} is outside {low:g} to {high:g}; 0.99 means the p99")
