"""The token bucket of ``simulator/engine/buckets.py``, operation by operation."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.compiled.jit import part

_ROUNDING: Final = 1e-9


@part
def refill(bucket: Any, now: int) -> None:
    """Let flow in what has come since the last look."""
    bucket.tokens = min(bucket.capacity, bucket.tokens + (now - bucket.last) * bucket.per_tick)
    bucket.last = now


@part
def take(bucket: Any, now: int) -> bool:
    """Take one token, and say whether there was one."""
    tokens = bucket.tokens + (now - bucket.last) * bucket.per_tick
    tokens = bucket.capacity if tokens > bucket.capacity else tokens
    bucket.last = now
    if tokens < 1.0 - _ROUNDING:
        bucket.tokens = tokens
        return False
    tokens -= 1.0
    bucket.tokens = tokens if tokens > 0.0 else 0.0
    return True


@part
def holds(bucket: Any, now: int, tokens: float) -> bool:
    """Say whether there are ``tokens``, and take none."""
    refill(bucket, now)
    return bool(bucket.tokens >= tokens * (1.0 - _ROUNDING))


@part
def take_held(bucket: Any, tokens: float) -> None:
    """Take tokens at the very moment at which :func:`holds` was asked: nothing has flowed in since."""
    bucket.tokens = min(bucket.capacity, bucket.tokens - tokens)


@part
def add(bucket: Any, now: int, tokens: float) -> None:
    """Give tokens back, as far as they fit in, or take them where negative."""
    refill(bucket, now)
    bucket.tokens = min(bucket.capacity, bucket.tokens + tokens)


@part
def resize(bucket: Any, now: int, capacity: float, per_tick: float) -> None:
    """Go on with other limits."""
    refill(bucket, now)
    bucket.tokens = min(capacity, bucket.tokens + max(0.0, capacity - bucket.capacity))
    bucket.capacity = capacity
    bucket.per_tick = per_tick
