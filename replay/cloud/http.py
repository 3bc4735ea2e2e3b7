"""What the server's own services share: reading a body up to a limit, and answers in AWS's shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


class BodyTooLargeError(Exception):
    """The body is longer than the service takes."""


async def read_body(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """Read a request's body.

    Raises
    ------
    BodyTooLargeError
        It is longer than ``limit_bytes``. The rest is left unread, so the connection has to be closed.
    """
    if request.content_length is not None and request.content_length > limit_bytes:
        raise BodyTooLargeError
    if request.headers.get("Expect", "").lower() == "100-continue":
        # The SDKs ask this before a large body, and wait a second for the answer.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit_bytes:
            raise BodyTooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer JSON."""
    return web.Response(
        body=json.dumps(document).encode(), status=status, headers=headers, content_type="application/json"
    )


def aws_error(
    status: int, error_type: str, message: str, request_id: str, extra: Mapping[str, str] | None = None
) -> web.Response:
    """Answer an error as AWS's REST-JSON services do.

    The SDKs take the error's name from the header and its text from the body, where Lambda writes ``Message`` and
    Bedrock ``message``; both are there.
    """
    document = {**(extra or {}), "message": message, "Message": message}
    return json_answer(document, status, {"x-amzn-ErrorType": error_type, "x-amzn-RequestId": request_id})
