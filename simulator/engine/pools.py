"""Lambda's environments: who may have one, which one it is, and what becomes of it (rules 3 to 7 of docs/model.md)."""

from __future__ import annotations

from typing import Final

from simulator.engine.buckets import TokenBucket
from simulator.engine.clock import NEVER, TICKS_PER_SECOND
from simulator.engine.outcomes import Refusal
from simulator.engine.sdk import SdkClient
from simulator.platform import Platform

NO_LIMIT: Final = 2**31


class Environment:
    """One execution environment: it serves one attempt at a time."""

    __slots__ = (
        "ends_at_tick",
        "fresh",
        "gone_at_tick",
        "number",
        "provisioned",
        "ready_tick",
        "reset",
        "sdk",
        "version",
    )

    def __init__(self, number: int, version: int, *, provisioned: bool) -> None:
        self.number = number
        self.version = version
        self.provisioned = provisioned
        self.fresh = not provisioned
        """Its setup and INIT are still to come, with its first attempt."""
        self.reset = False
        """A time-out has stopped its process: INIT runs again with the next attempt."""
        self.gone_at_tick = 0
        """When it ends if it stays idle; means nothing for provisioned ones, which stay."""
        self.ends_at_tick = NEVER
        """When it ends at the latest, or after what it serves then."""
        self.ready_tick = 0
        """When its INIT last ended: the SDK's client is as old as that."""
        self.sdk: SdkClient | None = None


class Pools:
    """All environments, and the limits on them.

    Provisioned concurrency is carved out of the function's reserved share, or of the account's, used or not; so is its
    part of the request rate.
    """

    def __init__(self, platform: Platform) -> None:
        settings = list(platform.versions.values())
        versions = range(len(settings))
        reserved = platform.reserved_concurrency
        self._limit = platform.account_concurrency if reserved is None else reserved
        self._over_limit = Refusal.ACCOUNT_CONCURRENCY if reserved is None else Refusal.RESERVED_CONCURRENCY
        self._version_limit = [NO_LIMIT if one.concurrency_limit is None else one.concurrency_limit for one in settings]
        self._scale_out = TokenBucket(
            platform.scale_out_environments,
            platform.scale_out_environments / platform.scale_out_period_s,
            TICKS_PER_SECOND,
        )
        self._changes = any(one.provisioned_changes or one.target_tracking for one in settings)
        self._per_unit = platform.requests_per_concurrency
        self.allotted = [one.provisioned for one in settings]
        """Environments of provisioned concurrency that each version is meant to have."""
        self._alive = list(self.allotted)
        """Those that it has or that are being made; more than allotted while the surplus still works."""
        self._started = 0
        self._free = [[self.start(v, provisioned=True) for _ in range(self.allotted[v])] for v in versions]
        """Free environments of provisioned concurrency, the most recently used one last."""
        self._idle: list[list[Environment]] = [[] for _ in versions]
        """Idle on-demand environments, the most recently used one last."""
        self._busy = [0 for _ in versions]
        self.busy_provisioned = [0 for _ in versions]
        self._busy_on_demand = 0
        self._on_demand_limit = self._limit - sum(self._alive)
        rate = 0.0 if self._per_unit is None else self._per_unit
        self._rate = TokenBucket(rate * self._on_demand_limit, rate * self._on_demand_limit, TICKS_PER_SECOND)
        self._provisioned_rate = [TokenBucket(rate * n, rate * n, TICKS_PER_SECOND) for n in self.allotted]

    def take(self, version: int, now: int) -> Environment | Refusal:
        """Give the environment that serves the next attempt of ``version``, busy from now on, or the refusal."""
        if self._busy[version] >= self._version_limit[version]:
            return Refusal.VERSION_CONCURRENCY
        free = self._free[version]
        if free and self._changes and sum(self._busy) >= self._limit:
            # What was carved out anew may still be at work elsewhere, as on-demand or in an environment to be removed.
            return self._over_limit
        if free and (self._per_unit is None or self._provisioned_rate[version].take(now)):
            self._busy[version] += 1
            self.busy_provisioned[version] += 1
            return free.pop()
        if self._busy_on_demand >= self._on_demand_limit:
            return self._over_limit
        if self._per_unit is not None and not self._rate.take(now):
            return Refusal.REQUEST_RATE
        idle = self._idle[version]
        while idle:
            environment = idle.pop()
            if environment.gone_at_tick > now:
                break
        else:
            if not self._scale_out.take(now):
                return Refusal.SCALE_OUT
            environment = self.start(version, provisioned=False)
        self._busy[version] += 1
        self._busy_on_demand += 1
        return environment

    def start(self, version: int, *, provisioned: bool) -> Environment:
        """Start an environment; numbers count up as they start."""
        environment = Environment(self._started, version, provisioned=provisioned)
        self._started += 1
        return environment

    def release(self, environment: Environment, now: int, keep_alive_ticks: int) -> None:
        """Put an environment that ended its work among the idle ones."""
        version = environment.version
        self._busy[version] -= 1
        if environment.provisioned:
            self.busy_provisioned[version] -= 1
            self.provide(environment, now)
        else:
            self._busy_on_demand -= 1
            environment.gone_at_tick = min(now + keep_alive_ticks, environment.ends_at_tick)
            self._idle[version].append(environment)

    def end(self, environment: Environment, now: int) -> Environment | None:
        """End an environment at work; give the one that is to replace it in provisioned concurrency, not ready yet."""
        version = environment.version
        self._busy[version] -= 1
        if not environment.provisioned:
            self._busy_on_demand -= 1
            return None
        self.busy_provisioned[version] -= 1
        if self._alive[version] > self.allotted[version]:
            self._drop(version, now)
            return None
        return self.start(version, provisioned=True)

    def provide(self, environment: Environment, now: int) -> None:
        """Make an environment of provisioned concurrency free, unless it has become one too many."""
        if self._alive[environment.version] > self.allotted[environment.version]:
            self._drop(environment.version, now)
        else:
            self._free[environment.version].append(environment)

    def allot(self, version: int, provisioned: int, now: int) -> list[Environment]:
        """Set a version's provisioned concurrency; give the environments to be made ready for it."""
        self.allotted[version] = provisioned
        free = self._free[version]
        while free and self._alive[version] > provisioned:
            free.pop(0)
            self._alive[version] -= 1
        missing = max(0, provisioned - self._alive[version])
        self._alive[version] += missing
        self._carve(now)
        return [self.start(version, provisioned=True) for _ in range(missing)]

    def _drop(self, version: int, now: int) -> None:
        self._alive[version] -= 1
        self._carve(now)

    def _carve(self, now: int) -> None:
        self._on_demand_limit = self._limit - sum(map(max, self._alive, self.allotted))
        if self._per_unit is not None:
            rate = self._per_unit * max(0, self._on_demand_limit)
            self._rate.resize(now, rate, rate)
            for bucket, allotted in zip(self._provisioned_rate, self.allotted, strict=True):
                bucket.resize(now, self._per_unit * allotted, self._per_unit * allotted)
