"""The reference engine: SimPy, written to be read. What it does is the specification; docs/model.md says why.

The clock counts whole microseconds, so that times add up exactly and a tie is a tie in every engine. At one instant,
ends come before arrivals, and arrivals come in the order of the requests.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import numpy as np
import simpy
from simpy.events import URGENT

from simulator.draws import Draws, IntArray
from simulator.engine.buckets import TokenBucket
from simulator.engine.outcomes import Outcomes, Refusal, Status
from simulator.errors import ParameterError
from simulator.platform import INIT_LIMIT_S, Platform
from simulator.quantiles import FloatArray
from simulator.rollout import Rollout

TICKS_PER_SECOND: Final = 1_000_000
_TICKS_PER_MS: Final = TICKS_PER_SECOND // 1000
_NEVER: Final = 2**62


def simulate(draws: Draws, platform: Platform, rollout: Rollout) -> Outcomes:
    """Send every request of ``draws`` through ``platform`` and say what became of it.

    A pure function: equal arguments give equal outcomes, and nothing in here is random.

    Parameters
    ----------
    draws
        Everything random; versions in the order of ``platform.versions``.
    platform
        Limits and policies.
    rollout
        Share of the second version over time; where the platform has one version only, every weight must be 0.

    Raises
    ------
    ParameterError
        Draws for fewer versions than the platform has, or a weight for a version that it does not have.
    """
    if draws.versions < len(platform.versions):
        raise ParameterError(f"draws for {draws.versions} version(s), but the platform has {len(platform.versions)}")
    if len(platform.versions) == 1 and any(stage.weight > 0 for stage in rollout.stages):
        raise ParameterError("the rollout gives weight to a second version, but the platform has one version only")
    run = _Run(draws, platform, rollout)
    run.go()
    return run.outcomes()


class _Environment:
    """One execution environment: it serves one request at a time."""

    __slots__ = ("ends_at_tick", "gone_at_tick", "number", "provisioned", "version")

    def __init__(self, number: int, version: int, *, provisioned: bool) -> None:
        self.number = number
        self.version = version
        self.provisioned = provisioned
        self.gone_at_tick = 0
        """When it ends if it stays idle; means nothing for provisioned ones, which stay."""
        self.ends_at_tick = _NEVER
        """When it ends at the latest, or after what it serves then."""


class _Later(simpy.Event):
    """Something that ends at a later instant, before the arrivals of that instant."""

    __slots__ = ("attempt", "environment", "request")

    def __init__(
        self, clock: simpy.Environment, delay_ticks: int, environment: _Environment, request: int, attempt: int
    ) -> None:
        super().__init__(clock)
        self.environment = environment
        self.request = request
        self.attempt = attempt
        self._ok = True
        self._value = None
        clock.schedule(self, priority=URGENT, delay=delay_ticks)


class _Run:
    """The state of one simulation."""

    def __init__(self, draws: Draws, platform: Platform, rollout: Rollout) -> None:
        self._clock = simpy.Environment()
        self._arrival_ticks = _ticks(draws.arrival_s, TICKS_PER_SECOND).tolist()
        to_second = draws.route < rollout.weights_at(draws.arrival_s)
        self._version_of = to_second.astype(np.int64).tolist()
        self._handler_ticks = _ticks(draws.handler_ms, _TICKS_PER_MS).tolist()
        self._cold_handler_ticks = _ticks(draws.cold_handler_ms, _TICKS_PER_MS).tolist()
        self._init_ticks = _ticks(draws.init_ms, _TICKS_PER_MS).tolist()
        self._setup_ticks = _ticks(draws.setup_ms, _TICKS_PER_MS).tolist()
        self._overhead_ticks = _ticks(draws.overhead_ms, _TICKS_PER_MS).tolist()
        self._keep_alive_ticks = _ticks(draws.keep_alive_s, TICKS_PER_SECOND).tolist()
        lifetime_s = draws.lifetime_s
        self._lifetime_ticks = None if lifetime_s is None else _ticks(lifetime_s, TICKS_PER_SECOND).tolist()

        settings = list(platform.versions.values())
        self._timeout_ticks = [round(one.timeout_s * TICKS_PER_SECOND) for one in settings]
        self._version_limit = [one.concurrency_limit for one in settings]
        self._gateway_timeout_ticks = round(platform.gateway_timeout_s * TICKS_PER_SECOND)
        self._init_limit_ticks = round(INIT_LIMIT_S * TICKS_PER_SECOND)
        self._gateway = TokenBucket(platform.gateway_burst, platform.gateway_rate_rps, TICKS_PER_SECOND)
        self._scale_out = TokenBucket(
            platform.scale_out_environments,
            platform.scale_out_environments / platform.scale_out_period_s,
            TICKS_PER_SECOND,
        )
        # Provisioned concurrency is carved out of the function's reserved share, or of the account's, used or not.
        provisioned = sum(one.provisioned for one in settings)
        reserved = platform.reserved_concurrency
        self._on_demand_limit = (platform.account_concurrency if reserved is None else reserved) - provisioned
        self._over_on_demand = Refusal.ACCOUNT_CONCURRENCY if reserved is None else Refusal.RESERVED_CONCURRENCY

        self._started = 0
        self._free_provisioned = [
            [self._start(version, provisioned=True) for _ in range(one.provisioned)]
            for version, one in enumerate(settings)
        ]
        self._idle: list[list[_Environment]] = [[] for _ in settings]
        """Idle on-demand environments of each version, the most recently used one last."""
        self._busy = [0] * len(settings)
        self._busy_on_demand = 0

        n = draws.requests
        self._draws = draws
        self._version = [-1] * n
        self._environment = [-1] * n
        self._cold = [False] * n
        self._on_provisioned = [False] * n
        self._status = [int(Status.OK)] * n
        self._refusal = [int(Refusal.NONE)] * n
        self._start_ticks = [-1] * n
        self._end_ticks = [-1] * n
        self._reported_init_ticks = [0] * n
        self._duration_ticks = [0] * n
        self._client_ticks = [0] * n

    def go(self) -> None:
        self._clock.process(self._arrivals())
        self._clock.run()

    def _arrivals(self) -> Generator[simpy.Event, None, None]:
        clock = self._clock
        now = 0
        for request, at in enumerate(self._arrival_ticks):
            # Waited for even where it is no time at all: what ends at this instant must end first.
            yield clock.timeout(at - now)
            now = at
            self._arrive(request, 0, at)

    def _arrive(self, request: int, attempt: int, now: int) -> None:
        """Take one attempt from the gateway to its environment, or refuse it."""
        if not self._gateway.take(now):
            self._refuse(request, attempt, Refusal.GATEWAY_RATE, version=0)
            return
        version = self._version_of[attempt][request]
        self._version[request] = version
        limit = self._version_limit[version]
        if limit is not None and self._busy[version] >= limit:
            self._refuse(request, attempt, Refusal.VERSION_CONCURRENCY, version)
            return
        free = self._free_provisioned[version]
        if free:
            self._serve(request, attempt, now, free.pop(), cold=False)
            return
        if self._busy_on_demand >= self._on_demand_limit:
            self._refuse(request, attempt, self._over_on_demand, version)
            return
        environment = self._most_recently_used(version, now)
        if environment is not None:
            self._serve(request, attempt, now, environment, cold=False)
        elif self._scale_out.take(now):
            self._serve(request, attempt, now, self._start(version, provisioned=False), cold=True)
        else:
            self._refuse(request, attempt, Refusal.SCALE_OUT, version)

    def _most_recently_used(self, version: int, now: int) -> _Environment | None:
        idle = self._idle[version]
        while idle:
            environment = idle.pop()
            if environment.gone_at_tick > now:
                return environment
        return None

    def _start(self, version: int, *, provisioned: bool) -> _Environment:
        environment = _Environment(self._started, version, provisioned=provisioned)
        self._started += 1
        return environment

    def _refuse(self, request: int, attempt: int, refusal: Refusal, version: int) -> None:
        self._status[request] = int(Status.THROTTLED)
        self._refusal[request] = int(refusal)
        self._client_ticks[request] = self._overhead_ticks[version][attempt][request]

    def _serve(self, request: int, attempt: int, now: int, environment: _Environment, *, cold: bool) -> None:
        """Let ``environment`` work on the attempt; all of its times are known from here on."""
        version = environment.version
        timeout = self._timeout_ticks[version]
        before = init = 0
        if cold:
            handler = self._cold_handler_ticks[version][attempt][request]
            init = self._init_ticks[version][attempt][request]
            before = self._setup_ticks[version][attempt][request]
            if self._lifetime_ticks is not None:
                environment.ends_at_tick = now + self._lifetime_ticks[attempt][request]
            if init > self._init_limit_ticks:
                # Lambda gives up, and runs INIT again as part of the first invocation, under its time-out.
                handler += init
                init = self._init_limit_ticks
        else:
            handler = self._handler_ticks[version][attempt][request]
        timed_out = handler > timeout
        duration = timeout if timed_out else handler
        busy = before + init + duration

        self._busy[version] += 1
        if not environment.provisioned:
            self._busy_on_demand += 1
        end = _Later(self._clock, busy, environment, request, attempt)
        end.callbacks.append(self._kill if timed_out else self._release)

        gave_up = busy > self._gateway_timeout_ticks
        answered = self._gateway_timeout_ticks if gave_up else busy
        if timed_out or gave_up:
            self._status[request] = int(Status.TIMEOUT)
        self._environment[request] = environment.number
        self._cold[request] = cold
        self._on_provisioned[request] = environment.provisioned
        self._start_ticks[request] = now
        self._end_ticks[request] = now + busy
        self._reported_init_ticks[request] = init
        self._duration_ticks[request] = duration
        self._client_ticks[request] = answered + self._overhead_ticks[version][attempt][request]

    def _release(self, end: _Later) -> None:
        """Put the environment among the idle ones, most recently used last."""
        environment = end.environment
        version = environment.version
        self._busy[version] -= 1
        if environment.provisioned:
            self._free_provisioned[version].append(environment)
        else:
            self._busy_on_demand -= 1
            idle_until = int(self._clock.now) + self._keep_alive_ticks[end.attempt][end.request]
            environment.gone_at_tick = min(idle_until, environment.ends_at_tick)
            self._idle[version].append(environment)

    def _kill(self, end: _Later) -> None:
        """End the environment, as a time-out does; Lambda starts another in the place of a provisioned one."""
        environment = end.environment
        version = environment.version
        self._busy[version] -= 1
        if not environment.provisioned:
            self._busy_on_demand -= 1
            return
        start_ticks = (
            self._setup_ticks[version][end.attempt][end.request] + self._init_ticks[version][end.attempt][end.request]
        )
        replacement = self._start(version, provisioned=True)
        ready = _Later(self._clock, start_ticks, replacement, end.request, end.attempt)
        ready.callbacks.append(self._provide)

    def _provide(self, ready: _Later) -> None:
        """Hand over a provisioned environment that has ended its INIT."""
        self._free_provisioned[ready.environment.version].append(ready.environment)

    def outcomes(self) -> Outcomes:
        served = np.array(self._environment) >= 0
        init_ticks = np.array(self._reported_init_ticks, dtype=np.int64)
        duration_ticks = np.array(self._duration_ticks, dtype=np.int64)
        billed_ticks = init_ticks + duration_ticks
        return Outcomes(
            arrival_s=self._draws.arrival_s,
            version=np.array(self._version, dtype=np.int64),
            environment=np.array(self._environment, dtype=np.int64),
            cold=np.array(self._cold, dtype=np.bool_),
            provisioned=np.array(self._on_provisioned, dtype=np.bool_),
            status=np.array(self._status, dtype=np.int64),
            refusal=np.array(self._refusal, dtype=np.int64),
            start_s=np.where(served, np.array(self._start_ticks) / TICKS_PER_SECOND, np.nan),
            end_s=np.where(served, np.array(self._end_ticks) / TICKS_PER_SECOND, np.nan),
            init_ms=init_ticks / _TICKS_PER_MS,
            duration_ms=duration_ticks / _TICKS_PER_MS,
            # Rounded up to whole milliseconds; integers, because 0.1 + 0.2 must not cost a millisecond.
            billed_ms=(-(-billed_ticks // _TICKS_PER_MS)).astype(np.float64),
            client_ms=np.array(self._client_ticks, dtype=np.int64) / _TICKS_PER_MS,
        )


def _ticks(values: FloatArray, ticks_per_unit: int) -> IntArray:
    return np.rint(values * ticks_per_unit).astype(np.int64)
