"""A response that a function makes while its caller reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from replay.cloud.gateway.payload import MalformedAnswerError, set_headers
from replay.cloud.lambda_plane.response_sink import HTTP_CONTENT_TYPE, PRELUDE_END, CallerGoneError

MAX_PRELUDE_BYTES: Final = 1_048_576


class StreamedAnswer:
    """Implements :class:`replay.cloud.lambda_plane.response_sink.ResponseSink` on an HTTP response.

    Parameters
    ----------
    request
        What is answered.
    headers
        To add to the function's, and to win over them.
    stops
        Whether a caller who leaves ends the function's response.
    """

    def __init__(self, request: web.BaseRequest, headers: Mapping[str, str], *, stops: bool) -> None:
        self.stop: Callable[[], None] | None = None
        self.response: web.StreamResponse | None = None
        """None until status and headers are known."""
        self.began = False
        """Whether the function streams at all."""
        self.left = False
        """Whether the caller has."""
        self.problem: str | None = None
        """Why what the function sends is no response."""
        self._request = request
        self._headers = headers
        self._stops = stops
        self._prelude: bytes | None = None

    def begin(self, content_type: str) -> None:
        """Take note that the function streams."""
        self.began = True
        self._prelude = b"" if content_type == HTTP_CONTENT_TYPE else None

    async def write(self, piece: bytes) -> None:
        """Pass a piece on."""
        if self.response is None:
            if self._prelude is not None:
                self._prelude += piece
                head, end, piece = self._prelude.partition(PRELUDE_END)
                if not end:
                    if len(self._prelude) > MAX_PRELUDE_BYTES:
                        self.problem = f"status and headers are over {MAX_PRELUDE_BYTES} bytes"
                        raise CallerGoneError
                    return
                try:
                    self.response = _response(head)
                except MalformedAnswerError as error:
                    self.problem = str(error)
                    raise CallerGoneError from error
            else:
                self.response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
            self.response.headers.update(self._headers)
            self.response.enable_chunked_encoding()
            await self._to_caller(self.response.prepare(self._request))
        if piece and not self.left:
            await self._to_caller(self.response.write(piece))
        if self.left and self._stops:
            raise CallerGoneError

    def look(self) -> None:
        """See whether the caller is still there; end the function's response where that is wanted."""
        transport = self._request.transport
        if not self.left and (transport is None or transport.is_closing()):
            self.left = True
        if self.left and self._stops and self.stop is not None:
            self.stop()

    async def finish(self, *, whole: bool) -> web.StreamResponse:
        """End the response; one that is not whole ends without its end, so that the caller sees it."""
        if self.response is None:
            raise RuntimeError("no response has begun")
        if whole and not self.left:
            await self._to_caller(self.response.write_eof())
        elif self._request.transport is not None:
            self._request.transport.abort()
        return self.response

    async def _to_caller(self, sending: Any) -> None:
        try:
            await sending
        except ConnectionError:
            self.left = True


def _response(head: bytes) -> web.StreamResponse:
    """Make the response that a prelude describes. Raises MalformedAnswerError."""
    try:
        document = json.loads(head)
        status = int(document.get("statusCode", 200))
        headers = {str(name): str(value) for name, value in (document.get("headers") or {}).items()}
        cookies = [str(cookie) for cookie in document.get("cookies") or []]
    except (ValueError, TypeError, AttributeError) as error:
        raise MalformedAnswerError(f"status and headers are not what they must be: {error}") from error
    if not 200 <= status <= 599:
        raise MalformedAnswerError(f"statusCode {status} is no HTTP status of an answer")
    response = web.StreamResponse(status=status)
    set_headers(response, headers, cookies)
    return response
