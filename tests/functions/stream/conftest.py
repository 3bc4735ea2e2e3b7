"""The application as a process of its own, against a Bedrock on loopback that streams what a test tells it."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from replay.cloud.bedrock.streaming.frames import event_frame, exception_frame

WAIT_S = 30.0
"""For things that take milliseconds: how long a loaded machine may take."""
CONTEXT = "x-amzn-lambda-context"


def delta(text: str) -> bytes:
    return event_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


def thought(text: str) -> bytes:
    return event_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": text}}})


START = event_frame("messageStart", {"role": "assistant"})
USAGE = {"inputTokens": 11, "outputTokens": 2, "totalTokens": 13}
END = event_frame("messageStop", {"stopReason": "end_turn"}) + event_frame(
    "metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}}
)
BROKEN = exception_frame("modelStreamErrorException", "internal: shard 7 of prompt 'secret'")


class Cut:
    """A step: the connection breaks."""


@dataclass
class Script:
    """What one request is answered with: frames, pauses until an event is set, or a cut."""

    steps: list[Any] = field(default_factory=lambda: [START, delta("Hello "), delta("there"), END])
    refusal: tuple[int, str] | None = None


class Bedrock:
    """Scripts in turn, then the default one; and what was seen."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.connections = 0
        self.left = threading.Event()
        """Set when the other side has closed its connection in the middle of an answer."""
        self.over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Bedrock

    def setup(self) -> None:
        super().setup()
        self.state.connections += 1

    def do_POST(self) -> None:
        self.state.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.state.paths.append(self.path)
        script = self.state.scripts.pop(0) if self.state.scripts else Script()
        if script.refusal is not None:
            status, code = script.refusal
            body = json.dumps({"message": "no: 'secret'"}).encode()
            self.send_response(status)
            self.send_header("x-amzn-errortype", code)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("content-type", "application/vnd.amazon.eventstream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for step in script.steps:
            if isinstance(step, bytes):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(step), step))
            elif isinstance(step, Cut):
                self.close_connection = True
                return
            elif not self._wait(step):
                self.state.left.set()
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def _wait(self, until: threading.Event) -> bool:
        while not until.is_set() and not self.state.over.is_set():
            if select.select([self.connection], [], [], 0.01)[0]:
                return False
        return not self.state.over.is_set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def bedrock() -> Iterator[tuple[Bedrock, str]]:
    state = Bedrock()
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state, f"http://127.0.0.1:{server.server_port}"
    state.over.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@dataclass
class App:
    """A running application."""

    port: int
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def ask(
        self, body: Any = None, method: str = "POST", path: str = "/stream", left_s: float = 60.0, **headers: str
    ) -> Stream:
        raw = body if isinstance(body, bytes) else json.dumps({"prompt": "Hi"} if body is None else body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        context = json.dumps({"request_id": "req-1", "deadline": int((time.time() + left_s) * 1000)})
        sent = {
            CONTEXT: context,
            "content-type": "application/json",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        connection.request(method, path, raw, sent)
        return Stream(connection)

    def record(self) -> dict[str, Any]:
        """Give the record of the oldest request whose record was not asked for yet."""
        end = time.monotonic() + WAIT_S
        while not self.lines and time.monotonic() < end:
            time.sleep(0.005)
        found: dict[str, Any] = json.loads(self.lines.pop(0))
        return found


class Stream:
    """An answer, read piece by piece."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection
        self.answer: http.client.HTTPResponse | None = None

    def head(self) -> http.client.HTTPResponse:
        if self.answer is None:
            self.answer = self.connection.getresponse()
        return self.answer

    @property
    def status(self) -> int:
        return self.head().status

    def lines(self) -> Iterator[str]:
        for line in self.head():
            yield line.decode().rstrip("\n")

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        name = ""
        for line in self.lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.head().read())
        return found

    def leave(self) -> None:
        """Close the connection, answer or no answer."""
        if self.answer is not None:
            self.answer.close()
        if self.connection.sock is not None:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def start(bedrock: tuple[Bedrock, str], project: Path) -> Iterator[Callable[..., App]]:
    started: list[tuple[App, threading.Thread]] = []

    def _start(**settings: str) -> App:
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(project),
            "AWS_ENDPOINT_URL": bedrock[1],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_NAME": "tailcast-test",
            "AWS_LAMBDA_FUNCTION_VERSION": "7",
            "MODEL_ID": "us.amazon.nova-lite-v1:0",
            "VARIANT": "optimized",
            "MAX_TOKENS": "64",
            "AWS_LWA_PORT": str(port),
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "functions.stream"], env=environment, stdout=subprocess.PIPE, text=True, cwd=project
        )
        app = App(port, process)
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: app.lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        started.append((app, reader))
        _until_ready(app)
        return app

    yield _start
    for app, reader in started:
        app.process.kill()
        app.process.wait(WAIT_S)
        reader.join(WAIT_S)
        if app.process.stdout is not None:
            app.process.stdout.close()


def _until_ready(app: App) -> None:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        assert app.process.poll() is None, "the application ended"
        connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=WAIT_S)
        try:
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except ConnectionRefusedError:
            time.sleep(0.02)
        finally:
            connection.close()
    pytest.fail("the application did not start")
