"""The work of the engine's benchmark: Poisson arrivals, exponential service, as draws by address, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simulator.client_policy import ClientPolicy, RetryBudget
from simulator.draws import Draws, ModelDraws, Randomness, Use
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform, VersionSettings
from simulator.provisioned import ProvisionedChange, TargetTracking
from simulator.quantiles import FloatArray
from simulator.rollout import Rollout, Stage
from simulator.running_sum import running_sum

SERVICE_S = 0.6
KEEP_ALIVE_S = 600.0
BLOCK = 1 << 15
"""Requests drawn at once: few enough for the processor's cache."""

AT_REST = Rollout.constant(0.0)
SHIFTING = Rollout((Stage(0.0, 0.1), Stage(600.0, 0.5), Stage(1200.0, 0.9)))


class Streams:
    """The streams of one seed, each read on from where it was left: the numbers are those of their addresses."""

    def __init__(self, seed: int) -> None:
        self._randomness = Randomness(seed)
        self._generators: dict[tuple[Use, int], np.random.Generator] = {}
        self._now_s = 0.0

    def uniforms(self, use: Use, requests: int, attempts: int = 1, base: int = 0) -> FloatArray:
        """Give the next uniforms, shape ``(attempts, requests)``."""
        found = np.empty((attempts, requests))
        for attempt in range(attempts):
            key = (use, base | attempt)
            if key not in self._generators:
                self._generators[key] = self._randomness.generator(*key)
            self._generators[key].random(out=found[attempt])
        return found

    def exponentials(self, use: Use, mean: float, requests: int, attempts: int = 1) -> FloatArray:
        """Give exponential times, shape ``(attempts, requests)``."""
        found = self.uniforms(use, requests, attempts)
        np.subtract(1.0, found, out=found)
        np.log(found, out=found)
        found *= -mean
        return found

    def arrivals_s(self, rate_rps: float, requests: int) -> FloatArray:
        """Give the next arrivals of a Poisson process, shape ``(requests,)``."""
        found: FloatArray = self.exponentials(Use.ARRIVAL, 1.0 / rate_rps, requests)[0]
        found[0] += self._now_s
        found = running_sum(found)
        self._now_s = float(found[-1])
        return found


def plain_platform() -> Platform:
    """Give the plain case: nothing but environments; no limit is ever met."""
    return Platform(
        versions={"v": VersionSettings(timeout_s=900.0)},
        gateway_rate_rps=1e9,
        gateway_burst=10**9,
        gateway_timeout_s=1e6,
        account_concurrency=10**9,
        scale_out_environments=10**9,
        requests_per_concurrency=None,
    )


def plain_blocks(requests: int, rate_rps: float, seed: int = 0) -> Iterator[Draws]:
    """Draw the plain case."""
    streams = Streams(seed)
    for first in range(0, requests, BLOCK):
        n = min(BLOCK, requests - first)
        arrival_s = streams.arrivals_s(rate_rps, n)
        service_ms = streams.exponentials(Use.HANDLER, 1000.0 * SERVICE_S, n)[None]
        yield Draws(
            arrival_s=arrival_s,
            route=_same(0.5, 1, n),
            handler_ms=service_ms,
            cold_handler_ms=service_ms,
            init_ms=_same(500.0, 1, 1, n),
            setup_ms=_same(130.0, 1, 1, n),
            overhead_ms=_same(4.0, 1, 1, n),
            keep_alive_s=_same(KEEP_ALIVE_S, 1, n),
        )


def full_platform(rate_rps: float) -> Platform:
    """Give everything at once, with limits that are met all the time at this rate."""
    busy = rate_rps * SERVICE_S
    call = ModelCall("model", 400, SdkRetries("standard"), 30.0)
    return Platform(
        versions={
            "baseline": VersionSettings(
                provisioned=int(busy * 0.3),
                provisioned_changes=tuple(ProvisionedChange(at_s, int(busy * 0.2)) for at_s in (300.0, 900.0)),
                timeout_s=3.0,
                model=call,
            ),
            "optimized": VersionSettings(
                provisioned=int(busy * 0.2),
                target_tracking=TargetTracking(1, int(busy * 0.4)),
                timeout_s=3.0,
                model=call,
                concurrency_limit=int(busy),
            ),
        },
        gateway_rate_rps=1.3 * rate_rps,
        gateway_burst=max(1, int(rate_rps)),
        gateway_timeout_s=4.0,
        account_concurrency=int(busy * 1.6),
        scale_out_environments=max(1, int(busy * 0.2)),
        quotas={"model": ModelQuota(0.97 * 60.0 * rate_rps, 60.0 * rate_rps * 300.0)},
        client=ClientPolicy(timeout_s=2.5, max_attempts=3, budget=RetryBudget(rate_rps, 0.2)),
    )


def full_blocks(requests: int, rate_rps: float, platform: Platform, seed: int = 0) -> Iterator[Draws]:
    """Draw for everything: two versions, three attempts of the caller, three of the SDK."""
    streams = Streams(seed)
    versions, attempts, tries = len(platform.versions), platform.client.max_attempts, 3
    for first in range(0, requests, BLOCK):
        n = min(BLOCK, requests - first)
        arrival_s = streams.arrivals_s(rate_rps, n)
        # As in a forecast, both versions see the same uniform for the same request.
        unit = streams.exponentials(Use.HANDLER, 1.0, n, attempts)
        handler_ms = np.multiply.outer([600.0, 450.0], unit)
        jitter = np.empty((attempts, tries, n))
        for attempt in range(attempts):
            jitter[attempt] = streams.uniforms(Use.SDK_JITTER, n, tries, attempt << 16)
        yield Draws(
            arrival_s=arrival_s,
            route=streams.uniforms(Use.ROUTE, n, attempts),
            handler_ms=handler_ms,
            cold_handler_ms=handler_ms,
            init_ms=_same(500.0, versions, attempts, n),
            setup_ms=_same(130.0, versions, attempts, n),
            overhead_ms=_same(4.0, versions, attempts, n),
            keep_alive_s=_same(60.0, attempts, n),
            lifetime_s=_same(7200.0, attempts, n),
            client_jitter=streams.uniforms(Use.CLIENT_JITTER, n, attempts),
            model=ModelDraws(
                inference_ms=0.8 * handler_ms,
                input_tokens=_same(150.0, versions, n),
                output_tokens=_same(120.0, versions, n),
                sdk_jitter=jitter,
            ),
        )


def joined(blocks: list[Draws]) -> Draws:
    """Give the draws of all blocks as one, for an engine that wants them at once."""
    models = [block.model for block in blocks]

    def join(parts: list[FloatArray | None]) -> FloatArray | None:
        return None if parts[0] is None else np.concatenate([part for part in parts if part is not None], axis=-1)

    model = None
    if models[0] is not None:
        model = ModelDraws(**{name: join([getattr(one, name) for one in models]) for name in vars(models[0])})
    return Draws(
        **{name: join([getattr(one, name) for one in blocks]) for name in vars(blocks[0]) if name != "model"},
        model=model,
    )


def _same(value: float, *shape: int) -> FloatArray:
    return np.broadcast_to(np.array(value), shape)
