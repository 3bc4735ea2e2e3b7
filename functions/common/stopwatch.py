"""Measuring a request's parts."""

from __future__ import annotations

import time


class Stopwatch:
    """Milliseconds on the monotonic clock; wall-clock time may jump when a frozen environment thaws."""

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()

    def elapsed_ms(self) -> float:
        """Give the time since the start, to the microsecond."""
        return round((time.monotonic_ns() - self._start_ns) / 1e6, 3)
