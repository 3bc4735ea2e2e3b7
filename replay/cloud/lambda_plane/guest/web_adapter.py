# ruff: noqa: E402  (what follows is the adapter alone: it must not keep the application waiting)
"""A stand-in for Lambda Web Adapter: passes requests from the Runtime API to an HTTP application, and answers back.

Started as ``python … web_adapter.py HANDLER``. The process becomes the application, ``$LAMBDA_TASK_ROOT/HANDLER``, as
it does on AWS, where the layer's ``/opt/bootstrap`` starts it in the place of the runtime; a fork of it is the adapter.
Either ends with the other: the environment's process group is one.

The names and manners are those of Lambda Web Adapter 1.0 (its guide, "Environment Variables", "Readiness Check",
"Request & Lambda Context"): ``AWS_LWA_PORT`` (``PORT``), ``AWS_LWA_READINESS_CHECK_PATH``, ``_PORT``, ``_PROTOCOL``,
``AWS_LWA_INVOKE_MODE``, ``AWS_LWA_PASS_THROUGH_PATH``. What it leaves out: compression, base paths, renamed
authorization headers, statuses that count as errors, SnapStart.

One thing differs: environments share this machine's ports, so each gets a port of its own, whatever it asks for.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys

APPLICATION = os.getpid()
"""The process that becomes the application; the adapter is its child."""
_PORTS = range(20_000, 32_000)
"""Below those that systems give to outgoing connections: one of these could take a port before the application does."""


_CLAIMS = f"/tmp/tailcast-ports-{os.getuid()}"  # noqa: S108  (one place for all clouds of this user; it holds locks alone)


def free_port() -> int:
    """Give a port that nobody listens on, and that no other adapter is given while this process lives.

    The application listens some time later; two that were given one port would answer each other's requests.
    """
    os.makedirs(_CLAIMS, 0o700, exist_ok=True)  # noqa: PTH103  (importing pathlib takes longer)
    if os.lstat(_CLAIMS).st_uid != os.getuid():
        raise SystemExit(f"{_CLAIMS}: belongs to another user; remove it")
    while True:
        port = _PORTS[int.from_bytes(os.urandom(4), "big") % len(_PORTS)]
        claim = os.open(f"{_CLAIMS}/{port}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            # Kept open on purpose; an application that this process becomes does not inherit it, the adapter does.
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(claim)
            continue
        return port


def become_application(handler: str) -> int:
    """Become the application; give its port in a fork of this process, which is the adapter."""
    program = os.path.join(os.environ["LAMBDA_TASK_ROOT"], handler)  # noqa: PTH118  (importing pathlib takes longer)
    port = free_port()
    os.environ["AWS_LWA_PORT"] = os.environ["PORT"] = str(port)
    if os.fork() == 0:
        return port
    try:
        os.execve(program, [program], dict(os.environ))  # noqa: S606  (no shell is the point)
    except OSError as error:
        sys.stderr.write(f"{program}: {error.strerror}; the handler must be an executable file of the package\n")
        sys.stderr.flush()
        os._exit(126)


PORT = become_application(sys.argv[1]) if __name__ == "__main__" else 0

# From here on this is the adapter: what it imports does not keep the application waiting.
import base64
import contextlib
import http.client
import json
import select
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

_READY_EVERY_S = 0.01
_APP_ENDS_WITHIN_S = 0.5
"""How long an application may take to see that its connection is half closed, and to end; then it is closed."""
_APP_ENDED_WITHIN_S = 0.2
"""Between the end of a process's connections and its own."""
_PIECE_BYTES = 65_536
_HTTP_CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
_PRELUDE_END = b"\0" * 8
_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
_PREFIX = "/2018-06-01/runtime/invocation"


class AppError(Exception):
    """The application did not answer, or broke off."""


class CallerGoneError(Exception):
    """The Runtime API has closed the connection in the middle of a response."""


class Adapter:
    """Polls the Runtime API and passes on what it gives."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._api = os.environ["AWS_LAMBDA_RUNTIME_API"]
        self._streams = os.environ.get("AWS_LWA_INVOKE_MODE", "buffered").lower() == "response_stream"
        self._pass_through = os.environ.get("AWS_LWA_PASS_THROUGH_PATH", "/events")
        self._runtime: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Wait for the application, then serve for good."""
        self._wait_until_ready()
        while True:
            request_id, context, event = self._next()
            try:
                self._pass_on(request_id, context, event)
            except CallerGoneError:
                self._forget_runtime()
            except (AppError, OSError, http.client.HTTPException) as error:
                self._post_error(request_id, error)

    def _wait_until_ready(self) -> None:
        environment = os.environ
        path = environment.get("AWS_LWA_READINESS_CHECK_PATH", "/")
        by_connecting = environment.get("AWS_LWA_READINESS_CHECK_PROTOCOL", "http").lower() == "tcp"
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port)
            try:
                connection.connect()
                if by_connecting:
                    return
                connection.request("GET", path)
                if connection.getresponse().status < 500:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(_READY_EVERY_S)

    def _next(self) -> tuple[str, dict[str, Any], dict[str, Any]]:
        answer = self._ask("GET", f"{_PREFIX}/next")
        body = answer.read()
        headers = answer.headers
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        # The fields of the Rust runtime's Context, which the adapter is built on.
        context = {
            "request_id": request_id,
            "deadline": int(headers["Lambda-Runtime-Deadline-Ms"]),
            "invoked_function_arn": headers["Lambda-Runtime-Invoked-Function-Arn"],
            "xray_trace_id": headers.get("Lambda-Runtime-Trace-Id"),
            "client_context": None,
            "identity": None,
            "env_config": {
                "function_name": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
                "memory": int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")),
                "version": os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
                "log_stream": os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
                "log_group": os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
            },
        }
        event = json.loads(body)
        return request_id, context, event if isinstance(event, dict) else {"event": event}

    def _pass_on(self, request_id: str, context: dict[str, Any], event: dict[str, Any]) -> None:
        app = http.client.HTTPConnection("127.0.0.1", self._port)
        try:
            try:
                self._send_to_app(app, context, event)
                peer = app.sock  # a response that closes its connection takes this away
                answer = app.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise _broken("did not answer", error) from error
            with contextlib.closing(answer):
                if self._streams:
                    self._stream_back(request_id, peer, answer)
                else:
                    self._answer_back(request_id, answer)
        finally:
            app.close()

    def _send_to_app(self, app: http.client.HTTPConnection, context: dict[str, Any], event: dict[str, Any]) -> None:
        request = event.get("requestContext", {}).get("http")
        if request is None:
            method, target, headers, body = "POST", self._pass_through, {}, json.dumps(event).encode()
            headers["content-type"] = "application/json"
        else:
            method = request["method"]
            target = quote(event.get("rawPath", "/"), safe="/%:@!$&'()*+,;=~") or "/"
            if event.get("rawQueryString"):
                target += f"?{event['rawQueryString']}"
            headers = {name: str(value) for name, value in (event.get("headers") or {}).items()}
            if event.get("cookies"):
                headers["cookie"] = "; ".join(event["cookies"])
            raw = event.get("body") or ""
            body = base64.b64decode(raw) if event.get("isBase64Encoded") else raw.encode()
        for name in ("content-length", "transfer-encoding", "connection"):
            headers.pop(name, None)
        headers["x-amzn-request-context"] = json.dumps(event.get("requestContext") or {})
        headers["x-amzn-lambda-context"] = json.dumps(context)
        app.putrequest(method, target, skip_host="host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            app.putheader(name, value.encode("utf-8", "replace"))
        if body or method in ("POST", "PUT", "PATCH"):
            app.putheader("content-length", str(len(body)))
        app.endheaders(body)

    def _stream_back(self, request_id: str, app: socket.socket, answer: http.client.HTTPResponse) -> None:
        runtime = self._connected()
        runtime.putrequest("POST", f"{_PREFIX}/{request_id}/response")
        for name, value in (
            ("Content-Type", _HTTP_CONTENT_TYPE),
            ("Lambda-Runtime-Function-Response-Mode", "streaming"),
            ("Transfer-Encoding", "chunked"),
            ("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"),
        ):
            runtime.putheader(name, value)
        prelude = json.dumps({"statusCode": answer.status, **_headers(answer)}).encode() + _PRELUDE_END
        pieces = _pieces(answer)
        trailers = b""
        try:
            first = next(pieces, b"")
        except AppError as error:
            first, trailers = b"", _trailers(error)
        try:
            # Status and headers leave with the first piece, in one packet.
            runtime.endheaders(_chunk(prelude) + (_chunk(first) if first else b""))
        except OSError as error:
            _end(app)
            raise CallerGoneError from error
        with self._ending_app_with(runtime, app) as gone:
            try:
                for piece in () if trailers else pieces:
                    runtime.send(_chunk(piece))
            except AppError as error:
                trailers = _trailers(error)
            if gone.is_set():
                raise CallerGoneError
            runtime.send(b"0\r\n" + trailers + b"\r\n")
            try:
                runtime.getresponse().read()
            except (OSError, http.client.HTTPException) as error:
                raise CallerGoneError from error

    @contextlib.contextmanager
    def _ending_app_with(self, runtime: http.client.HTTPConnection, app: socket.socket) -> Iterator[threading.Event]:
        """While a response goes out, watch whether the Runtime API hangs up; then the application's connection ends."""
        peer = runtime.sock
        gone = threading.Event()
        done_in, done_out = os.pipe()

        def watch() -> None:
            poll = select.poll()
            poll.register(peer, select.POLLIN)
            poll.register(done_in, select.POLLIN)
            if any(descriptor == done_in for descriptor, _ in poll.poll()):
                return
            try:
                # Without waiting: the main thread may have read meanwhile what was there.
                if peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    return  # the answer to the response, or to the part of it that was enough
            except BlockingIOError:
                return
            except OSError:  # reset
                pass
            gone.set()
            _end(app)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield gone
        except OSError as error:
            _end(app)
            raise CallerGoneError from error
        finally:
            os.write(done_out, b".")
            watcher.join()
            os.close(done_in)
            os.close(done_out)

    def _answer_back(self, request_id: str, answer: http.client.HTTPResponse) -> None:
        body = b"".join(_pieces(answer))
        content_type = answer.headers.get("content-type", "")
        text: str | None = None
        if content_type.startswith(_TEXT_TYPES) and "content-encoding" not in answer.headers:
            with contextlib.suppress(UnicodeDecodeError):
                text = body.decode()
        document = {
            "statusCode": answer.status,
            **_headers(answer),
            "body": base64.b64encode(body).decode() if text is None else text,
            "isBase64Encoded": text is None,
        }
        self._ask("POST", f"{_PREFIX}/{request_id}/response", json.dumps(document).encode()).read()

    def _post_error(self, request_id: str, error: Exception) -> None:
        kind = "WebAdapter.AppError"
        body = json.dumps({"errorType": kind, "errorMessage": str(error) or type(error).__name__}).encode()
        path = f"{_PREFIX}/{request_id}/error"
        self._ask("POST", path, body, {"Lambda-Runtime-Function-Error-Type": kind}).read()

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        runtime = self._connected()
        runtime.request(method, path, body, headers or {})
        return runtime.getresponse()

    def _connected(self) -> http.client.HTTPConnection:
        if self._runtime is None:
            self._runtime = http.client.HTTPConnection(self._api)
            self._runtime.connect()
            self._runtime.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._runtime

    def _forget_runtime(self) -> None:
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None


def _broken(how: str, error: Exception) -> AppError:
    """Make the error of an application that fails; where its process has ended, that is what Lambda reports."""
    time.sleep(_APP_ENDED_WITHIN_S)
    if os.getppid() != APPLICATION:
        os._exit(0)
    return AppError(f"the application {how}: {type(error).__name__}")


def _headers(answer: http.client.HTTPResponse) -> dict[str, Any]:
    """Give headers and cookies as both answers to Lambda have them."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in answer.headers.items():
        lower = name.lower()
        if lower == "set-cookie":
            cookies.append(value)
        elif lower != "transfer-encoding":
            headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
    return {"headers": headers, "cookies": cookies}


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Give a body as it comes. Raises AppError where it breaks off."""
    try:
        while piece := answer.read1(_PIECE_BYTES):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise _broken("broke off", error) from error
    if answer.length:  # by its content-length there is more
        raise _broken("broke off", EOFError())


def _end(app: socket.socket) -> None:
    """Tell an application to stop: one that looks sees the end, and is waited for; any other cannot write any more."""
    with contextlib.suppress(OSError):
        app.shutdown(socket.SHUT_WR)
        poll = select.poll()
        poll.register(app, select.POLLRDHUP)
        poll.poll(_APP_ENDS_WITHIN_S * 1000)
        app.shutdown(socket.SHUT_RD)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _trailers(error: Exception) -> bytes:
    kind = "WebAdapter.AppError"
    body = base64.b64encode(json.dumps({"errorType": kind, "errorMessage": str(error)}).encode())
    return b"Lambda-Runtime-Function-Error-Type: %s\r\nLambda-Runtime-Function-Error-Body: %s\r\n" % (
        kind.encode(),
        body,
    )


def main(port: int) -> None:
    """Be the adapter until the environment ends; an end of one's own ends it."""
    try:
        Adapter(port).run()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(PORT)
