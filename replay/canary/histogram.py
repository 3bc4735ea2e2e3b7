"""Latency histograms with buckets of 1 % width: small, mergeable, and exact in rank.

Bucket k holds values in (g^(k−1), g^k], g = 1.01: a quantile read from it has the rank it says and a value within 1 %.
Source: Masson, Rim & Lee, "DDSketch" (VLDB 12, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_LOG_WIDTH = math.log(1.01)


def buckets_of(values_ms: NDArray[np.float64]) -> dict[int, int]:
    """Count positive values by bucket; values under 1 µs count as 1 µs."""
    if values_ms.size == 0:
        return {}
    index = np.ceil(np.log(np.maximum(values_ms, 1e-3)) / _LOG_WIDTH - 1e-9).astype(np.int64)
    names, counts = np.unique(index, return_counts=True)
    return {int(name): int(count) for name, count in zip(names, counts, strict=True)}


def value_at_rank(buckets: Mapping[int, int], rank: int) -> float:
    """Give the value (its bucket's upper edge) of rank ``rank`` from 1; NaN where there is none."""
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank >= 1:
            return math.exp(bucket * _LOG_WIDTH)
    return math.nan
