"""A sketch of latencies: an HdrHistogram, filled by the kernel, merged by adding, read with a known error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from simulator.draws import IntArray
from simulator.engine.clock import TICKS_PER_MS
from simulator.engine.compiled.layout import LATENCY_BINS, LATENCY_BITS, MAX_LATENCY_BITS
from simulator.errors import ParameterError

_DIGITS: Final = 3
"""What HdrHistogram calls bins of this width."""


@dataclass(frozen=True, eq=False)
class LatencySketch:
    """Counts of latencies in bins of whole microseconds that grow with the latency.

    Up to 2 ms a bin is one microsecond, above it less than a 1024th of its values wide; a quantile is read in the
    middle of its bin, so it is off by :attr:`RELATIVE_ERROR` at most. Latencies beyond 19 hours fall into the last.

    Parameters
    ----------
    counts
        Shape ``(LATENCY_BINS,)``, in the order of HdrHistogram's own counts.
    """

    counts: NDArray[np.int64] = field(repr=False)

    RELATIVE_ERROR = 2.0**-LATENCY_BITS
    """0.05 %."""

    @property
    def size(self) -> int:
        """How many latencies were counted."""
        return int(self.counts.sum())

    def __add__(self, other: LatencySketch) -> LatencySketch:
        """Give the sketch of both; nothing is lost by it."""
        return LatencySketch(self.counts + other.counts)

    def quantile_ms(self, level: float) -> float:
        """Give a quantile as :func:`simulator.quantiles.quantile` defines it, NaN where nothing was counted.

        Raises
        ------
        ParameterError
            A level outside [0, 1].
        """
        if not 0.0 <= level <= 1.0:
            raise ParameterError(f"quantile {level!r} is outside 0 to 1")
        up_to = np.cumsum(self.counts)
        size = int(up_to[-1])
        if not size:
            return float("nan")
        place = level * (size - 1)
        below = int(place)
        ranks = np.array([below, min(below + 1, size - 1)])
        low, high = middles_ticks()[np.searchsorted(up_to, ranks, side="right")] / TICKS_PER_MS
        return float(low + (place - below) * (high - low))

    def histogram(self) -> HdrHistogram:
        """Give it as HdrHistogram's own class, in microseconds: its ``encode()`` is read by tools in ten languages."""
        found = HdrHistogram(1, (1 << MAX_LATENCY_BITS) - 1, _DIGITS)
        lows = lows_ticks()
        for place in np.flatnonzero(self.counts):
            found.record_value(int(lows[place]), int(self.counts[place]))
        return found


def lows_ticks() -> IntArray:
    """Give the least latency of each bin, shape ``(LATENCY_BINS,)``."""
    places = np.arange(LATENCY_BINS)
    shifts = _shifts(places)
    return (places - (shifts << (LATENCY_BITS - 1))) << shifts


def middles_ticks() -> NDArray[np.float64]:
    """Give the middle of the latencies that fall into each bin, shape ``(LATENCY_BINS,)``."""
    return lows_ticks() + ((1 << _shifts(np.arange(LATENCY_BINS))) - 1) / 2.0


def _shifts(places: IntArray) -> IntArray:
    return np.maximum((places >> (LATENCY_BITS - 1)) - 1, 0)
