"""Deployed APIs, streams and aliases as targets: what counts as a token, and what a failure says."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replay.bench.benchmark import Benchmark, run_benchmark
from replay.bench.calls import LiveCaller, Request
from replay.bench.clients import Endpoint
from replay.bench.plan import Load
from replay.bench.records import Run, write_run
from replay.bench.server_events import EventReader
from replay.bench.targets import Target
from tests.replay.bench.test_benchmark import SHORT

START = b'event: start\ndata: {"request_id":"r-1"}\n\n'
TOKEN = b'event: token\ndata: {"text":"yes "}\n\n'
REASONING = b'event: reasoning\ndata: {"text":"hm"}\n\n'
DONE = (
    b'event: done\ndata: {"stop_reason":"end_turn","usage":{"input_tokens":20,"output_tokens":2,'
    b'"cache_read_tokens":0,"cache_write_tokens":0},"total_execution_ms":12.5}\n\n'
)
HEARTBEAT = b": still here\n\n"


class Api(http.server.ThreadingHTTPServer):
    """Answers every POST alike, and keeps what it was sent."""

    daemon_threads = True
    hangs_up = False
    """Ends the connection after each answer, and does not say so."""

    def __init__(self, status: int, content_type: str, pieces: list[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.status, self.content_type, self.pieces = status, content_type, pieces
        self.asked: list[tuple[dict[str, str], dict[str, object]]] = []
        self.hung_up = threading.Event()

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.hung_up.set()


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("Content-Type", self.server.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("x-request-id", "r-1")
        self.end_headers()
        for piece in self.server.pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = self.server.hangs_up

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., Api]]:
    running: list[tuple[Api, threading.Thread]] = []

    def start(*pieces: bytes, status: int = 200, content_type: str = "application/json") -> Api:
        api = Api(status, content_type, list(pieces))
        thread = threading.Thread(target=api.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        running.append((api, thread))
        return api

    yield start
    for api, thread in running:
        api.shutdown()
        api.server_close()
        thread.join(5)


def measure(api: Api, *, requests: int = 4, **endpoint: object) -> Run:
    return run_benchmark(
        Benchmark(
            targets=(Target(f"http://127.0.0.1:{api.server_address[1]}/genai", "us-east-1", "api"),),
            arms=(replace(SHORT, output_tokens=7),),
            loads=(Load(concurrency=2),),
            requests=requests,
            endpoint=Endpoint(read_timeout_s=20, **endpoint),  # type: ignore[arg-type]
        )
    )


def test_a_deployed_api_is_measured_like_a_model(serve: Callable[..., Api]) -> None:
    api = serve(
        b'{"response": "yes", "usage": {"input_tokens": 15, "output_tokens": 7}, "cost_usd": 2e-6,',
        b'"total_execution_ms": 3.5}',
    )
    run = measure(api, api_headers={"x-api-key": "tc_secret"})
    assert {(m.status, m.input_tokens, m.output_tokens, m.request_id) for m in run.measured()} == {("ok", 15, 7, "r-1")}
    assert {(m.cost_usd, m.server_ms) for m in run.measured()} == {(2e-6, 3.5)}
    headers, body = api.asked[-1]
    assert headers["x-api-key"] == "tc_secret"
    assert headers["cache-control"] == "no-store"
    assert body["max_tokens"] == 7
    assert len({str(asked["prompt"]) for _, asked in api.asked}) == len(api.asked)  # no cache answers for the model
    assert "tc_secret" not in repr(run)


def test_a_streams_first_token_is_no_heartbeat(serve: Callable[..., Api]) -> None:
    api = serve(HEARTBEAT, START, REASONING, TOKEN, TOKEN, DONE, content_type="text/event-stream; charset=utf-8")
    for m in measure(api).measured():
        assert (m.status, m.output_tokens, m.stop_reason, m.server_ms) == ("ok", 2, "end_turn", 12.5)
        assert len(m.inter_token_ms) == 1
        assert m.reasoning_ttft_ms is not None
        assert m.ttft_ms is not None
        assert m.total_ms is not None
        assert m.reasoning_ttft_ms <= m.ttft_ms <= m.total_ms


@pytest.mark.parametrize(
    ("pieces", "status", "why"),
    [
        ((START, TOKEN), "error", "the stream ended before its done event"),
        (
            (START, TOKEN, b'event: error\ndata: {"code":"Throttled","message":"no capacity"}\n\n'),
            "throttled",
            "no capacity",
        ),
        ((b'event: error\ndata: {"code":"DeadlineExceeded","message":"too late"}\n\n',), "timeout", "too late"),
    ],
)
def test_a_stream_that_breaks_off_is_no_answer(
    serve: Callable[..., Api], pieces: tuple[bytes, ...], status: str, why: str
) -> None:
    run = measure(serve(*pieces, content_type="text/event-stream"))
    assert {(m.status, m.error) for m in run.measured()} == {(status, why)}


@pytest.mark.parametrize(
    ("status", "body", "found", "why"),
    [
        (
            400,
            {"error": {"code": "BadRequest", "message": "field 'prompt' is\nempty"}},
            "rejected",
            "field 'prompt' is empty",
        ),
        (401, {"message": "Unauthorized"}, "rejected", "Unauthorized"),
        (429, {"message": "Too Many Requests"}, "throttled", "Too Many Requests"),
        (502, {}, "error", ""),
        (504, {"message": "late"}, "timeout", "late"),
    ],
)
def test_a_refusal_says_why(
    serve: Callable[..., Api], status: int, body: dict[str, object], found: str, why: str
) -> None:
    run = measure(serve(json.dumps(body).encode(), status=status))
    assert {(m.status, m.error) for m in run.measured()} == {(found, f"HTTP {status}" + (f": {why}" if why else ""))}


def test_an_idle_connection_that_the_api_closed_is_no_failure_of_its(serve: Callable[..., Api]) -> None:
    api = serve(b'{"response": "yes"}')
    api.hangs_up = True
    target = Target(f"http://127.0.0.1:{api.server_address[1]}/genai", "us-east-1")
    caller = LiveCaller(Endpoint(read_timeout_s=20))
    caller.prepare(target)
    found = []
    for key in ("one", "two"):
        outcome = caller.call(Request(target, SHORT, key), time.perf_counter)
        found.append((outcome.status, outcome.attempts))
        assert api.hung_up.wait(10)
    caller.close()
    assert found == [("ok", 1), ("ok", 2)]


@pytest.mark.parametrize(
    "said",
    [
        {"cost_usd": "0.1", "total_execution_ms": 4},
        {"cost_usd": 10**400, "total_execution_ms": "fast"},
        {"usage": {"input_tokens": 1.5, "output_tokens": 10**30}, "stop_reason": 5},
        {"usage": {"input_tokens": [1], "output_tokens": "7"}},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_figures_of_another_kind_are_left_out_and_the_rest_kept(
    serve: Callable[..., Api], tmp_path: Path, said: dict[str, object], *, stream: bool
) -> None:
    body = json.dumps(said).encode()
    if stream:
        api = serve(TOKEN, b"event: done\ndata: " + body + b"\n\n", content_type="text/event-stream")
    else:
        api = serve(body)
    run = measure(api)
    write_run(run, tmp_path)
    assert {(m.status, m.input_tokens, m.output_tokens, m.cost_usd) for m in run.measured()} == {
        ("ok", None, None, None)
    }
    assert all(m.ttft_ms is not None for m in run.measured())


def test_events_are_read_however_the_network_cuts_them() -> None:
    whole = HEARTBEAT + START + TOKEN.replace(b"\n", b"\r\n") + REASONING + TOKEN + DONE
    for size in (1, 7, 1000):
        reader = EventReader()
        for start in range(0, len(whole), size):
            reader.feed(whole[start : start + size], float(start))
        assert len(reader.deltas_s) == 2
        assert reader.reasoning_s is not None
        assert reader.done is not None
        assert reader.done["usage"]["output_tokens"] == 2
    plain = EventReader()
    plain.feed(b"data: hello\n\ndata: a\ndata: b\n\n", 1.0)
    assert plain.deltas_s == [1.0, 1.0]
