"""The application over real sockets: what comes when, what is refused, and who is told that the caller has left."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.functions.stream.conftest import (
    BROKEN,
    END,
    START,
    USAGE,
    WAIT_S,
    App,
    Bedrock,
    Cut,
    Script,
    delta,
    thought,
)

Start = Callable[..., App]


@pytest.fixture
def model(bedrock: tuple[Bedrock, str]) -> Bedrock:
    return bedrock[0]


def test_each_piece_is_there_before_the_model_gives_the_next(start: Start, model: Bedrock) -> None:
    go_on, finish = threading.Event(), threading.Event()
    model.scripts.append(Script([START, delta("Hello "), go_on, delta("there"), finish, END]))
    stream = start(TIERS=json.dumps({"standard": {"usd_per_million": {"input": 1, "output": 2}}})).ask()
    events = stream.events()
    name, data = next(events)
    assert (stream.status, stream.head().headers["content-type"]) == (200, "text/event-stream")
    assert (name, data) == ("start", {"request_id": "req-1", "model": "us.amazon.nova-lite-v1:0", "tier": "standard"})
    assert next(events) == ("token", {"text": "Hello "})
    go_on.set()
    assert next(events) == ("token", {"text": "there"})
    finish.set()
    name, done = next(events)
    assert name == "done"
    assert next(events, None) is None
    assert done["usage"] == {"input_tokens": 11, "output_tokens": 2, "cache_read_tokens": 0, "cache_write_tokens": 0}
    assert done["cost_usd"] == pytest.approx((11 * 1 + USAGE["outputTokens"] * 2) / 1e6)
    assert done["stop_reason"] == "end_turn"
    assert 0 < done["ttft_ms"] < done["inference_ms"] <= done["total_execution_ms"]
    assert 0 < done["inter_token_p50_ms"] == done["inter_token_max_ms"]


def test_the_record_says_the_same_and_holds_no_prompt(start: Start, model: Bedrock) -> None:
    app = start()
    done = dict(app.ask({"prompt": "a secret"}).events())["done"]
    record = app.record()
    assert {"tailcast": "stream", "request_id": "req-1", "status": "ok", "http_status": 200, "pieces": 2}.items() <= (
        record.items()
    )
    assert (record["function"], record["version"], record["cold"]) == ("tailcast-test", "7", True)
    assert {name: record[name] for name in ("ttft_ms", "inter_token_max_ms", "inference_ms")} == {
        name: done[name] for name in ("ttft_ms", "inter_token_max_ms", "inference_ms")
    }
    assert record["output_tokens"] == 2
    metrics = {metric["Name"] for metric in record["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {"TtftMs", "InterTokenMaxMs", "Disconnects", "TotalMs"} <= metrics
    assert all(word not in json.dumps(record) for word in ("secret", "Hello", "there"))


def test_reasoning_is_told_apart_and_an_empty_answer_is_an_answer(start: Start, model: Bedrock) -> None:
    model.scripts = [Script([START, thought("Hm."), delta("Yes."), END]), Script([START, END])]
    app = start()
    assert [name for name, _ in app.ask().events()] == ["start", "reasoning", "token", "done"]
    names = dict(app.ask().events())
    assert list(names) == ["start", "done"]
    assert names["done"]["ttft_ms"] is None


def test_one_connection_to_the_model_serves_many_answers(start: Start, model: Bedrock) -> None:
    app = start()
    for _ in range(3):
        assert dict(app.ask().events())["done"]["stop_reason"] == "end_turn"
    assert model.connections == 1


def test_a_caller_who_leaves_stops_the_model(start: Start, model: Bedrock) -> None:
    never = threading.Event()
    model.scripts.append(Script([START, delta("Hello "), delta("there"), never, END]))
    app = start()
    stream = app.ask()
    events = stream.events()
    assert [next(events)[0] for _ in range(3)] == ["start", "token", "token"]
    stream.leave()
    assert model.left.wait(WAIT_S)
    record = app.record()
    assert (record["status"], record["error"], record["pieces"]) == ("disconnected", "ClientDisconnected", 2)
    assert record["Disconnects"] == 1
    assert record["output_tokens"] is None
    assert dict(app.ask().events())["done"]["stop_reason"] == "end_turn"


def test_a_caller_who_leaves_before_the_first_token_stops_the_model_too(start: Start, model: Bedrock) -> None:
    model.scripts.append(Script([START, threading.Event(), delta("late"), END]))
    app = start()
    stream = app.ask()
    while not model.requests:
        time.sleep(0.005)
    stream.leave()
    assert model.left.wait(WAIT_S)
    assert (record := app.record())["http_status"] == 499
    assert record["status"] == "disconnected"


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        ((429, "ThrottlingException"), 429, "Throttled"),
        ((500, "InternalServerException"), 502, "UpstreamFailure"),
        ((400, "ValidationException"), 502, "UpstreamFailure"),
    ],
)
def test_what_fails_before_the_first_token_has_a_status(
    start: Start, model: Bedrock, refusal: tuple[int, str], status: int, code: str
) -> None:
    model.scripts = [Script(refusal=refusal)]
    app = start(MODEL_MAX_ATTEMPTS="1")
    stream = app.ask()
    assert stream.status == status
    assert (stream.head().headers.get("retry-after") == "1") == (status == 429)
    assert stream.json()["error"]["code"] == code
    assert (record := app.record())["http_status"] == status
    assert "secret" not in json.dumps(record)


@pytest.mark.parametrize(("step", "code"), [(BROKEN, "UpstreamFailure"), (Cut(), "UpstreamFailure")])
def test_what_fails_after_it_is_an_event_without_internals(start: Start, model: Bedrock, step: Any, code: str) -> None:
    model.scripts = [Script([START, delta("Hello "), step])]
    app = start()
    *_, (name, data) = app.ask().events()
    assert (name, data["code"], data["request_id"]) == ("error", code, "req-1")
    assert "secret" not in json.dumps(data)
    assert (record := app.record())["status"] == "error"
    assert record["pieces"] == 1
    assert "secret" not in json.dumps(record)
    assert dict(app.ask().events())["done"]["stop_reason"] == "end_turn"


def test_the_deadline_ends_what_has_not_begun_with_504_and_what_has_with_an_event(start: Start, model: Bedrock) -> None:
    never = threading.Event()
    model.scripts = [Script([START, never]), Script([START, delta("Hello "), never])]
    app = start(DEADLINE_MARGIN_MS="50")
    assert app.ask(left_s=0.6).status == 504
    assert app.record()["status"] == "timeout"
    *_, (name, data) = app.ask(left_s=3.0).events()
    assert (name, data["code"]) == ("error", "DeadlineExceeded")
    assert (record := app.record())["http_status"] == 200
    assert record["status"] == "timeout"


def test_another_tier_answers_for_one_that_throttles(start: Start, model: Bedrock) -> None:
    tiers = {"standard": {"fallback": "fast"}, "fast": {"model_id": "us.amazon.nova-micro-v1:0"}}
    model.scripts = [Script(refusal=(429, "ThrottlingException"))]
    app = start(TIERS=json.dumps(tiers), MODEL_MAX_ATTEMPTS="1")
    events = dict(app.ask().events())
    assert events["start"] == {"request_id": "req-1", "model": "us.amazon.nova-micro-v1:0", "tier": "fast"}
    assert app.record()["fallback_from"] == "standard"


def test_a_silent_stream_has_a_heartbeat(start: Start, model: Bedrock) -> None:
    go_on = threading.Event()
    model.scripts = [Script([START, delta("Hello "), go_on, END])]
    lines = start(HEARTBEAT_S="0.1").ask().lines()
    assert next(line for line in lines if line.startswith(":")) == ": still here"
    go_on.set()
    assert "event: done" in list(lines)


def test_every_refusal_has_its_status(start: Start, model: Bedrock) -> None:
    app = start(MAX_BODY_BYTES="2048", MAX_PROMPT_CHARS="100")
    for expected, request in (
        (404, {"path": "/genai"}),
        (405, {"method": "GET"}),
        (405, {"method": "BREW"}),
        (415, {"content_type": "text/plain"}),
        (413, {"body": b" " * 100_000}),
        (400, {"body": b"{"}),
        (400, {"body": b""}),
        (400, {"body": {"prompt": "x" * 101}}),
        (400, {"body": {"prompt": "Hi", "max_token": 5}}),
        (400, {"body": {"prompt": "Hi", "tier": "best"}}),
    ):
        stream = app.ask(**request)  # type: ignore[arg-type]
        assert stream.status == expected, request
        assert stream.json()["request_id"] == "req-1"
        assert app.record()["http_status"] == expected
    assert model.requests == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NEARLY = st.fixed_dictionaries(
    {"prompt": st.text(max_size=20) | ANYTHING},
    optional=dict.fromkeys(("system", "tier", "max_tokens", "temperature", "prompt "), ANYTHING),
)


def test_whatever_is_sent_is_the_callers_mistake_or_answered(start: Start, model: Bedrock) -> None:
    app = start()

    @settings(max_examples=80, suppress_health_check=list(HealthCheck))
    @given(body=st.binary(max_size=60) | (ANYTHING | NEARLY).map(lambda value: json.dumps(value).encode()))
    def check(body: bytes) -> None:
        stream = app.ask(body)
        if stream.status == 200:
            assert [name for name, _ in stream.events()][-1] == "done"
        else:
            assert stream.status == 400
            assert set(stream.json()) == {"error", "request_id"}
        assert app.record()["status"] in ("ok", "rejected")

    check()
    assert app.process.poll() is None
