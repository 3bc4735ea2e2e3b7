"""The platform: the limits, time-outs and policies that a request meets on its way, as one value.

Every default is AWS's own as documented in 2026 and can be changed; docs/model.md names the source of each rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from simulator.errors import ParameterError

BASELINE: Final = "baseline"
OPTIMIZED: Final = "optimized"

API_GATEWAY_RATE_RPS: Final = 10_000.0
"""Default throttle per account and region (API Gateway quotas)."""
API_GATEWAY_BURST: Final = 5_000
"""Default burst per account and region (API Gateway quotas)."""
HTTP_API_TIMEOUT_S: Final = 30.0
"""Integration time-out of an HTTP API; it cannot be raised (API Gateway quotas)."""
ACCOUNT_CONCURRENCY: Final = 1_000
"""Default concurrent executions per account and region (Lambda quotas)."""
SCALE_OUT_ENVIRONMENTS: Final = 1_000
"""New environments per function in each :data:`SCALE_OUT_PERIOD_S`, refilled continuously (Lambda scaling behavior)."""
SCALE_OUT_PERIOD_S: Final = 10.0
KEEP_ALIVE_S: Final = 600.0
"""How long an idle environment lives; undocumented, see docs/model.md. Fit it from a trace where one is at hand."""
FUNCTION_TIMEOUT_S: Final = 30.0
INIT_LIMIT_S: Final = 10.0
"""An INIT that takes longer is given up and run again with the first invocation (Lambda runtime environment)."""


@dataclass(frozen=True)
class VersionSettings:
    """What belongs to one published version.

    Parameters
    ----------
    provisioned
        Environments of provisioned concurrency, ready before the first request.
    timeout_s
        The function's time-out, at most 900.
    memory_mb
        Configured memory, 128 to 10,240; decides the price only.
    concurrency_limit
        Most requests of this version at one time, None for no limit of its own.
    """

    provisioned: int = 0
    timeout_s: float = FUNCTION_TIMEOUT_S
    memory_mb: int = 1024
    concurrency_limit: int | None = None

    def __post_init__(self) -> None:
        _at_least("provisioned", self.provisioned, 0)
        _above("timeout_s", self.timeout_s)
        if self.timeout_s > 900:
            raise ParameterError(f"timeout_s={self.timeout_s:g} is above Lambda's limit of 900 seconds")
        if not 128 <= self.memory_mb <= 10_240:
            raise ParameterError(f"memory_mb={self.memory_mb!r} is outside Lambda's 128 to 10240")
        if self.concurrency_limit is not None:
            _at_least("concurrency_limit", self.concurrency_limit, 0)
            if self.provisioned > self.concurrency_limit:
                raise ParameterError(
                    f"provisioned={self.provisioned} is above concurrency_limit={self.concurrency_limit}; lower it"
                )


@dataclass(frozen=True)
class Platform:
    """Everything between the caller and the handler.

    Parameters
    ----------
    versions
        Variant name → its settings. One or two: a weighted alias takes at most two versions.
    gateway_rate_rps, gateway_burst
        The gateway's token bucket.
    gateway_timeout_s
        When the gateway answers the caller although the environment still works.
    account_concurrency
        Concurrent executions of the account; provisioned concurrency is taken off it first.
    reserved_concurrency
        The function's own share: at once its upper limit and its guarantee. None for none.
    scale_out_environments, scale_out_period_s
        New on-demand environments per period; the bucket refills continuously and holds one period at most.
    keep_alive_s
        Idle time after which an on-demand environment is gone.

    Raises
    ------
    ParameterError
        A value outside its range, or values that contradict each other.
    """

    versions: Mapping[str, VersionSettings] = field(
        default_factory=lambda: {BASELINE: VersionSettings(), OPTIMIZED: VersionSettings()}
    )
    gateway_rate_rps: float = API_GATEWAY_RATE_RPS
    gateway_burst: int = API_GATEWAY_BURST
    gateway_timeout_s: float = HTTP_API_TIMEOUT_S
    account_concurrency: int = ACCOUNT_CONCURRENCY
    reserved_concurrency: int | None = None
    scale_out_environments: int = SCALE_OUT_ENVIRONMENTS
    scale_out_period_s: float = SCALE_OUT_PERIOD_S
    keep_alive_s: float = KEEP_ALIVE_S

    def __post_init__(self) -> None:
        if not 1 <= len(self.versions) <= 2:
            raise ParameterError(
                f"versions: {len(self.versions)} given ({', '.join(self.versions)}); a weighted alias takes one or two"
            )
        _above("gateway_rate_rps", self.gateway_rate_rps)
        _at_least("gateway_burst", self.gateway_burst, 1)
        _above("gateway_timeout_s", self.gateway_timeout_s)
        _at_least("account_concurrency", self.account_concurrency, 1)
        _at_least("scale_out_environments", self.scale_out_environments, 1)
        _above("scale_out_period_s", self.scale_out_period_s)
        _above("keep_alive_s", self.keep_alive_s)
        provisioned = sum(settings.provisioned for settings in self.versions.values())
        if self.reserved_concurrency is not None:
            _at_least("reserved_concurrency", self.reserved_concurrency, 0)
            if self.reserved_concurrency > self.account_concurrency:
                raise ParameterError(
                    f"reserved_concurrency={self.reserved_concurrency} is above "
                    f"account_concurrency={self.account_concurrency}"
                )
            if provisioned > self.reserved_concurrency:
                raise ParameterError(
                    f"provisioned concurrency of {provisioned} is above "
                    f"reserved_concurrency={self.reserved_concurrency}"
                )
        if provisioned > self.account_concurrency:
            raise ParameterError(
                f"provisioned concurrency of {provisioned} is above account_concurrency={self.account_concurrency}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Variant names in the order of :attr:`versions`: the alias's main version first."""
        return tuple(self.versions)


def _above(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ParameterError(f"{name}={value!r} must be above 0")


def _at_least(name: str, value: float, least: int) -> None:
    if not (math.isfinite(value) and value >= least):
        raise ParameterError(f"{name}={value!r} must be {least} or more")
