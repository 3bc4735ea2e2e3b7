"""The token bucket behind every rate limit: the gateway's throttle and Lambda's scale-out limit."""

from __future__ import annotations

from typing import Final

_ROUNDING: Final = 1e-9
"""Refills are sums of fractions: four of a quarter must make a whole token."""


class TokenBucket:
    """A bucket that fills continuously and holds at most ``capacity`` tokens; it starts full.

    Parameters
    ----------
    capacity
        Most tokens it holds: the burst.
    per_second
        Tokens that flow in each second.
    ticks_per_second
        Resolution of the clock that :meth:`take` is told.
    """

    __slots__ = ("_capacity", "_last_tick", "_per_tick", "_tokens")

    def __init__(self, capacity: float, per_second: float, ticks_per_second: int) -> None:
        self._capacity = float(capacity)
        self._per_tick = per_second / ticks_per_second
        self._tokens = self._capacity
        self._last_tick = 0

    def take(self, now_tick: int) -> bool:
        """Take one token at ``now_tick``, and say whether there was one."""
        self._tokens = min(self._capacity, self._tokens + (now_tick - self._last_tick) * self._per_tick)
        self._last_tick = now_tick
        if self._tokens < 1.0 - _ROUNDING:
            return False
        self._tokens = max(self._tokens - 1.0, 0.0)
        return True
