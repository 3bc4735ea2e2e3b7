"""Answers that leave when they should."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

import numpy as np

_KEPT: Final = 4_096


async def wait_until(deadline_s: float) -> float:
    """Wait for a moment of :func:`time.perf_counter`; give how late it became, in seconds.

    Counting down to a moment takes the time that went by before the call off the wait. The server's event loop has
    timers of some 0.1 ms (:mod:`replay.cloud.precise_loop`); a timer that fires early is set again.
    """
    while (left_s := deadline_s - time.perf_counter()) > 0:
        await asyncio.sleep(left_s)
    return -left_s


class Lateness:
    """How late the last answers left."""

    def __init__(self) -> None:
        self._late_ms: deque[float] = deque(maxlen=_KEPT)

    def add(self, late_s: float) -> None:
        """Note one answer."""
        self._late_ms.append(late_s * 1000.0)

    def describe(self) -> dict[str, float]:
        """Give the quantiles in milliseconds; nothing where there was no answer yet."""
        if not self._late_ms:
            return {}
        values = np.asarray(self._late_ms)
        p50, p99 = np.quantile(values, [0.5, 0.99])
        return {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(values.max())}
