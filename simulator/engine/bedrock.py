"""Bedrock's quotas of one model: requests and tokens a minute, reserved before a call and settled after it."""

from __future__ import annotations

from simulator.engine.buckets import TokenBucket
from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.outcomes import Refusal
from simulator.model_policy import ModelQuota

_PER_MINUTE = 60.0


class QuotaMeter:
    """Meters one model, over all environments of all versions that call it."""

    def __init__(self, quota: ModelQuota) -> None:
        self._requests = _bucket(quota.requests_per_minute)
        self._tokens = _bucket(quota.tokens_per_minute)
        self._burndown = quota.output_burndown

    def reserve(self, now_tick: int, input_tokens: float, max_tokens: int) -> Refusal:
        """Take one request and its tokens, or say which quota has too few left; then nothing is taken."""
        wanted = input_tokens + max_tokens
        if self._requests is not None and not self._requests.holds(now_tick, 1.0):
            return Refusal.MODEL_REQUESTS
        if self._tokens is not None and not self._tokens.holds(now_tick, wanted):
            return Refusal.MODEL_TOKENS
        if self._requests is not None:
            self._requests.add(now_tick, -1.0)
        if self._tokens is not None:
            self._tokens.add(now_tick, -wanted)
        return Refusal.NONE

    def settle(self, now_tick: int, max_tokens: int, output_tokens: float) -> None:
        """Give back what was reserved for output, less what the answer cost; with a burn-down it may cost more."""
        if self._tokens is not None:
            self._tokens.add(now_tick, max_tokens - output_tokens * self._burndown)


def _bucket(per_minute: float | None) -> TokenBucket | None:
    if per_minute is None:
        return None
    return TokenBucket(per_minute, per_minute / _PER_MINUTE, TICKS_PER_SECOND)
