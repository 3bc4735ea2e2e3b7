"""Throttling by token bucket (API Gateway developer guide, "Throttle requests to your HTTP APIs")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class TokenBucket:
    """``burst`` requests at once, ``rate_rps`` a second over time."""

    rate_rps: float
    burst: float
    tokens: float
    at_s: float

    @classmethod
    def full(cls, rate_rps: float, burst: float, now_s: float) -> TokenBucket:
        """Make a bucket that nobody has drawn from."""
        return cls(rate_rps, burst, burst, now_s)

    def take(self, now_s: float) -> bool:
        """Take a token; give False, and take none, where there is no whole one."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now_s - self.at_s) * self.rate_rps)
        self.at_s = now_s
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Throttle:
    """The buckets of all routes, and the account's above them."""

    def __init__(self, account_rate_rps: float, account_burst: float, now_s: float) -> None:
        self._account = TokenBucket.full(account_rate_rps, account_burst, now_s)
        self._routes: dict[tuple[str, str, str], TokenBucket] = {}

    def admit(
        self,
        api: str,
        stage: str,
        route: str,
        default_settings: Mapping[str, Any] | None,
        route_settings: Mapping[str, Any] | None,
        now_s: float,
    ) -> bool:
        """Say whether a request may pass.

        A route's own settings win over the stage's default ones; a setting that neither names is not limited here.
        Changed settings take effect at once, with a full bucket.
        """
        settings = {**_present(default_settings), **_present(route_settings)}
        rate, burst = settings.get("throttlingRateLimit"), settings.get("throttlingBurstLimit")
        if rate is not None or burst is not None:
            rate_rps = self._account.rate_rps if rate is None else float(rate)
            burst_size = self._account.burst if burst is None else float(burst)
            bucket = self._routes.get((api, stage, route))
            if bucket is None or (bucket.rate_rps, bucket.burst) != (rate_rps, burst_size):
                bucket = self._routes[api, stage, route] = TokenBucket.full(rate_rps, burst_size, now_s)
            if not bucket.take(now_s):
                return False
        return self._account.take(now_s)


def _present(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (settings or {}).items() if value is not None}
