"""The one Bedrock client of an execution environment, and what its failures mean to a caller."""

from __future__ import annotations

from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError

from functions.common.errors import DeadlineError, ServiceError, ThrottledError, UnavailableError, UpstreamError

CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 60.0
"""A backstop for calls that no deadline guards; it is longer than an HTTP API waits for anyone (30 s)."""
DEFAULT_RETRY_AFTER_S: Final = 1

THROTTLING_CODES: Final = frozenset(
    {"ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException", "ModelNotReadyException"}
)
TIMEOUT_CODES: Final = frozenset({"ModelTimeoutException"})
UNAVAILABLE_CODES: Final = frozenset(
    {
        "ServiceUnavailableException",
        "InternalServerException",
        "InternalFailure",
        "ModelErrorException",
        "ModelStreamErrorException",
    }
)


class BedrockRuntime(Protocol):
    """What the functions use of the SDK's client."""

    def converse(self, **arguments: Any) -> dict[str, Any]:
        """Call the Converse operation."""
        ...

    def converse_stream(self, **arguments: Any) -> dict[str, Any]:
        """Call the ConverseStream operation; ``stream`` gives its events as they come."""
        ...


def bedrock_client(max_attempts: int) -> BedrockRuntime:
    """Build the client: once per environment, at INIT, where time is not the caller's.

    Parameters
    ----------
    max_attempts
        Tries in all. Two at least are wise: a connection that the other side closed while the environment was frozen
        shows only when it is used.
    """
    client: BedrockRuntime = boto3.client(
        "bedrock-runtime",
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": max_attempts},
            tcp_keepalive=True,
        ),
    )
    return client


def attempts(response: dict[str, Any]) -> int:
    """Give the tries that the SDK needed for ``response``, the first counted."""
    return int(response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) + 1


def to_service_error(error: ClientError | BotoCoreError) -> ServiceError:
    """Translate a failure of the SDK into what the caller is told."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "ClientError"))
        code = code[:1].upper() + code[1:]  # in a stream: throttlingException
        if code in THROTTLING_CODES:
            return ThrottledError(
                "the model is at its rate limit; try again later", cause=code, retry_after_s=_retry_after_s(error)
            )
        if code in TIMEOUT_CODES:
            return DeadlineError("the model took too long", cause=code)
        # A fault without a code of Bedrock's own comes from what stands before it.
        if code in UNAVAILABLE_CODES or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            return UnavailableError("the model call failed", cause=code)
        return UpstreamError("the model call failed", cause=code)
    cause = type(error).__name__
    if isinstance(error, (ReadTimeoutError, ConnectTimeoutError)):
        return DeadlineError("the model took too long", cause=cause)
    if isinstance(error, HTTPClientError):
        return UnavailableError("the model call failed", cause=cause)
    return UpstreamError("the model call failed", cause=cause)


def _retry_after_s(error: ClientError) -> int:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    raw = str(headers.get("retry-after", ""))
    return int(raw) if raw.isdigit() else DEFAULT_RETRY_AFTER_S
