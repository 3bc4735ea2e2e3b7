"""Bedrock's on-demand quotas: requests and tokens a minute."""

from __future__ import annotations

from dataclasses import dataclass

from replay.cloud.config import BedrockQuota

_MINUTE_S = 60.0


@dataclass
class _Bucket:
    """A minute's allowance that refills evenly. Bedrock does not document its own window; this has the same mean."""

    per_minute: float
    level: float
    at_s: float

    def refill(self, now_s: float) -> None:
        self.level = min(self.per_minute, self.level + (now_s - self.at_s) * self.per_minute / _MINUTE_S)
        self.at_s = now_s


class QuotaMeter:
    """Meters one model.

    A request reserves its input and its ``maxTokens`` before it runs; when it ends, what it did not use is given back
    (Bedrock user guide, "How tokens are counted").
    """

    def __init__(self, quota: BedrockQuota, now_s: float) -> None:
        self._requests = _bucket(quota.requests_per_minute, now_s)
        self._tokens = _bucket(quota.tokens_per_minute, now_s)

    def reserve(self, input_tokens: int, max_tokens: int, now_s: float) -> str | None:
        """Take a request and its tokens; give None, or Bedrock's message where the quota does not allow it."""
        wanted = input_tokens + max_tokens
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                bucket.refill(now_s)
        if self._requests is not None and self._requests.level < 1.0:
            return "Too many requests, please wait before trying again."
        if self._tokens is not None and self._tokens.level < wanted:
            return "Too many tokens, please wait before trying again."
        if self._requests is not None:
            self._requests.level -= 1.0
        if self._tokens is not None:
            self._tokens.level -= wanted
        return None

    def settle(self, max_tokens: int, output_tokens: int, burndown: float, now_s: float) -> None:
        """Give back what was reserved for output, less what the answer cost."""
        if self._tokens is not None:
            self._tokens.refill(now_s)
            returned = max_tokens - output_tokens * burndown
            self._tokens.level = min(self._tokens.per_minute, self._tokens.level + returned)


def _bucket(per_minute: float | None, now_s: float) -> _Bucket | None:
    return None if per_minute is None else _Bucket(per_minute, per_minute, now_s)
