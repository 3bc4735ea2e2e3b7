"""The caller: how long it waits for an answer, and how it tries again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from simulator.checks import above, at_least, one_of
from simulator.errors import ParameterError

Jitter = Literal["none", "equal", "full"]
Retryable = Literal["throttled", "timeout"]

MAX_ATTEMPTS: Final = 64
"""More than anybody means; each attempt has draws of its own, so the number decides how much memory a run needs."""


@dataclass(frozen=True)
class RetryBudget:
    """What keeps retries from multiplying an outage: a bucket of tokens that all callers share.

    A retry costs one token, and an answer that came gives ``per_success`` back; without a whole token there is no
    retry. The rule is that of gRPC's retry throttling (proposal A6) and of the AWS SDKs' retry quota.

    Parameters
    ----------
    capacity
        Tokens when full, as it is at first.
    per_success
        Tokens that each request that ended ``ok`` brings.

    Raises
    ------
    ParameterError
        A capacity below 1, or a negative ``per_success``.
    """

    capacity: float = 100.0
    per_success: float = 0.1

    def __post_init__(self) -> None:
        at_least("client.budget.capacity", self.capacity, 1)
        at_least("client.budget.per_success", self.per_success, 0)


@dataclass(frozen=True)
class ClientPolicy:
    """What the caller does; by default it waits for ever and tries once, as a plain load driver does.

    The wait before attempt i + 1 (i from 1) is d = min(``backoff_cap_s``, ``backoff_base_s`` ·
    ``backoff_factor``^(i−1)), of which jitter ``full`` takes u·d and ``equal`` d/2 + u·d/2, u uniform in [0, 1)
    (Brooker, Exponential backoff and jitter, AWS Architecture Blog 2015).

    Parameters
    ----------
    timeout_s
        When the caller gives an attempt up; what works on it works on, billed. None: it waits for ever.
    max_attempts
        Attempts in all, 1 for no retries.
    backoff_base_s, backoff_factor, backoff_cap_s, jitter
        The wait between attempts.
    retry_on
        Which ends are tried again.
    budget
        What limits retries over all callers, None for nothing.

    Raises
    ------
    ParameterError
        A value outside its range.
    """

    timeout_s: float | None = None
    max_attempts: int = 1
    backoff_base_s: float = 0.1
    backoff_factor: float = 2.0
    backoff_cap_s: float = 20.0
    jitter: Jitter = "full"
    retry_on: tuple[Retryable, ...] = ("throttled", "timeout")
    budget: RetryBudget | None = None

    def __post_init__(self) -> None:
        if self.timeout_s is not None:
            above("client.timeout_s", self.timeout_s)
        if not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise ParameterError(f"client.max_attempts={self.max_attempts!r} is outside 1 to {MAX_ATTEMPTS}")
        at_least("client.backoff_base_s", self.backoff_base_s, 0)
        at_least("client.backoff_factor", self.backoff_factor, 1)
        at_least("client.backoff_cap_s", self.backoff_cap_s, 0)
        if self.backoff_cap_s < self.backoff_base_s:
            raise ParameterError(
                f"client.backoff_cap_s={self.backoff_cap_s:g} is below backoff_base_s={self.backoff_base_s:g}; raise it"
            )
        one_of("client.jitter", self.jitter, get_args(Jitter))
        for status in self.retry_on:
            one_of("client.retry_on", status, get_args(Retryable))
