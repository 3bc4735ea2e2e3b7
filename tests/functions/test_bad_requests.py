"""Ten thousand bad requests: never a 5xx of our own, never a stack trace, secret or prompt in an answer or a log.

They go through the gateway's own payload code into the handler, and back through it. tests/functions/test_api.py sends
some hundreds of the same over HTTP to what Terraform deploys.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate

from functions.common.errors import (
    DeadlineError,
    RateLimitedError,
    ServiceError,
    ThrottledError,
    UnavailableError,
    UpstreamError,
)
from functions.common.http import failure
from replay.cloud.gateway.payload import RequestInfo, make_event, make_response
from tests.functions import openapi
from tests.functions.bad_requests import CANARY, REQUESTS, Sent
from tests.functions.bedrock_server import FakeBedrock
from tests.functions.conftest import Context

SECRET = "secret-canary-5d1e"
REQUESTS_SENT = 10_000
INFO = RequestInfo(
    account="123456789012",
    api="a1b2c3",
    stage="$default",
    route_key="POST /genai",
    path="/genai",
    path_parameters={},
    stage_variables={},
    request_id="gateway-1",
    domain_name="api.example.com",
    time=datetime(2026, 11, 25, tzinfo=UTC),
)


@pytest.fixture
def handler(load: Callable[..., ModuleType], bedrock: FakeBedrock, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    return load(
        MAX_PROMPT_CHARS="20000", SYSTEM_PROMPT=f"{SECRET} rule", CACHE_TABLE="answers", CACHE_TIMEOUT_MS="5000"
    )


@cache
def head(method: str, path: str, headers: tuple[tuple[str, str], ...]) -> web.Request:
    """A request without its body; there are some hundred heads, and each takes longer to make than to answer."""
    return make_mocked_request(method, path, dict(headers))


def event_of(sent: Sent) -> Any:
    headers = tuple((name, value) for name, value in sent.headers.items() if value)
    return json.loads(make_event(head(sent.method, sent.path, headers), sent.body, INFO))


def answer_of(module: ModuleType, event: Any) -> tuple[int, dict[str, str], bytes, str]:
    """Status, headers and body as a caller gets them, and what stood in the log."""
    log = io.StringIO()
    with redirect_stdout(log):
        answer = module.handle(event, Context())
    response = make_response(json.dumps(answer).encode())
    assert isinstance(response.body, bytes)
    return response.status, dict(response.headers), response.body, log.getvalue()


def test_ten_thousand_of_them(handler: ModuleType, bedrock: FakeBedrock) -> None:
    seen: Counter[int] = Counter()

    # One pass, without shrinking's many more calls: a failure names its request anyway.
    @settings(
        max_examples=REQUESTS_SENT,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(REQUESTS)
    def send(sent: Sent) -> None:
        status, headers, body, log = answer_of(handler, event_of(sent))
        seen[status] += 1
        text = body.decode()
        openapi.check(sent.path.partition("?")[0], status, json.loads(text))
        assert status in (200, 400, 405, 413, 415)
        assert headers["x-request-id"] == "req-1"
        assert log.count("\n") == 1
        record = json.loads(log)
        assert (record["http_status"], record["status"]) == (status, "ok" if status == 200 else "rejected")
        for leak in (SECRET, "Traceback", 'File "', "functions/"):
            assert leak not in text
            assert leak not in log
        assert CANARY not in text
        assert CANARY not in log

    send()
    assert sum(seen.values()) >= 0.99 * REQUESTS_SENT, "hypothesis ran out of requests"
    # Each kind came often enough to have been tried at all; the body that is too long has tests of its own.
    assert min(seen[status] for status in (200, 400, 405, 415)) > 100
    # What was answered did reach the model, and nothing else did.
    assert 0 < len(bedrock.requests) <= seen[200]
    assert CANARY not in json.dumps(list(bedrock.table))


def test_the_document_is_openapi_and_knows_what_the_function_answers(handler: ModuleType) -> None:
    validate(openapi.document())  # type: ignore[arg-type]
    examples = openapi.document()["paths"]["/genai"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for one in examples.values():
        assert openapi.validator("Request").is_valid(one["value"])
    status, _, body, _ = answer_of(handler, {"prompt": "What is six times seven?"})
    openapi.check("/genai", status, json.loads(body))
    # A field that the document lacks fails, so that the check can.
    with pytest.raises(AssertionError):
        openapi.check("/genai", 200, {**json.loads(body), "more": 1})


@pytest.mark.parametrize(
    "error", [RateLimitedError("r"), ThrottledError("t"), DeadlineError("d"), UpstreamError("u"), UnavailableError("u")]
)
def test_the_document_knows_every_failure_that_the_function_answers(error: ServiceError) -> None:
    sent = failure(error, "req-1")
    openapi.check("/genai", sent["statusCode"], json.loads(sent["body"]))


def test_stderr_stays_empty(handler: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    answer_of(handler, event_of(Sent("POST", "/genai", {"content-type": "application/json"}, b"[" * 60_000)))
    assert capsys.readouterr().err == ""
    assert sys.getrecursionlimit() >= 1_000
