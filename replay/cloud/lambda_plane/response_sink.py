"""Where a response goes that a runtime streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

MAX_STREAMED_BYTES = 209_715_200
"""Longest streamed response: 200 MB (Lambda quotas)."""
HTTP_CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
"""Content type of a response that begins with status and headers as JSON and eight NUL bytes."""
PRELUDE_END = b"\0" * 8


class CallerGoneError(Exception):
    """Nobody takes the response any more, and the runtime is to be told so."""


class ResponseSink(Protocol):
    """Takes a response in pieces, each when it comes."""

    stop: Callable[[], None] | None
    """Set by the Runtime API while it passes a response on: ends it, where the caller has left in the meantime."""

    def begin(self, content_type: str) -> None:
        """Take note that a streamed response has begun."""
        ...

    async def write(self, piece: bytes) -> None:
        """Pass a piece on, and come back when there is room for the next.

        Raises
        ------
        CallerGoneError
            The caller has left.
        """
        ...
