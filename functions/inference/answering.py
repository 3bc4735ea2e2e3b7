"""How one request is answered: from the cache, by its tier's model, or by the tier that stands in for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from functions.common.bedrock import BedrockRuntime
from functions.common.errors import DeadlineError, ServiceError, ThrottledError, UnavailableError
from functions.inference.circuit import Circuit
from functions.inference.completion import Completion, Stopwatch, complete, prompt_cache
from functions.inference.request import InferenceRequest
from functions.inference.response_cache import ResponseCache, cache_key
from functions.inference.settings import Settings
from functions.inference.tiers import Tier, fallbacks

PRIMARY_SHARE: Final = 0.6
"""Part of the time left that a model with a fallback may take; a model that hangs must leave the other one some."""


@dataclass
class Trail:
    """What happened on the way, kept up to date so that a request that fails leaves it too. Unknown is ``None``."""

    tier: Tier | None = None
    """The one that was asked last."""
    fallback_from: str | None = None
    """The tier that was asked for, where another one answered."""
    inference_ms: float | None = None
    response_cache: str | None = None
    """``hit``, ``miss``, ``error`` (asked as if it were not there), ``bypass`` (the caller's wish), or None: off."""
    prompt_cache: str | None = None


@dataclass(frozen=True)
class CachePolicy:
    """What the caller's ``Cache-Control`` allows, and whose answers may be given."""

    tenant: str
    read: bool = True
    write: bool = True


class Answerer:
    """Answers requests; one an environment."""

    def __init__(self, settings: Settings, client: BedrockRuntime, cache: ResponseCache | None) -> None:
        self._settings = settings
        self._client = client
        self._cache = cache
        self._circuits = {
            tier.name: Circuit(settings.breaker_failures, settings.breaker_cooldown_s)
            for tier in settings.tiers.values()
            if tier.fallback is not None
        }

    def answer(self, request: InferenceRequest, policy: CachePolicy, limit_s: float, trail: Trail) -> Completion:
        """Answer ``request`` within ``limit_s`` seconds, and write into ``trail`` how.

        Raises
        ------
        ThrottledError, DeadlineError, UnavailableError, UpstreamError
            As the last model that was asked failed.
        """
        end_s = time.monotonic() + limit_s
        trail.tier = request.tier
        key = None if self._cache is None else cache_key(policy.tenant, request)
        if self._cache is not None and key is not None:
            trail.response_cache = "bypass"
            if policy.read:
                found, trail.response_cache = self._cache.get(key, end_s - time.monotonic())
                if found is not None:
                    return found
        stopwatch = Stopwatch()
        try:
            completion = self._ask(request, end_s, trail)
        finally:
            trail.inference_ms = stopwatch.elapsed_ms()
        trail.prompt_cache = prompt_cache(request, trail.tier, completion.usage)
        # What another model answered is not what the key stands for.
        if self._cache is not None and key is not None and policy.write and trail.fallback_from is None:
            self._cache.put(key, completion, end_s - time.monotonic())
        return completion

    def _ask(self, request: InferenceRequest, end_s: float, trail: Trail) -> Completion:
        chain = fallbacks(request.tier, self._settings.tiers)
        failure: ServiceError | None = None
        for tier in chain:
            last = tier is chain[-1]
            circuit = self._circuits.get(tier.name)
            now_s = time.monotonic()
            if circuit is not None and not circuit.lets_pass(now_s):
                continue
            if failure is not None and now_s >= end_s:
                raise failure
            trail.tier = tier
            trail.fallback_from = None if tier is request.tier else request.tier.name
            limit_s = (end_s - now_s) * (1.0 if last else PRIMARY_SHARE)
            try:
                completion = complete(request, tier, self._client, limit_s)
            except (ThrottledError, DeadlineError, UnavailableError) as error:
                if circuit is not None:
                    circuit.failed(time.monotonic())
                if last:
                    raise
                failure = error
                continue
            if circuit is not None:
                circuit.succeeded()
            return completion
        raise AssertionError("the last of a chain has no circuit, so it was asked")  # pragma: no cover
