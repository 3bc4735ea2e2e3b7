"""From a request to a completion: one Converse call, whatever the model family."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from functions.common.bedrock import BedrockRuntime, attempts, to_service_error
from functions.common.deadline import CallExpiredError, call_within
from functions.common.errors import DeadlineError
from functions.inference.request import InferenceRequest
from functions.inference.tiers import Tier, Usage

BYTES_PER_TOKEN: Final = 4.0
"""UTF-8 bytes of a token, about: what decides whether a prefix is worth a cache point. Text of other scripts has fewer
bytes a token, so a prefix that passes here is long enough; the usage in the answer is what settles it."""


@dataclass(frozen=True)
class Completion:
    """A model's answer."""

    text: str
    usage: Usage
    model_attempts: int


class Stopwatch:
    """Milliseconds on the monotonic clock; wall-clock time may jump when a frozen environment thaws."""

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()

    def elapsed_ms(self) -> float:
        """Give the time since the start, to the microsecond."""
        return round((time.monotonic_ns() - self._start_ns) / 1e6, 3)


def complete(request: InferenceRequest, tier: Tier, client: BedrockRuntime, limit_s: float) -> Completion:
    """Ask the model of ``tier``, within ``limit_s`` seconds.

    Raises
    ------
    ThrottledError, DeadlineError, UnavailableError, UpstreamError
        As the model call failed.
    """
    arguments = converse_arguments(request, tier)
    try:
        response = call_within(limit_s, lambda: client.converse(**arguments))
    except CallExpiredError:
        raise DeadlineError("the model cannot answer in time", cause="DeadlineExceeded") from None
    except (ClientError, BotoCoreError) as error:
        raise to_service_error(error) from error
    usage = response.get("usage", {})
    return Completion(
        text="".join(block.get("text", "") for block in response["output"]["message"]["content"]),
        usage=Usage(
            input_tokens=usage.get("inputTokens", 0),
            output_tokens=usage.get("outputTokens", 0),
            cache_read_tokens=usage.get("cacheReadInputTokens", 0),
            cache_write_tokens=usage.get("cacheWriteInputTokens", 0),
        ),
        model_attempts=attempts(response),
    )


def converse_arguments(request: InferenceRequest, tier: Tier) -> dict[str, Any]:
    """Give the arguments of the Converse call."""
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
