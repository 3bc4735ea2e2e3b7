"""The platform: the limits, time-outs and policies that a request meets on its way, as one value.

Every default is AWS's own as documented in 2026 and can be changed; docs/model.md names the source of each rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from simulator.checks import above, at_least
from simulator.client_policy import ClientPolicy
from simulator.errors import ParameterError
from simulator.model_policy import ModelCall, ModelQuota
from simulator.provisioned import ProvisionedChange, TargetTracking

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
REQUESTS_PER_CONCURRENCY: Final = 10.0
"""Requests a second for each unit of concurrency, provisioned or not (Lambda developer guide, "Understanding
concurrency and requests per second")."""
PROVISIONING_S: Final = 90.0
"""From the request for more provisioned concurrency until it serves: "a minute or two" (Lambda developer guide)."""


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
    provisioned_changes
        How many environments are asked for later, in order of time; a forecast counts it from its first step. Added
        ones serve ``provisioning_s`` of the platform later, removed ones end when they are free.
    target_tracking
        Lets their number follow the load; not together with ``provisioned_changes``.
    model
        How the handler calls its model; None where no quota can refuse it, so that the recorded time is all there is.

    Raises
    ------
    ParameterError
        A value outside its range, or values that contradict each other.
    """

    provisioned: int = 0
    timeout_s: float = FUNCTION_TIMEOUT_S
    memory_mb: int = 1024
    concurrency_limit: int | None = None
    provisioned_changes: tuple[ProvisionedChange, ...] = ()
    target_tracking: TargetTracking | None = None
    model: ModelCall | None = None

    def __post_init__(self) -> None:
        at_least("provisioned", self.provisioned, 0)
        above("timeout_s", self.timeout_s)
        if self.timeout_s > 900:
            raise ParameterError(f"timeout_s={self.timeout_s:g} is above Lambda's limit of 900 seconds")
        if not 128 <= self.memory_mb <= 10_240:
            raise ParameterError(f"memory_mb={self.memory_mb!r} is outside Lambda's 128 to 10240")
        if self.concurrency_limit is not None:
            at_least("concurrency_limit", self.concurrency_limit, 0)
            if self.most_provisioned > self.concurrency_limit:
                raise ParameterError(
                    f"provisioned={self.most_provisioned} is above concurrency_limit={self.concurrency_limit}; lower it"
                )
        starts_s = [change.at_s for change in self.provisioned_changes]
        if any(later <= earlier for earlier, later in itertools.pairwise(starts_s)):
            raise ParameterError(f"provisioned_changes are at {starts_s} s; each must come after the one before")
        tracking = self.target_tracking
        if tracking is not None:
            if self.provisioned_changes:
                raise ParameterError("provisioned_changes and target_tracking exclude each other; keep one")
            if not tracking.minimum <= self.provisioned <= tracking.maximum:
                raise ParameterError(
                    f"provisioned={self.provisioned} is outside target_tracking's "
                    f"{tracking.minimum} to {tracking.maximum}"
                )

    @property
    def most_provisioned(self) -> int:
        """The most environments of provisioned concurrency that there can be at any time."""
        if self.target_tracking is not None:
            return self.target_tracking.maximum
        return max(self.provisioned, *(change.provisioned for change in self.provisioned_changes), 0)

    def provisioned_at(self, time_s: float) -> int:
        """Give the environments that are asked for at ``time_s``; with target tracking, its maximum."""
        if self.target_tracking is not None:
            return self.target_tracking.maximum
        asked = self.provisioned
        for change in self.provisioned_changes:
            if change.at_s <= time_s:
                asked = change.provisioned
        return asked


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
    requests_per_concurrency
        Requests a second for each unit of concurrency, None for no such limit.
    suppressed_init
        After a time-out Lambda keeps the environment and runs INIT again within its next invocation, not reported as
        INIT. False: the environment ends, as on the local cloud.
    provisioning_s
        How long added provisioned concurrency takes until it serves.
    quotas
        Name → quota of a model, for the versions' :attr:`VersionSettings.model`.
    client
        How the caller waits and tries again.

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
    requests_per_concurrency: float | None = REQUESTS_PER_CONCURRENCY
    suppressed_init: bool = True
    provisioning_s: float = PROVISIONING_S
    quotas: Mapping[str, ModelQuota] = field(default_factory=dict)
    client: ClientPolicy = field(default_factory=ClientPolicy)

    def __post_init__(self) -> None:
        if not 1 <= len(self.versions) <= 2:
            raise ParameterError(
                f"versions: {len(self.versions)} given ({', '.join(self.versions)}); a weighted alias takes one or two"
            )
        above("gateway_rate_rps", self.gateway_rate_rps)
        at_least("gateway_burst", self.gateway_burst, 1)
        above("gateway_timeout_s", self.gateway_timeout_s)
        at_least("account_concurrency", self.account_concurrency, 1)
        at_least("scale_out_environments", self.scale_out_environments, 1)
        above("scale_out_period_s", self.scale_out_period_s)
        above("keep_alive_s", self.keep_alive_s)
        if self.requests_per_concurrency is not None:
            above("requests_per_concurrency", self.requests_per_concurrency)
        at_least("provisioning_s", self.provisioning_s, 0)
        self._check_concurrency()
        for name, settings in self.versions.items():
            self._check_version(name, settings)

    def _check_concurrency(self) -> None:
        times_s = {0.0, *(change.at_s for one in self.versions.values() for change in one.provisioned_changes)}
        provisioned = max(sum(one.provisioned_at(at_s) for one in self.versions.values()) for at_s in times_s)
        if self.reserved_concurrency is not None:
            at_least("reserved_concurrency", self.reserved_concurrency, 0)
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

    def _check_version(self, name: str, settings: VersionSettings) -> None:
        call = settings.model
        if call is None:
            return
        if call.quota not in self.quotas:
            known = ", ".join(self.quotas) or "none"
            raise ParameterError(f"versions.{name}.model.quota={call.quota!r} is not among the quotas ({known})")
        quota = self.quotas[call.quota]
        if quota.tokens_per_minute is not None and call.max_tokens > quota.tokens_per_minute:
            raise ParameterError(
                f"versions.{name}.model.max_tokens={call.max_tokens} is above the quota's "
                f"tokens_per_minute={quota.tokens_per_minute:g}: no call could ever run; lower it"
            )

    def delayed(self, by_s: float) -> Platform:
        """Give the platform with its scheduled changes that much later."""
        versions = {
            name: replace(
                one,
                provisioned_changes=tuple(
                    replace(change, at_s=change.at_s + by_s) for change in one.provisioned_changes
                ),
            )
            for name, one in self.versions.items()
        }
        return replace(self, versions=versions)

    @property
    def names(self) -> tuple[str, ...]:
        """Variant names in the order of :attr:`versions`: the alias's main version first."""
        return tuple(self.versions)
