"""POST /genai, from event to answer, over the real SDK and a real connection."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.common.errors import ConfigurationError, RejectedError
from functions.common.http import read_body
from tests.functions.bedrock_server import FakeBedrock, Reply, refusal
from tests.functions.conftest import Context, Outcome

Load = Callable[..., ModuleType]
Call = Callable[..., Outcome]

PROMPT = "What is six times seven? ☃"


def http_event(body: object, **extra: Any) -> dict[str, Any]:
    """Give a payload-2.0 event."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"version": "2.0", "routeKey": "POST /genai", "requestContext": {}, "body": text, **extra}


def test_a_prompt_is_answered_with_the_models_text_usage_and_time(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    outcome = call(load(), http_event({"prompt": PROMPT}))

    assert outcome.status == 200
    assert outcome.answer["headers"]["x-request-id"] == "req-1"
    total_ms = outcome.body.pop("total_execution_ms")
    assert outcome.body.pop("inference_ms") == outcome.record["inference_ms"]
    assert outcome.body == {
        "response": "The answer is 42.",
        "model": "us.amazon.nova-lite-v1:0",
        "tier": "standard",
        "cost_usd": None,
        "cached": False,
        "usage": {"input_tokens": 11, "output_tokens": 7, "cache_read_tokens": 5, "cache_write_tokens": 3},
        "request_id": "req-1",
    }
    assert total_ms == outcome.record["total_ms"] >= outcome.record["inference_ms"] > 0
    assert bedrock.requests == [
        {
            "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
            "inferenceConfig": {"maxTokens": 64, "temperature": 0.2},
        }
    ]
    assert bedrock.paths == ["/model/us.amazon.nova-lite-v1%3A0/converse"]


def test_the_record_holds_every_agreed_field(load: Load, call: Call) -> None:
    record = call(load(), http_event({"prompt": PROMPT})).record

    metrics = record.pop("_aws")["CloudWatchMetrics"]
    assert metrics[0]["Namespace"] == "tailcast"
    assert metrics[0]["Dimensions"] == [["function", "version", "variant"], ["function", "version"]]
    names = [metric["Name"] for metric in metrics[0]["Metrics"]]
    assert names == [
        *("TotalMs", "InferenceMs", "Errors", "Throttles", "Timeouts", "InputTokens", "OutputTokens", "Fallbacks")
    ]
    assert [record.pop(name) for name in names[2:]] == [0, 0, 0, 11, 7, 0]
    assert record.pop("InferenceMs") == record.pop("inference_ms")
    assert record.pop("TotalMs") == record.pop("total_ms")
    assert record == {
        "tailcast": "inference",
        "request_id": "req-1",
        "function": "tailcast-test",
        "variant": "optimized",
        "model": "us.amazon.nova-lite-v1:0",
        "version": "7",
        "environment_id": "2026/11/21/[7]abc",
        "cold": True,
        "initialization_type": "on-demand",
        "status": "ok",
        "http_status": 200,
        "model_attempts": 1,
        "input_tokens": 11,
        "output_tokens": 7,
        "cache_read_tokens": 5,
        "cache_write_tokens": 3,
        "cost_usd": None,
        "tier": "standard",
        "fallback_from": None,
        "response_cache": None,
        "key_rate": None,
        "prompt_cache": None,
        "error": None,
    }


def test_only_the_first_request_of_an_environment_is_cold(load: Load, call: Call) -> None:
    module = load()
    assert [call(module, {"prompt": "a"}).record["cold"] for _ in range(3)] == [True, False, False]


def test_an_environment_started_ahead_is_never_cold(load: Load, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")
    record = call(load(), {"prompt": "a"}).record
    assert (record["cold"], record["initialization_type"]) == (False, "provisioned-concurrency")


def test_one_connection_serves_many_requests(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    module = load()
    for _ in range(5):
        assert call(module, {"prompt": "a"}).status == 200
    assert bedrock.connections == 1


def test_settings_reach_the_model(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    module = load(SYSTEM_PROMPT="Be brief.", MAX_TOKENS="9", TEMPERATURE=None)
    call(module, {"prompt": "a"})
    assert bedrock.requests[0]["system"] == [{"text": "Be brief."}]
    assert bedrock.requests[0]["inferenceConfig"] == {"maxTokens": 9}


def test_a_direct_invocation_and_base64_are_understood(load: Load, call: Call) -> None:
    module = load()
    encoded = base64.b64encode(json.dumps({"prompt": PROMPT}).encode()).decode()
    assert call(module, {"prompt": PROMPT}).status == 200
    assert call(module, http_event(encoded, isBase64Encoded=True)).status == 200


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (http_event("{not json"), "valid JSON"),
        (http_event("[" * 100_000), "valid JSON"),
        (http_event([1, 2]), "JSON object"),
        (http_event(""), "no body"),
        ({"requestContext": {}}, "no body"),
        (http_event("%%%", isBase64Encoded=True), "UTF-8"),
        (http_event("\x80", isBase64Encoded=True), "UTF-8"),
        (http_event(base64.b64encode(b"\xff\xfe").decode(), isBase64Encoded=True), "UTF-8"),
        (http_event({}), "'prompt' is missing"),
        (http_event({"prompt": None}), "must be text, not NoneType"),
        (http_event({"prompt": 7}), "must be text, not int"),
        (http_event({"prompt": ["a"]}), "must be text, not list"),
        (http_event({"prompt": ""}), "'prompt' is empty"),
        (http_event({"prompt": " \n\t"}), "'prompt' is empty"),
        (http_event({"prompt": "x" * 101}), "has 101 characters; at most 100"),
        (http_event({"prompt": "a", "max_token": 5}), "'max_token' is unknown"),
        (http_event('{"prompt": "\\ud800"}'), "surrogate"),
        (http_event({"prompt": "a", "system": 1}), "'system' must be text, not int"),
        (http_event({"prompt": "a", "system": "x" * 101}), "'system' has 101 characters"),
        (http_event({"prompt": "a", "tier": "slow"}), "'tier' must be one of standard"),
        (http_event({"prompt": "a", "tier": ["standard"]}), "'tier' must be one of standard"),
        (http_event({"prompt": "a", "max_tokens": 65}), "'max_tokens' must lie between 1 and 64"),
        (http_event({"prompt": "a", "max_tokens": 0}), "'max_tokens' must lie between 1 and 64"),
        (http_event({"prompt": "a", "max_tokens": True}), "'max_tokens' must be a whole number, not bool"),
        (http_event({"prompt": "a", "max_tokens": 2.0}), "'max_tokens' must be a whole number, not float"),
        (http_event({"prompt": "a", "temperature": 1.1}), "'temperature' must lie between 0 and 1"),
        (http_event('{"prompt": "a", "temperature": NaN}'), "'temperature' must lie between 0 and 1"),
        (http_event({"prompt": "a", "temperature": "0"}), "'temperature' must be a number, not str"),
        ({}, "'prompt' is missing"),
        ("text", "JSON object"),
        (None, "JSON object"),
    ],
)
def test_a_bad_request_is_400_and_never_reaches_the_model(
    load: Load, call: Call, bedrock: FakeBedrock, event: object, names: str
) -> None:
    outcome = call(load(MAX_PROMPT_CHARS="100"), event)

    assert outcome.status == 400
    assert outcome.body["error"]["code"] == "BadRequest"
    assert names in outcome.body["error"]["message"]
    assert outcome.record["status"] == "rejected"
    assert outcome.record["inference_ms"] is None
    # A metric without a number would make CloudWatch drop the line's other metrics.
    assert "InferenceMs" not in outcome.record
    assert bedrock.requests == []


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (http_event({"prompt": "a"}, requestContext={"http": {"method": "GET"}}), 405, "MethodNotAllowed"),
        (http_event({"prompt": "a"}, headers={"content-type": "text/plain"}), 415, "UnsupportedMediaType"),
        (http_event({"prompt": "a"}, headers={"content-type": "application/jsonp"}), 415, "UnsupportedMediaType"),
        (http_event({"prompt": "a" * 1_024}), 413, "PayloadTooLarge"),
        (http_event({"prompt": "☃" * 342}), 413, "PayloadTooLarge"),
        (http_event(base64.b64encode(b" " * 1_025).decode(), isBase64Encoded=True), 413, "PayloadTooLarge"),
    ],
)
def test_what_is_no_json_post_of_a_sane_length_has_a_status_of_its_own(
    load: Load, call: Call, bedrock: FakeBedrock, event: object, status: int, code: str
) -> None:
    outcome = call(load(MAX_BODY_BYTES="1024"), event)
    assert (outcome.status, outcome.body["error"]["code"], outcome.record["status"]) == (status, code, "rejected")
    assert bedrock.requests == []
    assert outcome.answer["headers"].get("allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"])
def test_every_kind_of_json_is_read(load: Load, call: Call, content_type: str) -> None:
    event = http_event({"prompt": "a"}, headers={"content-type": content_type})
    assert call(load(), event).status == 200


def test_a_prompt_of_exactly_the_limit_is_answered(load: Load, call: Call) -> None:
    assert call(load(MAX_PROMPT_CHARS="100"), {"prompt": "x" * 100}).status == 200


def test_throttling_is_429_with_retry_after(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    bedrock.replies = [refusal(429, "ThrottlingException", "Too many tokens")]
    outcome = call(load(MODEL_MAX_ATTEMPTS="1"), {"prompt": PROMPT})
    assert outcome.status == 429
    assert outcome.answer["headers"]["retry-after"] == "1"
    assert (outcome.record["status"], outcome.record["error"]) == ("throttled", "ThrottlingException")
    assert outcome.record["Throttles"] == 1


def test_the_models_own_retry_after_is_passed_on(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    bedrock.replies = [refusal(429, "ThrottlingException", "slow down", Retry_After="17")]
    assert call(load(MODEL_MAX_ATTEMPTS="1"), {"prompt": PROMPT}).answer["headers"]["retry-after"] == "17"


def test_a_retry_of_the_sdk_that_helps_is_counted(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    bedrock.replies = [refusal(503, "ServiceUnavailableException", "try again")]
    outcome = call(load(MODEL_MAX_ATTEMPTS="2"), {"prompt": PROMPT})
    assert (outcome.status, outcome.record["model_attempts"], len(bedrock.requests)) == (200, 2, 2)


def test_a_connection_that_was_closed_meanwhile_is_replaced(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    module = load(MODEL_MAX_ATTEMPTS="2")
    assert call(module, {"prompt": "a"}).status == 200
    bedrock.replies = [Reply(drop=True)]
    assert call(module, {"prompt": "a"}).status == 200


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "InternalServerException"), (403, "AccessDeniedException"), (400, "ValidationException")],
)
def test_other_failures_are_502_without_internals(
    load: Load, call: Call, bedrock: FakeBedrock, status: int, code: str
) -> None:
    secret = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/secret"
    bedrock.replies = [refusal(status, code, f"not you: {secret} {PROMPT}")]
    outcome = call(load(MODEL_MAX_ATTEMPTS="1"), {"prompt": PROMPT})

    assert outcome.status == 502
    assert outcome.body["error"] == {"code": "UpstreamFailure", "message": "the model call failed"}
    assert secret not in outcome.answer["body"]
    assert secret not in outcome.stdout
    assert (outcome.record["status"], outcome.record["error"], outcome.record["Errors"]) == ("error", code, 1)


def test_an_answer_of_another_shape_is_502(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    bedrock.replies = [Reply(body={"nothing": "of use"})]
    outcome = call(load(), {"prompt": PROMPT})
    assert (outcome.status, outcome.record["error"]) == (502, "MalformedAnswer")


def test_an_endpoint_that_is_not_there_is_502(load: Load, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    outcome = call(load(MODEL_MAX_ATTEMPTS="1"), {"prompt": PROMPT})
    assert (outcome.status, outcome.record["error"]) == (502, "ConnectionRefusedError")


@pytest.mark.parametrize("reply", [Reply(hang_before_headers=True), Reply(hang_in_body=True)], ids=["headers", "body"])
def test_a_model_that_hangs_is_504_before_the_deadline_and_the_next_request_works(
    load: Load, call: Call, bedrock: FakeBedrock, reply: Reply
) -> None:
    module = load(DEADLINE_MARGIN_MS="300")
    call(module, {"prompt": "a"})
    bedrock.replies = [reply]
    context = Context(remaining_ms=800)
    started = time.monotonic()
    outcome = call(module, {"prompt": PROMPT}, context)
    took_s = time.monotonic() - started

    assert outcome.status == 504
    assert outcome.body["error"]["code"] == "DeadlineExceeded"
    assert (outcome.record["status"], outcome.record["Timeouts"]) == ("timeout", 1)
    assert 0.4 < took_s < 0.8
    assert context.get_remaining_time_in_millis() > 0
    assert call(module, {"prompt": "a"}).status == 200


def test_the_sdks_pause_between_tries_is_cut_short_too(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    bedrock.replies = [refusal(429, "ThrottlingException", "no", x_amz_retry_after="4000")] * 5
    started = time.monotonic()
    outcome = call(load(MODEL_MAX_ATTEMPTS="5"), {"prompt": PROMPT}, Context(remaining_ms=1_000))
    assert outcome.status == 504
    assert time.monotonic() - started < 0.9


def test_without_time_left_the_model_is_not_even_asked(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    outcome = call(load(), {"prompt": PROMPT}, Context(remaining_ms=400))
    assert (outcome.status, bedrock.requests) == (504, [])


def test_neither_prompt_nor_answer_is_ever_logged(load: Load, call: Call, bedrock: FakeBedrock) -> None:
    module = load(MODEL_MAX_ATTEMPTS="1", DEADLINE_MARGIN_MS="50")
    for reply in (Reply(), refusal(400, "ValidationException", PROMPT), refusal(429, "ThrottlingException", PROMPT)):
        bedrock.replies = [reply]
        stdout = call(module, {"prompt": PROMPT}).stdout
        assert "six times seven" not in stdout
        assert "is 42" not in stdout
    assert "six times seven" not in call(module, http_event('{"prompt": "What is six times seven')).stdout


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"MODEL_ID": None}, "environment variable MODEL_ID is missing or blank"),
        ({"VARIANT": "  "}, "environment variable VARIANT is missing or blank"),
        ({"MAX_TOKENS": "many"}, "environment variable MAX_TOKENS='many' is not a whole number"),
        ({"MAX_TOKENS": "0"}, "environment variable MAX_TOKENS='0' is outside [1, 65536]"),
        ({"TEMPERATURE": "nan"}, "environment variable TEMPERATURE='nan' is outside [0.0, 1.0]"),
        ({"TEMPERATURE": "warm"}, "environment variable TEMPERATURE='warm' is not a number"),
        ({"SYSTEM_PROMPT": "x" * 20_001}, "environment variable SYSTEM_PROMPT has 20001 characters"),
        ({"CACHE_TABLE": "t", "CACHE_TTL_S": "0"}, "environment variable CACHE_TTL_S='0' is outside"),
        ({"MODEL_MAX_ATTEMPTS": "0"}, "environment variable MODEL_MAX_ATTEMPTS='0' is outside [1, 10]"),
    ],
)
def test_a_bad_setting_fails_init_with_a_line_that_names_it(
    load: Load, settings: dict[str, str | None], line: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(**settings)
    assert str(caught.value).startswith(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["body", "isBase64Encoded", "requestContext", "prompt"]), JSON) | JSON)
def test_any_event_is_either_read_or_rejected(event: object) -> None:
    with contextlib.suppress(RejectedError):
        assert isinstance(read_body(event), dict)
