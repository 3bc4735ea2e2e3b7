"""Provisioned concurrency over time: scheduled changes, and target tracking (rules 19 and 20 of docs/model.md)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import simpy

from simulator.engine.clock import TICKS_PER_SECOND, Kind, Later
from simulator.engine.outcomes import ProvisionedHistory
from simulator.engine.pools import Pools
from simulator.platform import Platform
from simulator.provisioned import TargetTracking

PERIOD_S: Final = 60
"""Application Auto Scaling's alarms look at periods of a minute."""
OUT_PERIODS: Final = 3
IN_PERIODS: Final = 15
IN_SHARE: Final = 0.9
"""The alarm that scales in stands a tenth below the target."""
_ROUNDING: Final = 1e-9


class Provisioner:
    """Changes the versions' provisioned concurrency as the platform says, until ``last_tick``."""

    def __init__(self, clock: simpy.Environment, pools: Pools, platform: Platform, last_tick: int) -> None:
        self._clock = clock
        self._pools = pools
        self._delay_ticks = round(platform.provisioning_s * TICKS_PER_SECOND)
        self._last_tick = last_tick
        settings = list(platform.versions.values())
        self._history = [([0.0], [one.provisioned]) for one in settings]
        self._trackers = [None if one.target_tracking is None else Tracker(one.target_tracking) for one in settings]
        self.tracking = any(tracker is not None for tracker in self._trackers)
        """Whether :meth:`observe` is to be called."""
        # The first slots are the trackers', one a version.
        number = len(settings)
        for version, one in enumerate(settings):
            for change in one.provisioned_changes:
                at_tick = round(change.at_s * TICKS_PER_SECOND)
                Later(clock, at_tick, Kind.PROVISION, number, self._change, (version, change.provisioned))
                number += 1
        for version, tracker in enumerate(self._trackers):
            if tracker is not None:
                self._wait_a_period(version, 0)

    def observe(self, version: int) -> None:
        """Take note of an invocation, as the metric does: how much of the allotment is busy, itself included."""
        tracker = self._trackers[version]
        if tracker is not None:
            tracker.observe(self._pools.busy_provisioned[version] / max(1, self._pools.allotted[version]))

    def histories(self) -> tuple[ProvisionedHistory, ...]:
        """Give each version's allotment over time."""
        return tuple(
            ProvisionedHistory(np.array(from_s), np.array(allotted, dtype=np.int64))
            for from_s, allotted in self._history
        )

    def _change(self, event: Later) -> None:
        version, provisioned = event.subject
        self._set(version, provisioned, event.tick)

    def _set(self, version: int, provisioned: int, now: int) -> None:
        from_s, allotted = self._history[version]
        from_s.append(now / TICKS_PER_SECOND)
        allotted.append(provisioned)
        for environment in self._pools.allot(version, provisioned, now):
            environment.ready_tick = now + self._delay_ticks
            Later(self._clock, environment.ready_tick, Kind.READY, environment.number, self._provide, environment)

    def _provide(self, ready: Later) -> None:
        self._pools.provide(ready.subject, ready.tick)

    def _wait_a_period(self, version: int, now: int) -> None:
        at_tick = now + PERIOD_S * TICKS_PER_SECOND
        if at_tick <= self._last_tick:
            Later(self._clock, at_tick, Kind.PROVISION, version, self._evaluate)

    def _evaluate(self, event: Later) -> None:
        version = event.slot
        tracker = self._trackers[version]
        assert tracker is not None  # noqa: S101  (only such versions have periods)
        allotted = self._pools.allotted[version]
        wanted = tracker.end_period(allotted)
        if wanted != allotted:
            self._set(version, wanted, event.tick)
        self._wait_a_period(version, event.tick)


class Tracker:
    """Target tracking of one version: two alarms over the minutes' values."""

    def __init__(self, policy: TargetTracking) -> None:
        self._policy = policy
        self._sum = self._max = 0.0
        self._count = 0
        self._above = self._below = 0

    def observe(self, utilization: float) -> None:
        """Take note of the utilization at one invocation."""
        self._sum += utilization
        self._max = max(self._max, utilization)
        self._count += 1

    def end_period(self, allotted: int) -> int:
        """End a minute; give the environments to ask for, ``allotted`` where nothing is to change."""
        if self._count == 0:
            return allotted
        policy = self._policy
        value = self._max if policy.statistic == "maximum" else self._sum / self._count
        self._sum = self._max = 0.0
        self._count = 0
        self._above = self._above + 1 if value > policy.target else 0
        self._below = self._below + 1 if value < IN_SHARE * policy.target else 0
        if self._above < OUT_PERIODS and self._below < IN_PERIODS:
            return allotted
        self._above = self._below = 0
        # Less a hair: 5 · 0.98 ÷ 0.7 is 7, whatever the last bit says.
        wanted = math.ceil(allotted * value / policy.target - _ROUNDING)
        return min(policy.maximum, max(policy.minimum, wanted))
