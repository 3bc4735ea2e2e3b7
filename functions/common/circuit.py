"""A circuit breaker: a model that fails is left alone for a while, where another can stand in.

Its state lives in the environment, not in a table as Powertools' breaker keeps it: asking a table costs each request
milliseconds and makes it depend on one more service, while an environment learns of a throttled model within a few
requests. An environment answers one request at a time, so the request that tries a cooled-down model is the only one.
"""

from __future__ import annotations


class Circuit:
    """The breaker of one tier.

    Parameters
    ----------
    failures
        In a row, after which it opens.
    cooldown_s
        How long it stays open; then one request tries again, and its failure opens it anew.
    """

    def __init__(self, failures: int, cooldown_s: float) -> None:
        self._limit = failures
        self._cooldown_s = cooldown_s
        self._failures = 0
        self._opened_at_s: float | None = None

    def lets_pass(self, now_s: float) -> bool:
        """Say whether the model may be asked; ``now_s`` is on the monotonic clock."""
        return self._opened_at_s is None or now_s - self._opened_at_s >= self._cooldown_s

    def succeeded(self) -> None:
        """Close it."""
        self._failures = 0
        self._opened_at_s = None

    def failed(self, now_s: float) -> None:
        """Count a failure."""
        self._failures += 1
        if self._failures >= self._limit:
            self._opened_at_s = now_s
