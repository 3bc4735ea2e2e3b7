"""From a request to a completion: one Converse call, whatever the model family."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from functions.common.bedrock import BedrockRuntime, attempts, to_service_error
from functions.common.converse import converse_arguments, read_usage
from functions.common.deadline import CallExpiredError, call_within
from functions.common.errors import DeadlineError
from functions.common.request import InferenceRequest
from functions.common.tiers import Tier, Usage


@dataclass(frozen=True)
class Completion:
    """A model's answer."""

    text: str
    usage: Usage
    model_attempts: int


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
    return Completion(
        text="".join(block.get("text", "") for block in response["output"]["message"]["content"]),
        usage=read_usage(response.get("usage", {})),
        model_attempts=attempts(response),
    )
