"""The world before its first event: platform and rollout written into the engine's records."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.engine.caller import backoff_s
from simulator.engine.clock import NEVER, TICKS_PER_MS, TICKS_PER_SECOND
from simulator.engine.compiled import layout
from simulator.engine.compiled.caller import EQUAL_JITTER, FULL_JITTER, NO_JITTER
from simulator.engine.compiled.layout import NONE
from simulator.engine.compiled.provisioning import PERIOD
from simulator.engine.compiled.window import Window
from simulator.engine.outcomes import Refusal, Status
from simulator.engine.pools import NO_LIMIT
from simulator.model_policy import ModelQuota
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout

_JITTERS: Final = {"none": NO_JITTER, "equal": EQUAL_JITTER, "full": FULL_JITTER}
_PER_MINUTE: Final = 60.0
_FEW: Final = 64
"""Records to begin with."""
_EVENTS_AT_ONCE: Final = 4
"""What one event can lead to, besides environments made ready and places that the heap may look at."""


class World:
    """All arrays of a run; :attr:`run` is the record that compiled code takes.

    Parameters
    ----------
    platform, rollout
        What to write into them.
    window
        Holds the draws.
    requests
        How many there are where a row is to be kept for each attempt, None where figures are.
    """

    def __init__(self, platform: Platform, rollout: Rollout, window: Window, *, requests: int | None) -> None:
        settings = list(platform.versions.values())
        most = sum(one.most_provisioned for one in settings)
        self.run = run = np.zeros(1, dtype=layout.RUN)
        _set_policies(run, platform, settings)
        run["version_count"], run["stage_count"] = len(settings), len(rollout.stages)
        run["keep_rows"], run["rows"] = requests is not None, requests or 0
        run["room"] = most + _EVENTS_AT_ONCE + layout.HEAP_WAYS
        run["unused_environment"] = NONE
        for name, first in window.first.items():
            if name != "arrival_s":
                run[name.removesuffix("_ms").removesuffix("_s")] = first
        run["sdk_tries"] = window.sdk_tries

        quotas = {name: index for index, name in enumerate(platform.quotas)}
        self.versions = np.array([_version(one, quotas) for one in settings], dtype=layout.VERSION)
        self.environments = np.zeros(2 * most + _FEW, dtype=layout.ENVIRONMENT)
        _make_provisioned(run, self.versions, self.environments)
        run["on_demand_limit"] = run["limit"] - self.versions["alive"].sum()
        self.buckets = _buckets(platform, settings, int(run["on_demand_limit"][0]))
        self.quotas = np.array([_quota(one) for one in platform.quotas.values()], dtype=layout.QUOTA)
        self.sdks = np.zeros(len(self.environments) if window.sdk_tries else 0, dtype=layout.SDK)
        planned = sum(len(one.provisioned_changes) for one in settings)
        self.events = np.zeros(planned + 2 * most + _FEW, dtype=layout.EVENT)
        self.events["tick"] = layout.AFTER_ALL
        self.changes = _plan(run, settings, self.events)
        self.settlements = np.zeros(_FEW, dtype=layout.SETTLEMENT)
        self.history = np.zeros(_FEW, dtype=layout.CHANGE)
        self.stages = np.array([(stage.start_s, stage.weight) for stage in rollout.stages], dtype=layout.STAGE)
        attempts = platform.client.max_attempts
        self.backoff = np.array([backoff_s(platform.client, attempt) for attempt in range(attempts)])
        further = 0 if requests is None or attempts == 1 else max(_FEW, requests // 8)
        self.rows = np.empty(window.size if requests is None else requests + 1 + further, dtype=layout.ROW)
        groups = 1 + len(settings)
        self.figures = np.zeros(groups, dtype=layout.FIGURES)
        self.refusals = np.zeros((groups, layout.REFUSALS), dtype=np.int64)
        self.latencies = np.zeros((groups, layout.LATENCY_BINS if requests is None else 0), dtype=np.int64)
        self.recent = np.zeros(0 if requests is not None else layout.RECENT, dtype=np.int64)
        self.columns, self.draws = window.columns, window.draws
        self.bind()

    def double(self, name: str) -> None:
        """Let one of the growing arrays have twice its length, beginning with what it holds."""
        for one in ("environments", "sdks") if name == "environments" else (name,):
            old = getattr(self, one)
            larger = np.zeros(2 * len(old), dtype=old.dtype)
            if one == "events":
                larger["tick"] = layout.AFTER_ALL
            larger[: len(old)] = old
            setattr(self, one, larger)
        self.bind()

    def look_at(self, window: Window) -> None:
        """Take over a window that has grown."""
        self.columns, self.draws = window.columns, window.draws
        self.bind()

    def bind(self) -> None:
        """Write down where the arrays lie; to be called whenever one was replaced."""
        for name in layout.ARRAYS:
            self.run[f"{name}_at"] = getattr(self, name).ctypes.data
        for name in layout.GROWING:
            self.run[f"{name}_held"] = len(getattr(self, name))
        self.run["mask"] = self.draws.size // len(self.columns) - 1


def _set_policies(run: NDArray[np.void], platform: Platform, settings: list[VersionSettings]) -> None:
    client = platform.client
    run["attempts"] = client.max_attempts
    run["retry_on"] = sum(1 << Status[status.upper()] for status in set(client.retry_on))
    run["patience"] = NEVER if client.timeout_s is None else round(client.timeout_s * TICKS_PER_SECOND)
    run["gateway_timeout"] = round(platform.gateway_timeout_s * TICKS_PER_SECOND)
    run["late_after"] = min(run["patience"][0], run["gateway_timeout"][0])
    run["jitter"] = _JITTERS[client.jitter]
    if client.budget is not None and client.max_attempts > 1:
        run["budget"] = 1
        run["budget_capacity"] = run["budget_tokens"] = client.budget.capacity
        run["budget_per_success"] = client.budget.per_success
    reserved = platform.reserved_concurrency
    run["limit"] = platform.account_concurrency if reserved is None else reserved
    run["over_limit"] = Refusal.ACCOUNT_CONCURRENCY if reserved is None else Refusal.RESERVED_CONCURRENCY
    run["per_unit"] = platform.requests_per_concurrency or 0.0
    run["changes"] = any(one.provisioned_changes or one.target_tracking for one in settings)
    run["tracking"] = any(one.target_tracking is not None for one in settings)
    run["suppressed_init"] = platform.suppressed_init
    run["provisioning"] = round(platform.provisioning_s * TICKS_PER_SECOND)
    run["cube"], run["cube_root"] = 3.0, 1 / 3.0


def _version(settings: VersionSettings, quotas: dict[str, int]) -> tuple[float, ...]:
    one = dict.fromkeys(layout.VERSION.names or (), 0.0)
    one |= {
        "limit": NO_LIMIT if settings.concurrency_limit is None else settings.concurrency_limit,
        "timeout": round(settings.timeout_s * TICKS_PER_SECOND),
        "allotted": settings.provisioned,
        "alive": settings.provisioned,
        "idle": NONE,
        "free_first": NONE,
        "free_last": NONE,
        "quota": NONE,
    }
    call, tracking = settings.model, settings.target_tracking
    if call is not None:
        one |= {
            "quota": quotas[call.quota],
            "max_tokens": call.max_tokens,
            "refusal": round(call.refusal_ms * TICKS_PER_MS),
            "attempts": call.retries.attempts,
            "legacy": call.retries.mode == "legacy",
            "adaptive": call.retries.mode == "adaptive",
        }
    if tracking is not None:
        one |= {
            "tracked": 1,
            "minimum": tracking.minimum,
            "maximum": tracking.maximum,
            "target": tracking.target,
            "of_maximum": tracking.statistic == "maximum",
        }
    return tuple(one.values())


def _quota(quota: ModelQuota) -> tuple[bool, bool, float]:
    return quota.requests_per_minute is not None, quota.tokens_per_minute is not None, quota.output_burndown


def _make_provisioned(run: NDArray[np.void], versions: NDArray[np.void], environments: NDArray[np.void]) -> None:
    """Let each version have its provisioned concurrency ready, as a list from the first to the last one started."""
    number = 0
    for index, version in enumerate(versions):
        count = int(version["alive"])
        if not count:
            continue
        own = environments[number : number + count]
        own["number"] = np.arange(number, number + count)
        own["version"], own["provisioned"], own["ends_at"] = index, 1, NEVER
        own["previous"] = [NONE, *range(number, number + count - 1)]
        own["next"] = [*range(number + 1, number + count), NONE]
        version["free_first"], version["free_last"] = number, number + count - 1
        number += count
    run["environments"] = run["started"] = number


def _plan(run: NDArray[np.void], settings: list[VersionSettings], events: NDArray[np.void]) -> NDArray[np.void]:
    """Write down the scheduled changes and the first minutes of target tracking, as events."""
    changes = [(version, change) for version, one in enumerate(settings) for change in one.provisioned_changes]
    planned = np.zeros(len(changes), dtype=layout.CHANGE)
    pending: list[tuple[int, int, int]] = []
    for item, (version, change) in enumerate(changes):
        tick = round(change.at_s * TICKS_PER_SECOND)
        planned[item] = (version, change.provisioned, tick)
        pending.append((tick, _provision_key(len(settings) + item), item))
    pending += [
        (PERIOD, _provision_key(version), NONE)
        for version, one in enumerate(settings)
        if one.target_tracking is not None
    ]
    # In order, they are a heap.
    for place, event in enumerate(sorted(pending)):
        events[place] = event
    run["events"] = len(pending)
    return planned


def _provision_key(number: int) -> int:
    return (layout.PROVISION << layout.KIND_BITS) | number


def _buckets(platform: Platform, settings: list[VersionSettings], on_demand_limit: int) -> NDArray[np.void]:
    buckets = np.zeros(layout.QUOTAS + 2 * len(platform.quotas), dtype=layout.BUCKET)

    def fill(index: int, capacity: float, per_second: float) -> None:
        buckets[index] = (capacity, capacity, per_second / TICKS_PER_SECOND, 0)

    fill(layout.GATEWAY, platform.gateway_burst, platform.gateway_rate_rps)
    environments = platform.scale_out_environments
    fill(layout.SCALE_OUT, environments, environments / platform.scale_out_period_s)
    per_unit = platform.requests_per_concurrency or 0.0
    fill(layout.RATE, per_unit * on_demand_limit, per_unit * on_demand_limit)
    for version, one in enumerate(settings):
        fill(layout.PROVISIONED_RATE + version, per_unit * one.provisioned, per_unit * one.provisioned)
    for index, quota in enumerate(platform.quotas.values()):
        for place, per_minute in enumerate((quota.requests_per_minute, quota.tokens_per_minute)):
            if per_minute is not None:
                fill(layout.QUOTAS + 2 * index + place, per_minute, per_minute / _PER_MINUTE)
    return buckets
