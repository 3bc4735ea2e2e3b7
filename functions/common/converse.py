"""What Converse and ConverseStream are asked with, and what their usage says: the same for every model family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from functions.common.request import InferenceRequest
from functions.common.tiers import Tier, Usage

BYTES_PER_TOKEN: Final = 4.0
"""UTF-8 bytes of a token, about: what decides whether a prefix is worth a cache point. Text of other scripts has fewer
bytes a token, so a prefix that passes here is long enough; the usage in the answer is what settles it."""


def converse_arguments(request: InferenceRequest, tier: Tier) -> dict[str, Any]:
    """Give the arguments of the call, Converse or ConverseStream."""
    # The tier that stands in for another may allow less.
    inference: dict[str, Any] = {"maxTokens": min(request.max_tokens, tier.max_tokens)}
    if request.temperature is not None:
        inference["temperature"] = request.temperature
    arguments: dict[str, Any] = {
        "modelId": tier.model_id,
        "messages": [{"role": "user", "content": [{"text": request.prompt}]}],
        "inferenceConfig": inference,
    }
    if request.system:
        arguments["system"] = [{"text": request.system}]
        if wants_cache_point(request, tier):
            # Everything up to here is the same in every request; what follows it is not.
            arguments["system"].append({"cachePoint": {"type": "default"}})
    if tier.latency is not None:
        arguments["performanceConfig"] = {"latency": tier.latency}
    if tier.service_tier is not None:
        arguments["serviceTier"] = {"type": tier.service_tier}
    return arguments


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Read the ``usage`` of an answer."""
    return Usage(
        input_tokens=usage.get("inputTokens", 0),
        output_tokens=usage.get("outputTokens", 0),
        cache_read_tokens=usage.get("cacheReadInputTokens", 0),
        cache_write_tokens=usage.get("cacheWriteInputTokens", 0),
    )


def wants_cache_point(request: InferenceRequest, tier: Tier) -> bool:
    """Say whether the system prompt reaches the model's minimum for its prompt cache."""
    if tier.cache_minimum_tokens is None or not request.system:
        return False
    return len(request.system.encode()) / BYTES_PER_TOKEN >= tier.cache_minimum_tokens


def prompt_cache(request: InferenceRequest, tier: Tier, usage: Usage) -> str | None:
    """Say what came of the prompt cache.

    ``hit``, ``write``, or ``skipped`` where the model has a cache and a static prefix was there, but was too short or
    passed over in silence; None where there was nothing to cache.
    """
    if tier.cache_minimum_tokens is None or not request.system:
        return None
    if usage.cache_read_tokens:
        return "hit"
    return "write" if usage.cache_write_tokens else "skipped"
