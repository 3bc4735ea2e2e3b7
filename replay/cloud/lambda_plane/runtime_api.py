"""The Runtime API (2018-06-01) of one execution environment, on a loopback port of its own.

AWS's runtime client joins ``AWS_LAMBDA_RUNTIME_API`` and the path as host and path, so the port is what tells
environments apart. The server side of a connection carries ``TCP_NODELAY`` and each response leaves in one piece:
otherwise a delayed acknowledgement would cost every warm invocation some 40 ms.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from replay.cloud.lambda_plane.invocation import MAX_SYNC_PAYLOAD_BYTES
from replay.cloud.lambda_plane.response_sink import MAX_STREAMED_BYTES, CallerGoneError, ResponseSink

_PREFIX: Final = "/2018-06-01/runtime/"
_ERROR_TYPE: Final = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY: Final = "Lambda-Runtime-Function-Error-Body"
_RESPONSE_MODE: Final = "Lambda-Runtime-Function-Response-Mode"
_TRAILERS: Final = re.compile(rb"\r\n0\r\n((?:[!-9;-~]+:[^\r\n]*\r\n)+)\r\n$")
_TAIL_BYTES: Final = 16_384
_CLOSE_GRACE_S: Final = 0.5
"""For a handler in the middle of a request; aiohttp takes 0 for no limit at all."""
_FOREVER_S: Final = 10.0 * 365 * 86_400


@dataclass(frozen=True)
class Event:
    """What ``/next`` hands to the runtime."""

    request_id: str
    payload: bytes
    deadline_ms: int
    """Milliseconds since the epoch."""
    invoked_arn: str
    trace_id: str
    client_context: str | None = None
    """JSON."""

    def headers(self) -> dict[str, str]:
        """Give the response headers of ``/next``."""
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.invoked_arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
        }
        if self.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = self.client_context
        return headers


@dataclass(frozen=True)
class Answer:
    """What the runtime posted for one event."""

    payload: bytes
    error_type: str | None = None
    """None where the handler returned."""


class _Connection(RequestHandler):
    """A connection that keeps the last that it received: aiohttp reads the trailers of a body and drops them."""

    tail = b""

    def data_received(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-_TAIL_BYTES:]
        super().data_received(data)


class _Server(web.Server):
    """Makes such connections."""

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class RuntimeApi:
    """Serves one runtime process: one event at a time, and no answer but the one that is due."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.polling = asyncio.Event()
        """Set while the runtime waits in ``/next``: it is initialised and has finished the event before."""
        self.init_error: asyncio.Future[Answer] = loop.create_future()
        self._delivered: asyncio.Future[Event] = loop.create_future()
        self._due: tuple[str, asyncio.Future[Answer]] | None = None
        self._sink: ResponseSink | None = None
        self._stopped: asyncio.Future[Answer] | None = None
        """Of an event whose caller left: answered when the runtime asks for the next."""
        self._site: asyncio.Server | None = None
        self._closed = False
        # A runtime may think for minutes between two requests; nothing but the end of its process ends a connection.
        self._server = _Server(self._handle, keepalive_timeout=_FOREVER_S, access_log=None, handler_cancellation=True)

    async def open(self) -> str:
        """Listen; give the address, ``host:port``."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        # Not serving yet, this call cannot be interrupted between making the server and our holding it.
        loop = asyncio.get_running_loop()
        self._site = await loop.create_server(self._server, sock=listener, start_serving=False)
        host, port = listener.getsockname()
        await self._site.start_serving()
        return f"{host}:{port}"

    async def close(self) -> None:
        """Free the port and drop the connections."""
        self._closed = True
        if self._site is not None:
            self._site.close()
            self._site = None
        self._delivered.cancel()
        self.init_error.cancel()
        await self._server.shutdown(timeout=_CLOSE_GRACE_S)

    def deliver(self, event: Event, sink: ResponseSink | None = None) -> asyncio.Future[Answer]:
        """Hand ``event`` to the runtime, which must be polling; give the future of its answer.

        A streamed response goes to ``sink``, and the answer, then empty, is there when it has ended.
        """
        if not self.polling.is_set() or self._delivered.done():
            raise RuntimeError(f"event {event.request_id} delivered to a runtime that does not wait for one")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._due, self._sink = (event.request_id, answer), sink
        self.polling.clear()
        self._delivered.set_result(event)
        return answer

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._closed:  # sent just before its process was killed
            return _refusal(410, "Gone", "the environment has ended")
        path = request.path.removeprefix(_PREFIX)
        if request.method == "GET" and path == "invocation/next":
            return await self._next()
        if request.method == "POST" and path == "init/error":
            return await self._on_init_error(request)
        parts = path.split("/")
        if (
            request.method == "POST"
            and len(parts) == 3
            and parts[0] == "invocation"
            and parts[2] in ("response", "error")
        ):
            return await self._on_answer(request, parts[1], failed=parts[2] == "error")
        return _refusal(404, "NotFound", f"{request.method} {request.path}")

    async def _next(self) -> web.StreamResponse:
        if self.polling.is_set():
            return _refusal(403, "InvalidStateTransition", "another /next is waiting")
        stopped, self._stopped = self._stopped, None
        if stopped is not None and not stopped.done():
            stopped.set_result(Answer(b""))
        self._delivered = asyncio.get_running_loop().create_future()
        self.polling.set()
        try:
            event = await self._delivered
        except asyncio.CancelledError:
            self.polling.clear()
            raise
        return web.Response(body=event.payload, headers=event.headers())

    async def _on_answer(self, request: web.BaseRequest, request_id: str, *, failed: bool) -> web.StreamResponse:
        streamed = not failed and request.headers.get(_RESPONSE_MODE, "").lower() == "streaming"
        if streamed and self._sink is not None and self._due is not None and self._due[0] == request_id:
            return await self._on_stream(request, self._due[1], self._sink)
        body = await request.content.read()
        if self._due is None or self._due[0] != request_id or self._due[1].done():
            return _refusal(400, "InvalidRequestID", "Invalid request ID")
        _, due = self._due
        self._due = None
        if failed:
            due.set_result(Answer(body, request.headers.get(_ERROR_TYPE) or _error_type(body)))
        elif len(body) > MAX_SYNC_PAYLOAD_BYTES:
            due.set_result(_too_large(len(body)))
            return _refusal(413, "RequestEntityTooLarge", "Response payload too large")
        elif streamed and (error := _error_in_trailers(request)) is not None:
            due.set_result(error)
        else:
            due.set_result(Answer(body))
        return _accepted()

    async def _on_stream(
        self, request: web.BaseRequest, due: asyncio.Future[Answer], sink: ResponseSink
    ) -> web.StreamResponse:
        """Pass a response on piece by piece."""
        self._due = self._sink = None
        transport = request.transport
        size = 0

        def stop() -> None:
            # The runtime's side of it: a connection that breaks in the middle of its response.
            self._stopped = due
            if transport is not None:
                transport.abort()

        sink.begin(request.headers.get("Content-Type", "application/octet-stream"))
        sink.stop = stop
        try:
            async for piece in request.content.iter_any():
                size += len(piece)
                if size > MAX_STREAMED_BYTES:
                    due.set_result(_too_large(size, MAX_STREAMED_BYTES))
                    return _refusal(413, "RequestEntityTooLarge", "Response payload too large")
                await sink.write(piece)
        except CallerGoneError:
            stop()
            return _accepted()  # to nobody
        finally:
            sink.stop = None
        if not due.done():
            due.set_result(_error_in_trailers(request) or Answer(b""))
        return _accepted()

    async def _on_init_error(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        if self._due is not None or self.init_error.done():
            return _refusal(403, "InvalidStateTransition", "the runtime is initialised")
        self.init_error.set_result(Answer(body, request.headers.get(_ERROR_TYPE) or _error_type(body)))
        return _accepted()


def error_payload(error_type: str, message: str, request_id: str | None = None) -> bytes:
    """Give the error document of the platform itself (a crash, a limit), in AWS's shape."""
    document: Mapping[str, Any] = {"errorType": error_type, "errorMessage": message}
    if request_id is not None:
        document = {"errorType": error_type, "errorMessage": f"RequestId: {request_id} Error: {message}"}
    return json.dumps(document).encode()


def _error_type(body: bytes) -> str:
    try:
        found = json.loads(body).get("errorType")
    except (ValueError, AttributeError):
        found = None
    return found if isinstance(found, str) and found else "Runtime.Unknown"


def _error_in_trailers(request: web.BaseRequest) -> Answer | None:
    """Give what a runtime says went wrong in the middle of its response, None where nothing did."""
    match = _TRAILERS.search(request.protocol.tail) if isinstance(request.protocol, _Connection) else None
    if match is None:
        return None
    found: dict[str, str] = {}
    for line in match[1].decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        found[name.strip().lower()] = value.strip()
    error_type = found.get(_ERROR_TYPE.lower())
    if error_type is None:
        return None
    try:
        body = base64.b64decode(found.get(_ERROR_BODY.lower(), ""), validate=True)
    except binascii.Error:
        body = b""
    return Answer(body or error_payload(error_type, "the response broke off"), error_type)


def _too_large(size: int, limit: int = MAX_SYNC_PAYLOAD_BYTES) -> Answer:
    name = "Function.ResponseSizeTooLarge"
    message = f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({limit} bytes)."
    return Answer(error_payload(name, message), name)


def _accepted() -> web.Response:
    return web.json_response({"status": "OK"}, status=202)


def _refusal(status: int, error_type: str, message: str) -> web.Response:
    return web.json_response({"errorMessage": message, "errorType": error_type}, status=status)
