"""What keeps a request from starting: concurrency limits and the scale-out rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

RESERVED_EXCEEDED: Final = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT_EXCEEDED: Final = "ConcurrentInvocationLimitExceeded"
SCALE_OUT_EXCEEDED: Final = "FunctionInvocationRateLimitExceeded"
"""AWS documents no reason of its own for the scaling rate; this one keeps it apart from the concurrency limits."""


def unreserved_minimum(account_concurrency: int) -> int:
    """Give the concurrency that provisioned concurrency must leave unreserved.

    AWS keeps 100 of the default 1,000 (Lambda developer guide, "Configuring reserved concurrency"); a smaller account
    of the local cloud keeps a tenth.
    """
    return min(100, account_concurrency // 10)


@dataclass
class TokenBucket:
    """``burst`` tokens at most, refilled continuously at ``per_s``; full at first."""

    burst: float
    per_s: float
    _tokens: float = field(init=False)
    _at_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now_s: float) -> bool:
        """Take one token at the monotonic time ``now_s``; False where there is none."""
        if self._at_s is not None:
            self._tokens = min(self.burst, self._tokens + (now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class ConcurrencyLedger:
    """Who runs how much at this moment, and whether one more may.

    Provisioned environments count whole, busy or not: against their function's reservation where it has one, else
    against the account's unreserved pool. A request that runs on one of them therefore needs nothing further.
    """

    def __init__(self, account_concurrency: int) -> None:
        self._account = account_concurrency
        self._on_demand: defaultdict[str, int] = defaultdict(int)
        self._on_provisioned: defaultdict[str, int] = defaultdict(int)

    def acquire(
        self,
        function: str,
        provisioned: Mapping[str, int],
        reserved: Mapping[str, int],
    ) -> str | None:
        """Book one on-demand execution of ``function``.

        Parameters
        ----------
        function
            Its name.
        provisioned
            Function name → provisioned environments, over all versions.
        reserved
            Function name → reserved concurrency.

        Returns
        -------
        str or None
            None where it was booked, else AWS's reason for the 429.
        """
        if function in reserved:
            if self._on_demand[function] + provisioned.get(function, 0) >= reserved[function]:
                return RESERVED_EXCEEDED
        else:
            used = sum(count for name, count in self._on_demand.items() if name not in reserved)
            used += sum(count for name, count in provisioned.items() if name not in reserved)
            if used >= self._account - sum(reserved.values()):
                return ACCOUNT_EXCEEDED
        self._on_demand[function] += 1
        return None

    def release(self, function: str) -> None:
        """Give an on-demand execution back."""
        self._on_demand[function] -= 1

    def enter_provisioned(self, function: str) -> None:
        """Count a request on a provisioned environment: for the metrics only."""
        self._on_provisioned[function] += 1

    def leave_provisioned(self, function: str) -> None:
        """End what :meth:`enter_provisioned` began."""
        self._on_provisioned[function] -= 1

    def running(self, function: str) -> int:
        """Give the function's requests in execution, of both kinds."""
        return self._on_demand[function] + self._on_provisioned[function]
