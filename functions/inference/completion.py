"""From a request to a completion: one Converse call, whatever the model family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from functions.common.aws_call import AwsAnswer, AwsCaller, AwsCallError
from functions.common.converse import converse_arguments, read_usage
from functions.common.deadline import CallExpiredError, call_within
from functions.common.errors import DeadlineError, UpstreamError
from functions.common.model_failure import model_failure
from functions.common.request import InferenceRequest
from functions.common.tiers import Tier, Usage

CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 60.0
"""A backstop for calls that no deadline guards; it is longer than an HTTP API waits for anyone (30 s)."""
WHOLE: Final = frozenset({"end_turn", "stop_sequence", "max_tokens"})
"""How a model stops when it has said what it would; a filter or a guardrail stops it otherwise."""
_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}


@dataclass(frozen=True)
class Completion:
    """A model's answer."""

    text: str
    usage: Usage
    model_attempts: int
    whole: bool = True
    """It is the model's own, and holds something: worth keeping."""


def converse_caller(environment: Mapping[str, str], max_attempts: int) -> AwsCaller:
    """Make what calls Bedrock: once per environment, at INIT.

    Parameters
    ----------
    environment
        Of the process.
    max_attempts
        Tries in all.
    """
    return AwsCaller(
        "bedrock",
        "bedrock-runtime",
        environment,
        max_attempts=max_attempts,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        read_timeout_s=READ_TIMEOUT_S,
    )


def complete(request: InferenceRequest, tier: Tier, bedrock: AwsCaller, limit_s: float) -> Completion:
    """Ask the model of ``tier`` by Converse, within ``limit_s`` seconds.

    Raises
    ------
    ThrottledError, DeadlineError, UnavailableError, UpstreamError
        As the model call failed.
    """
    arguments = converse_arguments(request, tier)
    path = f"/model/{quote(arguments.pop('modelId'), safe='')}/converse"
    try:
        answer = call_within(limit_s, lambda: bedrock.post(path, _HEADERS, arguments))
    except CallExpiredError:
        raise DeadlineError("the model cannot answer in time", cause="DeadlineExceeded") from None
    except AwsCallError as error:
        raise model_failure(
            error.code, http_status=error.http_status, retry_after_s=error.retry_after_s, timed_out=error.timed_out
        ) from None
    try:
        return _read(answer)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UpstreamError("the model call failed", cause="MalformedAnswer") from None


def _read(answer: AwsAnswer) -> Completion:
    """Read an answer of Converse; any exception of reading means that it is none."""
    document = answer.document
    text = "".join([block.get("text", "") for block in document["output"]["message"]["content"]])
    usage = read_usage(document.get("usage", {}))
    for count in vars(usage).values():
        if type(count) is not int or count < 0:
            raise ValueError(count)
    return Completion(text, usage, answer.attempts, bool(text.strip()) and document.get("stopReason") in WHOLE)
