"""The SDK's retries inside the handler: ``simulator/engine/sdk.py``, operation by operation.

Powers are those of the C library with exponents that the compiler does not know, as Python takes them: it would
otherwise multiply out a cube, which rounds twice.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simulator.engine.compiled.jit import shared
from simulator.engine.sdk import (
    BETA,
    MAX_BACKOFF_S,
    MAX_RATE_SCALE,
    MIN_RATE,
    NO_RETRY_INCREMENT,
    QUOTA_CAPACITY,
    RATE_BUCKET_S,
    SCALE,
    SMOOTHING,
    THROTTLING_BASE_S,
    THROTTLING_COST,
)


@shared
def begin(client: Any, born_s: float) -> None:
    """Make a new client."""
    client.tokens = QUOTA_CAPACITY
    client.tokens_taken = 0
    client.enabled = 0
    client.fill_rate = 1.0
    client.capacity = 1.0
    client.level = 0.0
    client.level_at_s = born_s
    client.measured = 0.0
    client.count = 0
    client.last_bucket_s = float(math.floor(born_s))
    client.w_max = 0.0
    client.zero_s = 0.0
    client.last_fail_s = born_s


@shared
def hold_s(client: Any, now_s: float) -> float:
    """Give how long the next send of an adaptive client has to wait, and book it for then."""
    if not client.enabled:
        return 0.0
    _refill(client, now_s)
    wait_s = max(0.0, (1.0 - client.level) / client.fill_rate)
    if wait_s > 0:
        _refill(client, now_s + wait_s)
    client.level = max(0.0, client.level - 1.0)
    return wait_s


@shared
def throttled(run: Any, own: Any, client: Any, attempt: int, now_s: float, uniform: float) -> float:
    """Give the wait before the next attempt after a throttle, or a negative number where there is none."""
    if own.adaptive:
        _respond(run, client, now_s, True)
    if attempt >= own.attempts:
        client.tokens_taken = 0
        return -1.0
    if own.legacy:
        return uniform * _doubled(attempt)
    if client.tokens < THROTTLING_COST:
        client.tokens_taken = 0
        return -1.0
    client.tokens -= THROTTLING_COST
    client.tokens_taken = THROTTLING_COST
    return uniform * min(THROTTLING_BASE_S * _doubled(attempt), MAX_BACKOFF_S)


@shared
def answered(run: Any, own: Any, client: Any, now_s: float) -> None:
    """Take note of an answer."""
    if own.adaptive:
        _respond(run, client, now_s, False)
    back = client.tokens_taken if client.tokens_taken != 0 else NO_RETRY_INCREMENT
    client.tokens = min(QUOTA_CAPACITY, client.tokens + back)
    client.tokens_taken = 0


@shared
def _doubled(attempt: int) -> float:
    return float(1 << (attempt - 1))


@shared
def _respond(run: Any, client: Any, now_s: float, refused: bool) -> None:
    measured = _measure(client, now_s)
    if refused:
        rate = min(measured, client.fill_rate) if client.enabled else measured
        client.w_max = rate
        client.last_fail_s = now_s
        client.zero_s = math.pow(client.w_max * (1 - BETA) / SCALE, run.cube_root)
        rate *= BETA
        client.enabled = 1
    else:
        rate = SCALE * math.pow(now_s - client.last_fail_s - client.zero_s, run.cube) + client.w_max
    rate = min(rate, MAX_RATE_SCALE * measured)
    _refill(client, now_s)
    client.fill_rate = max(rate, MIN_RATE)
    client.capacity = max(rate, 1.0)
    client.level = min(client.level, client.capacity)


@shared
def _refill(client: Any, now_s: float) -> None:
    client.level = min(client.capacity, client.level + (now_s - client.level_at_s) * client.fill_rate)
    client.level_at_s = now_s


@shared
def _measure(client: Any, now_s: float) -> float:
    bucket_s = np.floor(now_s / RATE_BUCKET_S) * RATE_BUCKET_S
    client.count += 1
    if bucket_s > client.last_bucket_s:
        rate = client.count / (bucket_s - client.last_bucket_s)
        client.measured = rate * SMOOTHING + client.measured * (1 - SMOOTHING)
        client.count = 0
        client.last_bucket_s = bucket_s
    return float(client.measured)
