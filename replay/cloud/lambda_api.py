"""Lambda's ``Invoke`` and ``InvokeWithResponseStream`` over HTTP: headers in, data plane, headers or events out."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from replay.cloud.bedrock.streaming.frames import CONTENT_TYPE, encode_frame, event_frame
from replay.cloud.http import BodyTooLargeError, aws_error, read_body
from replay.cloud.lambda_plane.invocation import (
    MAX_SYNC_PAYLOAD_BYTES,
    InvalidRequestError,
    Invocation,
    PayloadTooLargeError,
    ThrottledError,
)
from replay.cloud.lambda_plane.plane import LambdaPlane
from replay.cloud.lambda_plane.ports import UnknownFunctionError
from replay.errors import LocalCloudError

INVOKE_PATH: Final = re.compile(r"/2015-03-31/functions/(?P<function>[^/]+)/invocations/?")


STREAM_PATH: Final = re.compile(r"/2021-11-15/functions/(?P<function>[^/]+)/response-streaming-invocations/?")


class InvokeApi:
    """Answers ``POST /2015-03-31/functions/{name}/invocations`` and its streaming sister."""

    def __init__(self, plane: LambdaPlane) -> None:
        self._plane = plane

    async def handle(
        self, request: web.BaseRequest, function: str, sink: EventStreamAnswer | None = None
    ) -> web.StreamResponse:
        """Answer one request for ``function`` (name or ARN, percent-encoded); ``sink`` takes a streamed answer."""
        headers = request.headers
        try:
            payload = await read_body(request, MAX_SYNC_PAYLOAD_BYTES)
            invocation = await self._plane.invoke(
                unquote(function),
                request.rel_url.query.get("Qualifier"),
                payload,
                invocation_type=headers.get("X-Amz-Invocation-Type", "RequestResponse"),
                client_context=headers.get("X-Amz-Client-Context"),
                log_tail=headers.get("X-Amz-Log-Type") == "Tail",
                trace_id=headers.get("X-Amzn-Trace-Id"),
                sink=sink,
            )
        except ThrottledError as error:
            extra = {"Type": "User", "Reason": error.reason}
            return aws_error(429, "TooManyRequestsException", error.message, _id(), extra)
        except UnknownFunctionError as error:
            return aws_error(404, "ResourceNotFoundException", str(error), _id(), {"Type": "User"})
        except PayloadTooLargeError as error:
            return aws_error(413, "RequestTooLargeException", str(error), _id(), {"Type": "User"})
        except BodyTooLargeError:
            answer = aws_error(
                413,
                "RequestTooLargeException",
                f"Request must be smaller than {MAX_SYNC_PAYLOAD_BYTES} bytes for the InvokeFunction operation",
                _id(),
                {"Type": "User"},
            )
            answer.force_close()
            return answer
        except InvalidRequestError as error:
            return aws_error(400, "InvalidRequestContentException", str(error), _id(), {"Type": "User"})
        except LocalCloudError as error:  # the data plane has broken down, and says what to do
            return aws_error(500, "ServiceException", str(error), _id(), {"Type": "Service"})
        return _answer(invocation) if sink is None or invocation.status_code != 200 else await sink.finish(invocation)

    async def stream(self, request: web.BaseRequest, function: str) -> web.StreamResponse:
        """Answer one ``InvokeWithResponseStream``."""
        return await self.handle(request, function, EventStreamAnswer(request))


class EventStreamAnswer:
    """A response as events: ``PayloadChunk`` for each piece, ``InvokeComplete`` at the end.

    Implements :class:`replay.cloud.lambda_plane.response_sink.ResponseSink`. A caller who leaves stops nothing, as on
    AWS.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self.stop: Callable[[], None] | None = None
        self._request = request
        self._response: web.StreamResponse | None = None
        self._content_type = "application/octet-stream"
        self._left = False

    def begin(self, content_type: str) -> None:
        """Take note of what the function says it sends."""
        self._content_type = content_type

    async def write(self, piece: bytes) -> None:
        """Pass a piece on."""
        headers = {":event-type": "PayloadChunk", ":content-type": "application/octet-stream", ":message-type": "event"}
        await self._send(encode_frame(headers, piece))

    async def finish(self, invocation: Invocation) -> web.StreamResponse:
        """End the response; the whole of an answer that was not streamed is its one piece."""
        complete: dict[str, str] = {}
        if invocation.function_error is not None:
            try:
                error = json.loads(invocation.payload)
            except ValueError:
                error = {}
            complete["ErrorCode"] = str(error.get("errorType", invocation.function_error))
            complete["ErrorDetails"] = str(error.get("errorMessage", ""))
        elif invocation.payload:
            await self.write(invocation.payload)
        if invocation.log_tail is not None:
            complete["LogResult"] = invocation.log_tail
        await self._send(event_frame("InvokeComplete", complete), invocation)
        response = self._response or web.Response(status=499)
        if not self._left:
            with suppress(ConnectionError):
                await response.write_eof()
        return response

    async def _send(self, frame: bytes, invocation: Invocation | None = None) -> None:
        if self._left:
            return
        try:
            if self._response is None:
                self._response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
                self._response.headers["X-Amzn-Remapped-Content-Type"] = self._content_type
                if invocation is not None:
                    self._response.headers["x-amzn-RequestId"] = invocation.request_id
                await self._response.prepare(self._request)
            await self._response.write(frame)
        except ConnectionError:
            self._left = True


def _id() -> str:
    return str(uuid.uuid4())


def _answer(invocation: Invocation) -> web.Response:
    headers = {"x-amzn-RequestId": invocation.request_id}
    if invocation.executed_version is not None:
        headers["X-Amz-Executed-Version"] = invocation.executed_version
    if invocation.function_error is not None:
        headers["X-Amz-Function-Error"] = invocation.function_error
    if invocation.log_tail is not None:
        headers["X-Amz-Log-Result"] = invocation.log_tail
    if invocation.status_code == 204:
        return web.Response(status=204, headers=headers)
    return web.Response(
        body=invocation.payload, status=invocation.status_code, headers=headers, content_type="application/json"
    )
