"""Where many numbers lie among ascending ones, by a guide table: ``numpy.interp`` and ``searchsorted`` at once, sooner.

Each draw of a forecast looks its uniforms up among some thousand order statistics. A binary search for a random number
takes a dozen mispredicted branches, twice; a table that says where to begin (Chen and Asau, On generating random
variates from an empirical distribution, AIIE Transactions 6, 1974) leaves a step or two.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.compiling import Compiled
from simulator.draws import IntArray
from simulator.quantiles import FloatArray

FEW: Final = 256
"""Lookups below which the search is not worth a compiled function."""


def interpolate(uniforms: FloatArray, positions: FloatArray, values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Interpolate ``values`` at ``uniforms``, and give the index of the first position at or above each of them.

    Parameters
    ----------
    uniforms
        In [0, 1), shape ``(n,)``.
    positions
        Ascending, in [0, 1], shape ``(k,)``, k at least 1.
    values
        Shape ``(k,)``.

    Returns
    -------
    tuple
        What ``numpy.interp(uniforms, positions, values)`` and ``numpy.searchsorted(positions, uniforms)`` give, bit by
        bit, but for an index beyond the last position, which is the last one; shape ``(n,)`` each.
    """
    if uniforms.size < FEW:
        index = np.minimum(np.searchsorted(positions, uniforms), positions.size - 1)
        return np.interp(uniforms, positions, values), index
    found, nearest = np.empty(uniforms.size), np.empty(uniforms.size, dtype=np.int64)
    # A power of two, so that the product below is exact and never points beyond the place.
    guide = np.empty(1 << int(2 * positions.size - 1).bit_length(), dtype=np.int64)
    _look_up(uniforms, positions, values, guide, found, nearest)
    return found, nearest


def warm() -> None:
    """Compile what is not compiled yet."""
    some = np.linspace(0.0, 0.9, FEW)
    interpolate(some, some, some)


def _interpolate(
    uniforms: FloatArray,
    positions: FloatArray,
    values: FloatArray,
    guide: IntArray,
    found: FloatArray,
    nearest: IntArray,
) -> None:
    size, buckets = positions.size, guide.size
    place = 0
    for bucket in range(buckets):
        edge = bucket / buckets
        while place < size and positions[place] < edge:
            place += 1
        guide[bucket] = place
    for i in range(uniforms.size):
        uniform = uniforms[i]
        place = guide[int(uniform * buckets)]
        while place < size and positions[place] < uniform:
            place += 1
        if place == size:
            found[i] = values[size - 1]
            nearest[i] = size - 1
            continue
        nearest[i] = place
        if place == 0 or positions[place] == uniform:
            # Among equal positions the last one's value counts, as in numpy.interp.
            while place + 1 < size and positions[place + 1] == uniform:
                place += 1
            found[i] = values[place]
            continue
        below = place - 1
        slope = (values[place] - values[below]) / (positions[place] - positions[below])
        found[i] = slope * (uniform - positions[below]) + values[below]


_look_up = Compiled(_interpolate)
