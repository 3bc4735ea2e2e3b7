"""The SDK's Bedrock client, for streams, and what its failures mean to a caller."""

from __future__ import annotations

from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as NoConnectionError

from functions.common.errors import ServiceError, UpstreamError
from functions.common.model_failure import model_failure

CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 60.0
"""A backstop for calls that no deadline guards; it is longer than an HTTP API waits for anyone (30 s)."""


class BedrockRuntime(Protocol):
    """What the functions use of the SDK's client."""

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
        metadata = error.response.get("ResponseMetadata", {})
        wait = str(metadata.get("HTTPHeaders", {}).get("retry-after", ""))
        return model_failure(
            code, http_status=metadata.get("HTTPStatusCode", 0), retry_after_s=int(wait) if wait.isdigit() else None
        )
    # Two trees of botocore's: no connection came about, or one that was there broke.
    if isinstance(error, (NoConnectionError, HTTPClientError)):
        timed_out = isinstance(error, (ReadTimeoutError, ConnectTimeoutError))
        return model_failure(type(error).__name__, http_status=None, timed_out=timed_out)
    return UpstreamError("the model call failed", cause=type(error).__name__)
