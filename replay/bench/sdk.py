"""One ConverseStream call through boto3, timed byte by byte.

boto3 checks, builds and signs the request and parses the answer. In between, in botocore's ``before-send`` hook, the
request waits for its intended start and goes over a connection of ours. So what boto3 takes to build a request (about
1 ms, more when 50 threads share an interpreter) is measured apart and is part of no latency, and a cold connection is
cold because we opened it.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, EventStreamError

from replay.bench.clients import Endpoint
from replay.bench.transport import ArrivingResponse, Connection, ConnectionPool, Moments
from replay.record.lines import FunctionRecord
from simulator.importers.report_lines import Report

_THROTTLES: Final = ("ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException")
_TIMEOUTS: Final = ("ModelTimeoutException",)
_STREAM_STATUS: Final[Mapping[str, str]] = {
    "throttlingException": "throttled",
    "validationException": "rejected",
    "modelTimeoutException": "timeout",
}


@dataclass
class Outcome:
    """What came of one call: moments in seconds of perf_counter, and what the service said."""

    moments: Moments = field(default_factory=Moments)
    built_s: float | None = None
    """The request was built and signed."""
    called_s: float = 0.0
    reasoning_s: float | None = None
    deltas_s: list[float] = field(default_factory=list)
    """Arrival of each delta of the answer's text."""
    last_s: float | None = None
    """Arrival of the last event."""
    opened: bool = False
    """A connection was opened for it."""
    attempts: int = 1
    status: str = "ok"
    error: str | None = None
    stop_reason: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    server_ms: float | None = None
    cost_usd: float | None = None
    """What the service says that it cost; Bedrock does not, our API does."""
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None
    version: str | None = None
    """Of a function: which version ran ..."""
    report: Report | None = None
    """... what Lambda reported of it ..."""
    record: FunctionRecord | None = None
    """... and what it said itself."""


def send(connection: Connection, request: AWSPreparedRequest, outcome: Outcome) -> ArrivingResponse:
    """Send a request that ``connection`` was prepared for, and wait for the head of its answer.

    Raises
    ------
    OSError, http.client.HTTPException
        The connection broke, or no answer came in time.
    """
    try:
        return connection.send(outcome.moments)
    except (http.client.RemoteDisconnected, BrokenPipeError):
        # An idle connection that the service closed meanwhile. The request did not reach it, so it is sent again
        # on a new one, and told as such.
        if outcome.opened or connection.aborted:
            raise
        outcome.opened, outcome.attempts = True, 2
        connection.close()
        connection.prepare(request)
        return connection.send(outcome.moments)


@dataclass
class _Call:
    """What the hook, deep inside boto3, has to know of the call that it serves; one a thread."""

    connection: Connection
    outcome: Outcome
    wait_until: Callable[[], float]


class ConverseCaller:
    """Makes calls from many threads, each over a connection that it is told.

    Parameters
    ----------
    endpoint
        How to reach Bedrock.
    pool
        Where connections come from.
    """

    def __init__(self, endpoint: Endpoint, pool: ConnectionPool) -> None:
        self._endpoint = endpoint
        self._pool = pool
        self._clients: dict[str, Any] = {}
        self._current = threading.local()

    def prepare(self, region: str) -> None:
        """Make the client of a region; not safe from several threads at once."""
        if region not in self._clients:
            client = self._endpoint.client("bedrock-runtime", region)
            client.meta.events.register("before-send.bedrock-runtime", self._send)
            self._clients[region] = client

    def url(self, region: str) -> str:
        """Give the address of a region that was prepared."""
        return str(self._clients[region].meta.endpoint_url)

    def call(
        self,
        region: str,
        arguments: Mapping[str, Any],
        *,
        fresh: bool,
        keep: bool,
        wait_until: Callable[[], float] = time.perf_counter,
    ) -> Outcome:
        """Call ConverseStream once and read the whole answer; a failure is an outcome, not an exception.

        Parameters
        ----------
        region
            One that was prepared.
        arguments
            Of ConverseStream.
        fresh
            Whether to open a connection for it.
        keep
            Whether the connection may serve others afterwards.
        wait_until
            Called when the request is built; returns at the moment at which it is to leave.
        """
        client = self._clients[region]
        outcome = Outcome(called_s=time.perf_counter())
        connection = self._pool.take(client.meta.endpoint_url, fresh=fresh)
        outcome.opened = not connection.is_open
        self._current.call = _Call(connection, outcome, wait_until)
        try:
            self._read(client.converse_stream(**arguments), outcome)
        except (ClientError, EventStreamError) as error:
            _refused(error, outcome)
        except TimeoutError as error:
            outcome.status, outcome.error = "timeout", f"{type(error).__name__}: no byte in time"
        except Exception as error:  # whatever it is, what was measured is kept
            outcome.status, outcome.error = "error", f"{type(error).__name__}: {Endpoint.explain(error)}"
        finally:
            self._current.call = None
            if outcome.status in ("error", "timeout"):
                # Its answer may still come: whoever used the connection next would read it as his own.
                connection.close()
            self._pool.give(connection, keep=keep)
        return outcome

    def open_connection(self, region: str, model_id: str) -> str | None:
        """Open a connection and use it once, free of charge; give None, or why it could not be.

        The request has no message, so Bedrock refuses it before any model sees it.
        """
        outcome = self.call(region, {"modelId": model_id, "messages": []}, fresh=True, keep=True)
        return None if outcome.moments.headers_s is not None else outcome.error

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        call: _Call | None = getattr(self._current, "call", None)
        if call is None:
            return None  # not ours: botocore sends it itself
        outcome = call.outcome
        call.connection.prepare(request)
        outcome.built_s = time.perf_counter()
        call.wait_until()
        response = send(call.connection, request, outcome)
        outcome.headers = {name.lower(): value for name, value in response.headers.items()}
        outcome.request_id = outcome.headers.get("x-amzn-requestid")
        headers = HTTPHeaders.from_dict(dict(response.headers))
        return AWSResponse(request.url, response.status, headers, _Raw(response))

    def _read(self, answer: Mapping[str, Any], outcome: Outcome) -> None:
        moments = outcome.moments
        stream = answer["stream"]
        try:
            for event in stream:
                outcome.last_s = moments.arrival_s
                if "contentBlockDelta" in event:
                    delta = event["contentBlockDelta"]["delta"]
                    if delta.get("text"):
                        outcome.deltas_s.append(moments.arrival_s)
                    elif "reasoningContent" in delta and outcome.reasoning_s is None:
                        outcome.reasoning_s = moments.arrival_s
                elif "messageStop" in event:
                    outcome.stop_reason = event["messageStop"]["stopReason"]
                elif "metadata" in event:
                    outcome.usage = event["metadata"].get("usage", {})
                    outcome.server_ms = event["metadata"].get("metrics", {}).get("latencyMs")
        finally:
            stream.close()
        if outcome.stop_reason is None:
            outcome.status, outcome.error = "error", "the stream ended before messageStop"


def _refused(error: ClientError, outcome: Outcome) -> None:
    """Note an error that the service sent: before the stream, or as an event in it."""
    found = error.response.get("Error", {})
    code = str(found.get("Code", "unknown"))
    http_status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if isinstance(error, EventStreamError):
        outcome.status = _STREAM_STATUS.get(code, "error")
    elif code in _THROTTLES or http_status == 429:
        outcome.status = "throttled"
    elif code in _TIMEOUTS or http_status == 408:
        outcome.status = "timeout"
    else:
        outcome.status = "rejected" if 400 <= http_status < 500 else "error"
    outcome.error = Endpoint.explain(error)
    outcome.request_id = outcome.request_id or error.response.get("ResponseMetadata", {}).get("RequestId")


class _Raw:
    """The body as :class:`botocore.awsrequest.AWSResponse` wants it."""

    def __init__(self, response: ArrivingResponse) -> None:
        self.stream = response.stream
        self.close = response.close
