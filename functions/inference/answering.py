"""How one request is answered: from the cache, by its tier's model, or by the tier that stands in for it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from functions.common.aws_call import AwsCaller
from functions.common.converse import prompt_cache
from functions.common.fallback import Chains, Trail
from functions.common.request import InferenceRequest
from functions.common.settings import Settings
from functions.common.stopwatch import Stopwatch
from functions.inference.completion import Completion, complete
from functions.inference.response_cache import ResponseCache, cache_key


@dataclass(frozen=True)
class CachePolicy:
    """What the caller's ``Cache-Control`` allows, and whose answers may be given."""

    tenant: str
    read: bool = True
    write: bool = True


class Answerer:
    """Answers requests; one an environment."""

    def __init__(self, settings: Settings, bedrock: AwsCaller, cache: ResponseCache | None) -> None:
        self._bedrock = bedrock
        self._cache = cache
        self._chains = Chains(settings)

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
            completion = self._chains.ask(
                request, end_s, trail, lambda tier, limit_s: complete(request, tier, self._bedrock, limit_s)
            )
        finally:
            trail.inference_ms = stopwatch.elapsed_ms()
        trail.prompt_cache = prompt_cache(request, trail.tier, completion.usage)
        # What another model answered is not what the key stands for.
        keep = policy.write and completion.whole and trail.fallback_from is None
        if self._cache is not None and key is not None and keep:
            self._cache.put(key, completion, end_s - time.monotonic())
        return completion
