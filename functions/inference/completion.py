"""From a prompt to a completion: the logic, apart from Lambda."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from functions.common.bedrock import BedrockRuntime, attempts, to_service_error
from functions.common.deadline import CallExpiredError, call_within
from functions.common.errors import DeadlineError, RejectedError
from functions.inference.settings import Settings


@dataclass(frozen=True)
class Usage:
    """Tokens as Bedrock counted them; ``input_tokens`` excludes those read from or written to the cache."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


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


def read_prompt(body: Mapping[str, Any], settings: Settings) -> str:
    """Give the prompt of ``body``. Raises RejectedError where there is none, or one that is too long."""
    if "prompt" not in body:
        raise RejectedError("field 'prompt' is missing")
    prompt = body["prompt"]
    if not isinstance(prompt, str):
        raise RejectedError(f"field 'prompt' must be text, not {type(prompt).__name__}")
    if not prompt.strip():
        raise RejectedError("field 'prompt' is empty")
    if len(prompt) > settings.max_prompt_chars:
        raise RejectedError(
            f"field 'prompt' has {len(prompt)} characters; at most {settings.max_prompt_chars} are allowed"
        )
    return prompt


def complete(prompt: str, settings: Settings, client: BedrockRuntime, limit_s: float) -> Completion:
    """Ask the model, within ``limit_s`` seconds.

    Raises
    ------
    ThrottledError, DeadlineError, UpstreamError
        As the model call failed.
    """
    request = converse_arguments(prompt, settings)
    try:
        response = call_within(limit_s, lambda: client.converse(**request))
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


def converse_arguments(prompt: str, settings: Settings) -> dict[str, Any]:
    """Give the arguments of the Converse call."""
    inference: dict[str, Any] = {"maxTokens": settings.max_tokens}
    if settings.temperature is not None:
        inference["temperature"] = settings.temperature
    arguments: dict[str, Any] = {
        "modelId": settings.model_id,
        "messages": [{"role": "user", "content": [{"text": prompt}]}],
        "inferenceConfig": inference,
    }
    if settings.system_prompt:
        arguments["system"] = [{"text": settings.system_prompt}]
    return arguments
