"""The response cache, as a caller meets it; its table is real in tests/functions/test_api.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.common.request import InferenceRequest
from functions.common.tiers import Tier
from functions.inference.response_cache import cache_key
from tests.functions.bedrock_server import ANSWER, FakeBedrock, Reply, refusal
from tests.functions.conftest import Context, Outcome

Load = Callable[..., ModuleType]
Call = Callable[..., Outcome]


@pytest.fixture
def cached(load: Load) -> Callable[..., ModuleType]:
    """Load the handler with a cache."""

    def _load(**settings: str | None) -> ModuleType:
        return load(**{"CACHE_TABLE": "answers", "CACHE_TIMEOUT_MS": "500", "MODEL_MAX_ATTEMPTS": "1", **settings})

    return _load


def event(body: Any, **headers: str) -> dict[str, Any]:
    return {
        "requestContext": {"http": {"method": "POST"}},
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "body": json.dumps(body),
    }


def test_the_second_time_the_model_is_not_asked(cached: Load, call: Call, bedrock: FakeBedrock) -> None:
    module = cached()
    first, second = (call(module, event({"prompt": "a"})) for _ in range(2))
    assert len(bedrock.requests) == 1
    assert (first.record["response_cache"], second.record["response_cache"]) == ("miss", "hit")
    assert (first.body["cached"], second.body["cached"]) == (False, True)
    assert second.body["response"] == first.body["response"]
    assert second.body["usage"] == dict.fromkeys(first.body["usage"], 0)
    assert second.record["inference_ms"] is None
    assert second.record["ResponseCacheHits"] == 1


def test_init_connects_to_nothing(cached: Load, bedrock: FakeBedrock) -> None:
    module = cached()
    assert bedrock.connections == 0
    assert module.TABLE._connection.sock is None


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "b"},
        {"prompt": "a", "system": "Be brief."},
        {"prompt": "a", "max_tokens": 5},
        {"prompt": "a", "temperature": 0.5},
    ],
)
def test_another_question_is_asked(cached: Load, call: Call, bedrock: FakeBedrock, other: dict[str, Any]) -> None:
    module = cached()
    call(module, event({"prompt": "a"}))
    assert call(module, event(other)).record["response_cache"] == "miss"
    assert len(bedrock.requests) == 2


@pytest.mark.parametrize(
    ("authorizer", "seen"),
    [
        ({"jwt": {"claims": {"sub": "u1"}}}, ["miss", "hit"]),
        ({"lambda": {"tenant": "u1"}}, ["miss", "hit"]),
        (None, ["miss", "hit"]),
        # Somebody was let in, and two of them may be two people.
        ({"jwt": {"claims": 1}}, ["bypass", "bypass"]),
        ({"jwt": {"claims": {"client_id": "a"}}}, ["bypass", "bypass"]),
        ({"lambda": {}}, ["bypass", "bypass"]),
    ],
)
def test_no_tenant_is_shown_what_another_one_asked(cached: Load, call: Call, authorizer: Any, seen: list[str]) -> None:
    module = cached()

    def ask(who: Any) -> str:
        request = event({"prompt": "a"})
        request["requestContext"]["authorizer"] = who
        return str(call(module, request).record["response_cache"])

    assert ask({"jwt": {"claims": {"sub": "somebody"}}}) == "miss"
    assert [ask(authorizer), ask(authorizer)] == seen


@pytest.mark.parametrize(
    ("directive", "states", "kept"),
    [
        ("no-store", ["bypass", "bypass"], 0),
        ("max-age=0, No-Store", ["bypass", "bypass"], 0),
        ("no-cache", ["bypass", "bypass"], 1),
        ("max-age=60", ["miss", "hit"], 1),
    ],
)
def test_cache_control_is_honoured(
    cached: Load, call: Call, bedrock: FakeBedrock, directive: str, states: list[str], kept: int
) -> None:
    module = cached()
    seen = [call(module, event({"prompt": "a"}, cache_control=directive)).record["response_cache"] for _ in range(2)]
    assert (seen, len(bedrock.table)) == (states, kept)


def test_what_has_expired_is_not_given_though_dynamodb_still_has_it(
    cached: Load, call: Call, bedrock: FakeBedrock
) -> None:
    module = cached(CACHE_TTL_S="60")
    call(module, event({"prompt": "a"}))
    (item,) = bedrock.table.values()
    assert int(item["expires_at"]["N"]) == pytest.approx(time.time() + 60, abs=2)
    item["expires_at"]["N"] = str(int(time.time()) - 1)
    assert call(module, event({"prompt": "a"})).record["response_cache"] == "miss"
    assert len(bedrock.requests) == 2


def test_neither_prompt_nor_system_prompt_lies_in_the_table(cached: Load, call: Call, bedrock: FakeBedrock) -> None:
    call(cached(), event({"prompt": "secret question", "system": "secret rule"}))
    assert "secret" not in json.dumps(bedrock.table)


@pytest.mark.parametrize(
    "fault",
    [
        refusal(400, "ProvisionedThroughputExceededException", "no"),
        refusal(400, "ResourceNotFoundException", "no"),
        refusal(400, "AccessDeniedException", "no"),
        refusal(500, "InternalServerError", "no"),
        Reply(body={"Item": {"text": {"S": "no time"}}}),
        Reply(body={"Item": {"text": {"S": "a"}, "expires_at": {"N": "soon"}}}),
        Reply(drop=True),
        Reply(hang_before_headers=True),
        Reply(hang_in_body=True),
    ],
)
def test_a_failing_cache_never_fails_a_request(cached: Load, call: Call, bedrock: FakeBedrock, fault: Reply) -> None:
    module = cached(CACHE_TIMEOUT_MS="100")
    call(module, event({"prompt": "to build the client"}))
    bedrock.table_replies = [fault, fault]  # the look-up, and the write
    started = time.monotonic()
    outcome = call(module, event({"prompt": "a"}))
    assert (outcome.status, outcome.body["response"]) == (200, "The answer is 42.")
    assert (outcome.record["response_cache"], outcome.record["ResponseCacheErrors"]) == ("error", 1)
    assert time.monotonic() - started < 0.5
    # And the next one finds the connection in order.
    assert call(module, event({"prompt": "to build the client"})).record["response_cache"] == "hit"


def test_only_good_answers_of_the_tier_itself_are_kept(cached: Load, call: Call, bedrock: FakeBedrock) -> None:
    tiers = {"standard": {"fallback": "fast"}, "fast": {"model_id": "m"}}
    module = cached(TIERS=json.dumps(tiers))
    bedrock.replies = [refusal(400, "ValidationException", "no")]
    assert call(module, event({"prompt": "a"})).status == 502
    bedrock.replies = [refusal(429, "ThrottlingException", "no")]
    assert call(module, event({"prompt": "a"})).body["tier"] == "fast"
    bedrock.replies = [Reply(body={"nothing": "of use"})]
    assert call(module, event({"prompt": "a"})).status == 502
    assert bedrock.table == {}


def test_an_answer_too_long_for_an_item_is_given_and_not_kept(cached: Load, call: Call, bedrock: FakeBedrock) -> None:
    long = {"output": {"message": {"content": [{"text": "☃" * 130_000}]}}}
    bedrock.replies = [Reply(body={**ANSWER, **long})]
    assert call(cached(), event({"prompt": "a"})).status == 200
    assert bedrock.table == {}


def test_without_time_left_neither_is_asked(cached: Load, call: Call, bedrock: FakeBedrock) -> None:
    outcome = call(cached(), event({"prompt": "a"}), Context(remaining_ms=400))
    assert (outcome.status, bedrock.requests, bedrock.table_calls) == (504, [], [])


REQUEST = InferenceRequest("p", "s", Tier("standard", "m", 64), 64, 0.2)


@given(st.text(), st.text(), st.text(), st.integers(1, 99), st.none() | st.floats(0, 1))
def test_requests_have_the_same_key_only_if_they_are_the_same(
    tenant: str, prompt: str, system: str, max_tokens: int, temperature: float | None
) -> None:
    request = replace(REQUEST, prompt=prompt, system=system, max_tokens=max_tokens, temperature=temperature)
    assert (cache_key(tenant, request) == cache_key("t", REQUEST)) == ((tenant, request) == ("t", REQUEST))
    assert len(cache_key(tenant, request)) == 64
