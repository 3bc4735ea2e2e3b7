"""The token bucket behind every rate limit: the gateway's throttle, Lambda's rates, Bedrock's quotas."""

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

    __slots__ = ("_capacity", "_last_tick", "_per_tick", "_ticks_per_second", "_tokens")

    def __init__(self, capacity: float, per_second: float, ticks_per_second: int) -> None:
        self._capacity = float(capacity)
        self._ticks_per_second = ticks_per_second
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

    def holds(self, now_tick: int, tokens: float) -> bool:
        """Say whether there are ``tokens`` at ``now_tick``, and take none."""
        self._refill(now_tick)
        return self._tokens >= tokens * (1.0 - _ROUNDING)

    def add(self, now_tick: int, tokens: float) -> None:
        """Give ``tokens`` back, as far as they fit in; negative ones are taken, and may leave the bucket in debt."""
        self._refill(now_tick)
        self._tokens = min(self._capacity, self._tokens + tokens)

    def resize(self, now_tick: int, capacity: float, per_second: float) -> None:
        """Go on with other limits; what a larger capacity adds is there at once."""
        self._refill(now_tick)
        self._tokens = min(float(capacity), self._tokens + max(0.0, capacity - self._capacity))
        self._capacity = float(capacity)
        self._per_tick = per_second / self._ticks_per_second

    def _refill(self, now_tick: int) -> None:
        self._tokens = min(self._capacity, self._tokens + (now_tick - self._last_tick) * self._per_tick)
        self._last_tick = now_tick
