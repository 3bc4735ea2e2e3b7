"""The SDK's retries inside the handler, with the constants of botocore 1.44.

An environment handles one request at a time and keeps its client, and so the client's retry quota and send rate, as
long as its process lives. Only throttles are simulated: other failures of a call are part of the recorded time.
"""

from __future__ import annotations

import math
from typing import Final

from simulator.model_policy import SdkRetries

MAX_BACKOFF_S: Final = 20.0
"""``retries/standard.py``, ExponentialBackoff."""
THROTTLING_BASE_S: Final = 1.0
QUOTA_CAPACITY: Final = 500
"""``retries/quota.py``: tokens of a client."""
THROTTLING_COST: Final = 5
"""``retries/standard.py``, RetryQuotaChecker: tokens of one retry after a throttle."""
NO_RETRY_INCREMENT: Final = 1

SMOOTHING: Final = 0.8
"""``retries/adaptive.py``, RateClocker."""
RATE_BUCKET_S: Final = 0.5
SCALE: Final = 0.4
"""``retries/throttling.py``, CubicCalculator."""
BETA: Final = 0.7
MIN_RATE: Final = 0.5
"""``retries/bucket.py``: sends a second at least."""
MAX_RATE_SCALE: Final = 2.0
"""``retries/adaptive.py``, ClientRateLimiter: the rate may be twice the measured one at most."""


class SdkClient:
    """The retry state of one client.

    Parameters
    ----------
    policy
        Mode and attempts.
    born_s
        When the client was made, in seconds of the run.
    """

    __slots__ = ("_attempts", "_legacy", "_limiter", "_tokens", "_tokens_taken")

    def __init__(self, policy: SdkRetries, born_s: float) -> None:
        self._attempts = policy.attempts
        self._legacy = policy.mode == "legacy"
        self._limiter = RateLimiter(born_s) if policy.mode == "adaptive" else None
        self._tokens = QUOTA_CAPACITY
        self._tokens_taken = 0

    def hold_s(self, now_s: float) -> float:
        """Give how long the next send has to wait: the send rate of ``adaptive``, else 0. The send is then booked."""
        return 0.0 if self._limiter is None else self._limiter.hold_s(now_s)

    def throttled(self, attempt: int, now_s: float, uniform: float) -> float | None:
        """Give the wait before the next attempt after a throttle, or None where there is none.

        Parameters
        ----------
        attempt
            Which attempt was refused, from 1.
        now_s
            When the refusal arrived.
        uniform
            In [0, 1): the jitter.
        """
        if self._limiter is not None:
            self._limiter.answered(now_s, throttled=True)
        if attempt >= self._attempts:
            self._tokens_taken = 0
            return None
        if self._legacy:
            # rand · 2^(attempt − 1), without a bound or a quota (``retryhandler.py``, ``data/_retry.json``).
            return uniform * 2.0 ** (attempt - 1)
        if self._tokens < THROTTLING_COST:
            self._tokens_taken = 0
            return None
        self._tokens -= THROTTLING_COST
        self._tokens_taken = THROTTLING_COST
        return uniform * min(THROTTLING_BASE_S * 2.0 ** (attempt - 1), MAX_BACKOFF_S)

    def answered(self, now_s: float) -> None:
        """Take note of an answer: the last retry's tokens come back, or one where there was no retry."""
        if self._limiter is not None:
            self._limiter.answered(now_s, throttled=False)
        self._tokens = min(QUOTA_CAPACITY, self._tokens + (self._tokens_taken or NO_RETRY_INCREMENT))
        self._tokens_taken = 0


class RateLimiter:
    """The send rate of ``adaptive``: none until the first throttle, then CUBIC (Ha, Rhee, Xu 2008) as in botocore.

    Each call of :meth:`answered` is one response; the measured rate is that of responses in half seconds, smoothed.
    """

    __slots__ = (
        "_capacity",
        "_count",
        "_enabled",
        "_fill_rate",
        "_last_bucket_s",
        "_last_fail_s",
        "_level",
        "_level_at_s",
        "_measured",
        "_w_max",
        "_zero_s",
    )

    def __init__(self, born_s: float) -> None:
        self._enabled = False
        self._fill_rate = self._capacity = 1.0
        self._level, self._level_at_s = 0.0, born_s
        self._measured, self._count, self._last_bucket_s = 0.0, 0, float(math.floor(born_s))
        self._w_max = self._zero_s = 0.0
        self._last_fail_s = born_s

    def hold_s(self, now_s: float) -> float:
        """Give how long the next send has to wait, and book it for then."""
        if not self._enabled:
            return 0.0
        self._refill(now_s)
        wait_s = max(0.0, (1.0 - self._level) / self._fill_rate)
        if wait_s > 0:
            self._refill(now_s + wait_s)
        self._level = max(0.0, self._level - 1.0)
        return wait_s

    def answered(self, now_s: float, *, throttled: bool) -> None:
        """Adjust the rate to a response."""
        measured = self._measure(now_s)
        if throttled:
            rate = min(measured, self._fill_rate) if self._enabled else measured
            self._w_max, self._last_fail_s = rate, now_s
            self._zero_s = float((self._w_max * (1 - BETA) / SCALE) ** (1 / 3.0))
            rate *= BETA
            self._enabled = True
        else:
            rate = SCALE * (now_s - self._last_fail_s - self._zero_s) ** 3 + self._w_max
        self._set_rate(now_s, min(rate, MAX_RATE_SCALE * measured))

    def _set_rate(self, now_s: float, rate: float) -> None:
        self._refill(now_s)
        self._fill_rate = max(rate, MIN_RATE)
        self._capacity = max(rate, 1.0)
        self._level = min(self._level, self._capacity)

    def _refill(self, now_s: float) -> None:
        self._level = min(self._capacity, self._level + (now_s - self._level_at_s) * self._fill_rate)
        self._level_at_s = now_s

    def _measure(self, now_s: float) -> float:
        bucket_s = math.floor(now_s / RATE_BUCKET_S) * RATE_BUCKET_S
        self._count += 1
        if bucket_s > self._last_bucket_s:
            rate = self._count / (bucket_s - self._last_bucket_s)
            self._measured = rate * SMOOTHING + self._measured * (1 - SMOOTHING)
            self._count, self._last_bucket_s = 0, bucket_s
        return self._measured
