# ruff: noqa: E402  (the collector is off before anything is imported)
"""The application: read a request, ask the model, pass on each piece when it comes, and leave one record.

It answers one request at a time, as Lambda sends them, in the main thread, where a signal can end whatever waits. Each
connection serves one request: with a single thread, one that is kept open would keep the next one waiting.
"""

from __future__ import annotations

import gc

gc.disable()  # until INIT has ended

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any, Final

from functions.common.bedrock import bedrock_client
from functions.common.converse import prompt_cache
from functions.common.deadline import CallExpiredError, call_within
from functions.common.environment import ExecutionEnvironment
from functions.common.errors import (
    DeadlineError,
    DisconnectedError,
    NotFoundError,
    RejectedError,
    ServiceError,
    UpstreamError,
)
from functions.common.fallback import Chains, Trail
from functions.common.http import check_head, failure, read_json, too_large
from functions.common.record import StreamRecord, to_line
from functions.common.request import InferenceRequest, read_request
from functions.common.settings import Settings
from functions.common.stopwatch import Stopwatch
from functions.stream.connection import Connection
from functions.stream.model_stream import ModelStream, Pace, open_stream
from functions.stream.settings import StreamSettings

PATH: Final = "/stream"
READY_PATH: Final = "/ready"
PEER_LIMIT_S: Final = 10.0
"""How long the adapter, on the same machine, may neither send nor take anything before it counts as gone."""
DRAINED_BYTES: Final = 8 * 1024 * 1024
"""What is read of a body that is too long, so that its sender gets to read the answer: above Lambda's 6 MB."""
NO_DEADLINE_S: Final = 60.0
"""For requests that do not come from Lambda."""

SETTINGS = Settings.from_environment(os.environ)
STREAM_SETTINGS = StreamSettings.from_environment(os.environ)
ENVIRONMENT = ExecutionEnvironment(os.environ)
CLIENT = bedrock_client(SETTINGS.model_max_attempts)
CHAINS = Chains(SETTINGS)


@dataclass(frozen=True)
class Invocation:
    """What Lambda says of a request, by the adapter's ``x-amzn-lambda-context``."""

    request_id: str
    deadline_s: float
    """Epoch seconds."""

    @classmethod
    def from_header(cls, value: str | None) -> Invocation:
        """Read the header; without one the request has a deadline of :data:`NO_DEADLINE_S`."""
        try:
            document = json.loads(value or "{}")
            return cls(str(document["request_id"]), float(document["deadline"]) / 1e3)
        except (ValueError, KeyError, TypeError):
            return cls(os.urandom(16).hex(), time.time() + NO_DEADLINE_S)


class Exchange:
    """One request on its way through."""

    def __init__(self, connection: Connection, invocation: Invocation) -> None:
        self.connection = connection
        self.invocation = invocation
        left_s = invocation.deadline_s - time.time() - SETTINGS.deadline_margin_ms / 1e3
        self.end_s = time.monotonic() + left_s
        self.trail = Trail()
        self.pace = Pace()
        self.stream: ModelStream | None = None

    def answer(self, request: InferenceRequest) -> None:
        """Stream the answer to the caller, all but its last event. Raises ServiceErrors."""
        self.trail.tier = request.tier
        watch = self.connection.watch
        self.pace = Pace()
        stopwatch = Stopwatch()
        try:
            self.stream = stream = CHAINS.ask(
                request,
                self.end_s,
                self.trail,
                lambda tier, limit_s: open_stream(request, tier, CLIENT, limit_s, self.pace, watch),
            )
            call_within(self.end_s - time.monotonic(), lambda: self._pass_on(stream), watch)
        except CallExpiredError:
            raise DeadlineError("the model's answer is not complete in time", cause="DeadlineExceeded") from None
        finally:
            self.trail.inference_ms = stopwatch.elapsed_ms()
            if self.stream is not None:
                self.stream.close()
        if stream.usage is not None:
            self.trail.prompt_cache = prompt_cache(request, self.trail.tier, stream.usage)

    def _pass_on(self, stream: ModelStream) -> None:
        tier = self.trail.tier
        self.connection.begin(
            self.invocation.request_id,
            {
                "request_id": self.invocation.request_id,
                "model": tier.model_id if tier else None,
                "tier": tier.name if tier else None,
            },
        )
        piece = stream.first
        while piece is not None:
            self.connection.emit("reasoning" if piece.reasoning else "token", {"text": piece.text})
            piece = stream.next()
            if piece is not None:
                self.pace.count()

    def done(self, total_ms: float) -> dict[str, Any]:
        """Give the data of the last event of an answer that is complete."""
        stream = self.stream
        usage = stream.usage if stream is not None else None
        return {
            "request_id": self.invocation.request_id,
            "stop_reason": stream.stop_reason if stream is not None else None,
            "usage": asdict(usage) if usage is not None else None,
            "cost_usd": self.cost_usd,
            "ttft_ms": self.pace.ttft_ms,
            "inter_token_p50_ms": self.pace.gap_p50_ms,
            "inter_token_max_ms": self.pace.gap_max_ms,
            "inference_ms": self.trail.inference_ms,
            "total_execution_ms": total_ms,
        }

    @property
    def cost_usd(self) -> float | None:
        """What the tokens cost; None where the usage never came, or the model has no price."""
        if self.stream is None or self.stream.usage is None or self.trail.tier is None:
            return None
        cost_usd = self.trail.tier.cost_usd(self.stream.usage)
        return None if cost_usd is None else round(cost_usd, 9)

    def record(self, cold: bool, error: ServiceError | None, total_ms: float) -> StreamRecord:
        """Give the log record."""
        stream, trail, pace = self.stream, self.trail, self.pace
        tier = trail.tier or SETTINGS.tiers[SETTINGS.default_tier]
        # What has been sent cannot be taken back: a stream that breaks off is a 200 to HTTP.
        http_status = 200 if error is None or self.connection.streaming else error.http_status
        return StreamRecord(
            kind="stream",
            request_id=self.invocation.request_id,
            function=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
            variant=SETTINGS.variant,
            model=tier.model_id,
            version=os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
            environment_id=ENVIRONMENT.environment_id,
            cold=cold,
            initialization_type=ENVIRONMENT.initialization_type,
            status="ok" if error is None else error.status,
            http_status=http_status,
            total_ms=total_ms,
            inference_ms=trail.inference_ms,
            model_attempts=stream.model_attempts if stream is not None else None,
            **(asdict(stream.usage) if stream is not None and stream.usage is not None else {}),
            cost_usd=self.cost_usd,
            tier=trail.tier.name if trail.tier else None,
            fallback_from=trail.fallback_from,
            prompt_cache=trail.prompt_cache,
            error=None if error is None else error.cause,
            ttft_ms=pace.ttft_ms,
            inter_token_p50_ms=pace.gap_p50_ms,
            inter_token_max_ms=pace.gap_max_ms,
            pieces=pace.pieces,
        )


class Handler(BaseHTTPRequestHandler):
    """Reads HTTP; the answers go out by :class:`Connection`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = PEER_LIMIT_S

    def handle(self) -> None:
        """Answer one request, then let the connection go."""
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            return
        if self.command == "GET" and self.path == READY_PATH:
            Connection(self.connection, STREAM_SETTINGS.heartbeat_s).answer(200, {}, b"")
        else:
            self.serve()

    def serve(self) -> None:
        """Answer one request of Lambda's, whatever becomes of it, and leave its record."""
        total = Stopwatch()
        cold = ENVIRONMENT.serve()
        connection = Connection(self.connection, STREAM_SETTINGS.heartbeat_s)
        exchange = Exchange(connection, Invocation.from_header(self.headers.get("x-amzn-lambda-context")))
        error: ServiceError | None = None
        try:
            exchange.answer(self.read())
        except ServiceError as refused:
            error = refused
        except Exception as unforeseen:
            error = UpstreamError("the model call failed", cause=type(unforeseen).__name__)
        total_ms = total.elapsed_ms()
        try:
            if error is None:
                connection.emit("done", exchange.done(total_ms))
            elif connection.streaming and not isinstance(error, DisconnectedError):
                told = {"code": error.code, "message": str(error), "request_id": exchange.invocation.request_id}
                connection.emit("error", told)
        except DisconnectedError as gone:
            error = error or gone
        # Before the answer ends: once it has, Lambda may freeze this process at any moment.
        sys.stdout.write(to_line(exchange.record(cold, error, total_ms), int(time.time() * 1000)) + "\n")
        sys.stdout.flush()
        with suppress(DisconnectedError):
            if connection.streaming:
                connection.end()
            elif error is not None and not isinstance(error, DisconnectedError):
                refusal = failure(error, exchange.invocation.request_id)
                connection.answer(refusal["statusCode"], refusal["headers"], refusal["body"].encode("utf-8", "replace"))

    def read(self) -> InferenceRequest:
        """Read and validate the request. Raises RejectedError."""
        if self.path.partition("?")[0] != PATH:
            raise NotFoundError(f"nothing answers here; POST to {PATH}")
        check_head(self.command, self.headers.get("content-type", ""))
        raw = self.headers.get("content-length", "0")
        if not raw.isdecimal():
            raise RejectedError("content-length is not a number")
        length = int(raw)
        if length > SETTINGS.max_body_bytes:
            self.drain(min(length, DRAINED_BYTES))
            raise too_large(SETTINGS.max_body_bytes)
        try:
            body = self.rfile.read(length)
        except OSError:
            raise DisconnectedError("the caller has left") from None
        if len(body) < length:
            raise DisconnectedError("the caller has left")
        return read_request(read_json(body, SETTINGS.max_body_bytes), SETTINGS)

    def drain(self, size: int) -> None:
        """Read and forget ``size`` bytes."""
        while size > 0:
            try:
                got = len(self.rfile.read(min(size, 65_536)))
            except OSError:
                return
            if not got:
                return
            size -= got

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Write no access log: the record says it all, and a path may hold what a caller sent."""


def main() -> None:
    """Listen: INIT has ended."""
    TCPServer.allow_reuse_address = True
    server = TCPServer(("127.0.0.1", STREAM_SETTINGS.port), Handler)
    gc.freeze()
    gc.enable()
    server.serve_forever(poll_interval=3_600)
