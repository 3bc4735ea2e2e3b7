"""Random platforms, rollouts and draws with everything on: limits so tight and times so coarse that ties are common."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simulator.client_policy import ClientPolicy, RetryBudget
from simulator.draws import Draws, ModelDraws
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform, VersionSettings
from simulator.provisioned import ProvisionedChange, TargetTracking
from simulator.rollout import Rollout, Stage

SDK_TRIES = 5


@dataclass(frozen=True)
class RandomWorld:
    """The three arguments of an engine."""

    draws: Draws
    platform: Platform
    rollout: Rollout


def random_world(seed: int, most_requests: int = 60) -> RandomWorld:
    """Make the world of a seed."""
    rng = np.random.default_rng(seed)
    platform = random_platform(rng)
    stages = [Stage(0.0, _one(rng, 0.0, 0.4, 1.0))]
    if rng.random() < 0.5:
        stages += [Stage(2.0, _one(rng, 0.1, 0.9)), Stage(4.0, _one(rng, 0.5, 1.0))]
    rollout = Rollout(tuple(stages) if len(platform.versions) == 2 else (Stage(0.0, 0.0),))
    requests = int(rng.integers(0, most_requests + 1))
    return RandomWorld(random_draws(rng, requests, platform), platform, rollout)


def without_feedback(world: RandomWorld) -> RandomWorld:
    """Let nobody try again, no model have a quota, and provisioned concurrency stay: every end is known ahead."""
    platform = world.platform
    versions = {
        name: replace(one, model=None, provisioned_changes=(), target_tracking=None)
        for name, one in platform.versions.items()
    }
    client = replace(platform.client, max_attempts=1)
    return replace(world, platform=replace(platform, versions=versions, client=client))


def random_draws(rng: np.random.Generator, requests: int, platform: Platform) -> Draws:
    """Draw for a platform; of each world's times all are from a grid, or none is."""
    versions, attempts = len(platform.versions), platform.client.max_attempts
    coarse = rng.random() < 0.6

    def times(scale: float, *shape: int) -> np.ndarray:
        if rng.random() < 0.1:
            return np.broadcast_to(np.array(scale / 10), shape)
        if coarse:
            return rng.integers(0, 11, size=shape) * (scale / 10)
        return rng.exponential(scale / 3, size=shape)

    spread_s = _one(rng, 1.0, 5.0, 30.0, 400.0, 1500.0)
    by_version = (versions, attempts, requests)
    by_attempt = (attempts, requests)
    uniforms = rng.choice([0.0, 0.25, 0.5, 0.75], size=by_attempt) if coarse else rng.random(by_attempt)
    return Draws(
        arrival_s=np.sort(times(spread_s, requests)),
        route=uniforms,
        handler_ms=times(_one(rng, 10.0, 1000.0, 4000.0), *by_version),
        cold_handler_ms=times(1000.0, *by_version),
        init_ms=times(_one(rng, 100.0, 2000.0, 30_000.0), *by_version),
        setup_ms=times(100.0, *by_version),
        overhead_ms=times(_one(rng, 10.0, 1000.0), *by_version),
        keep_alive_s=times(_one(rng, 1.0, 20.0, 600.0), *by_attempt),
        lifetime_s=times(10.0, *by_attempt) if rng.random() < 0.3 else None,
        client_jitter=rng.random(by_attempt),
        model=ModelDraws(
            inference_ms=times(_one(rng, 10.0, 2000.0), *by_version),
            input_tokens=times(200.0, versions, requests),
            output_tokens=times(150.0, versions, requests),
            sdk_jitter=rng.random((attempts, SDK_TRIES, requests)),
        ),
    )


def random_platform(rng: np.random.Generator) -> Platform:
    """Draw limits and policies; each of them is off in a part of the worlds."""
    names = ("baseline", "optimized")[: _one(rng, 1, 2, 2, 2)]
    versions = {name: _random_version(rng) for name in names}
    least = max(1, sum(one.most_provisioned for one in versions.values()))
    account = least + int(_one(rng, 0, 2, 6, 1000))
    return Platform(
        versions=versions,
        gateway_rate_rps=_one(rng, 2.0, 10.0, 10_000.0),
        gateway_burst=_one(rng, 2, 10, 5_000),
        gateway_timeout_s=_one(rng, 0.5, 1.5, 30.0),
        account_concurrency=account,
        reserved_concurrency=_one(rng, None, None, least, account),
        scale_out_environments=_one(rng, 1, 3, 1000),
        requests_per_concurrency=_one(rng, None, 0.5, 10.0),
        suppressed_init=_one(rng, True, False),
        provisioning_s=_one(rng, 0.0, 1.0, 90.0),
        quotas={
            "m": _one(rng, ModelQuota(3), ModelQuota(60, 600, 5), ModelQuota(None, 200), ModelQuota(300, None)),
            "other": _one(rng, ModelQuota(600, 60_000), ModelQuota(None, 1000, 5)),
        },
        client=ClientPolicy(
            timeout_s=_one(rng, None, 0.5, 2.0),
            max_attempts=_one(rng, 1, 1, 2, 4),
            backoff_base_s=_one(rng, 0.0, 0.1, 0.3),
            backoff_factor=_one(rng, 1.0, 2.0, 1.7),
            backoff_cap_s=_one(rng, 0.5, 20.0),
            jitter=_one(rng, "none", "equal", "full"),
            retry_on=_one(rng, ("throttled",), ("timeout",), ("throttled", "timeout")),
            budget=_one(rng, None, RetryBudget(2, 0.5), RetryBudget(10, 0.1)),
        ),
    )


def _random_version(rng: np.random.Generator) -> VersionSettings:
    provisioned = _one(rng, 0, 1, 3)
    changes: tuple[ProvisionedChange, ...] = ()
    tracking = None
    kind = rng.random()
    if kind < 0.3:
        changes = (ProvisionedChange(1.0, _one(rng, 0, 2, 4)), ProvisionedChange(3.0, _one(rng, 0, 1, 3)))
    elif provisioned and kind < 0.6:
        tracking = TargetTracking(1, 4, _one(rng, 0.1, 0.7), _one(rng, "average", "maximum"))
    most = max([provisioned, 4 if tracking else 0, *(change.provisioned for change in changes)])
    retries = _one(
        rng,
        SdkRetries("off"),
        SdkRetries(),
        SdkRetries("adaptive", 5),
        SdkRetries("adaptive"),
        SdkRetries("legacy"),
        SdkRetries("standard", 2),
    )
    call = ModelCall(_one(rng, "m", "other"), 100, retries, _one(rng, 0.0, 100.0))
    return VersionSettings(
        provisioned=provisioned,
        provisioned_changes=changes,
        target_tracking=tracking,
        timeout_s=_one(rng, 1.0, 3.0, 30.0),
        concurrency_limit=_one(rng, None, None, most, most + 3),
        model=_one(rng, None, call, call),
    )


def _one(rng: np.random.Generator, *values):  # type: ignore[no-untyped-def]
    return values[int(rng.integers(len(values)))]
