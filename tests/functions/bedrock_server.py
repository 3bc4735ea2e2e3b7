"""A Bedrock runtime on loopback that does what a test tells it: the real wire, under the real SDK."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER: Mapping[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "The answer "}, {"text": "is 42."}]}},
    "stopReason": "end_turn",
    "usage": {
        "inputTokens": 11,
        "outputTokens": 7,
        "totalTokens": 18,
        "cacheReadInputTokens": 5,
        "cacheWriteInputTokens": 3,
    },
    "metrics": {"latencyMs": 12},
}


@dataclass
class Reply:
    """What to answer."""

    status: int = 200
    body: Mapping[str, Any] = field(default_factory=lambda: ANSWER)
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_before_headers: bool = False
    hang_in_body: bool = False
    drop: bool = False
    """Close the connection without a word."""
    raw: bytes | None = None
    """What to send in place of ``body``, whatever it is."""
    cut: bool = False
    """Promise ten bytes more than are sent, and close."""
    reset: bool = False
    """Send half of the headers, and reset the connection."""
    drip_s: float = 0.0
    """Pause after each byte of the body."""


def refusal(status: int, code: str, message: str, **headers: str) -> Reply:
    """Give an error as Bedrock writes it."""
    return Reply(
        status,
        {"message": message},
        {"x-amzn-errortype": code, **{k.replace("_", "-"): v for k, v in headers.items()}},
    )


class FakeBedrock:
    """Answers with ``replies`` in turn, then with the default; keeps what it was asked."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.table: dict[str, Any] = {}
        """What DynamoDB holds, by key; both services answer at one address, as on the local cloud."""
        self.table_replies: list[Reply] = []
        """What DynamoDB answers instead of doing as it is told."""
        self.table_calls: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.connections = 0
        self.released = threading.Event()
        """Set at the end, so that no thread hangs on."""

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if self.replies else Reply()

    def serve_table(self, action: str, request: dict[str, Any]) -> Reply:
        """Do ``GetItem`` and ``PutItem``."""
        self.table_calls.append(action)
        if self.table_replies:
            return self.table_replies.pop(0)
        if action == "PutItem":
            self.table[request["Item"]["key"]["S"]] = request["Item"]
            return Reply(body={})
        item = self.table.get(request["Key"]["key"]["S"])
        return Reply(body={} if item is None else {"Item": item})


@contextmanager
def serving() -> Iterator[tuple[FakeBedrock, str]]:
    """Run a server; give it and its address."""
    state = FakeBedrock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            state.connections += 1

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if target := self.headers.get("X-Amz-Target"):
                reply = state.serve_table(target.partition(".")[2], request)
            else:
                state.paths.append(self.path)
                state.requests.append(request)
                reply = state.next_reply()
            if reply.drop:
                self.close_connection = True
                return
            if reply.hang_before_headers:
                state.released.wait(30)
                self.close_connection = True
                return
            if reply.reset:
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
                self.wfile.flush()
                # With no time to linger, closing sends RST.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            body = json.dumps(reply.body).encode() if reply.raw is None else reply.raw
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body) + (10 if reply.cut else 0)))
            self.end_headers()
            if reply.hang_in_body:
                self.wfile.write(body[:10])
                self.wfile.flush()
                state.released.wait(30)
                self.close_connection = True
                return
            if reply.drip_s:
                for byte in body:
                    if state.released.wait(reply.drip_s):
                        break
                    with suppress(OSError):
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(body)
            self.close_connection |= reply.cut

        def finish(self) -> None:
            with suppress(OSError):  # a connection that was reset
                super().finish()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep quiet."""

        log: Callable[..., None] = log_message

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state, f"http://127.0.0.1:{server.server_port}"
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
