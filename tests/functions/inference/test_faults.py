"""What Bedrock and DynamoDB can do to a request: the right status, in time, one line in the log, and nothing kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from tests.functions.bedrock_server import ANSWER, FakeBedrock, Reply, refusal
from tests.functions.conftest import Context, Outcome

Load = Callable[..., ModuleType]
Call = Callable[..., Outcome]

MARGIN_MS = 300
PROMPT = "What is six times seven?"


@pytest.fixture
def cached(load: Load) -> ModuleType:
    """With a cache that a loaded machine does not make late."""
    return load(
        CACHE_TABLE="answers", CACHE_TIMEOUT_MS="5000", MODEL_MAX_ATTEMPTS="2", DEADLINE_MARGIN_MS=str(MARGIN_MS)
    )


@pytest.fixture
def hasty(load: Load) -> ModuleType:
    """With a cache that has little time."""
    return load(CACHE_TABLE="answers", CACHE_TIMEOUT_MS="400")


def answered(**changes: Any) -> Reply:
    return Reply(body={**ANSWER, **changes})


def content(blocks: Any) -> Reply:
    return answered(output={"message": {"role": "assistant", "content": blocks}})


def usage(**changes: Any) -> Reply:
    known = ANSWER["usage"]
    assert isinstance(known, Mapping)
    return answered(usage={**known, **changes})


MODEL_FAULTS = {
    "throttled": (refusal(429, "ThrottlingException", "no"), 429),
    "quota": (refusal(400, "ServiceQuotaExceededException", "no"), 429),
    "not ready": (refusal(429, "ModelNotReadyException", "no"), 429),
    "throttled in front": (Reply(429, raw=b""), 429),
    "down": (refusal(503, "ServiceUnavailableException", "no"), 502),
    "fault in front": (Reply(502, raw=b"<html>Bad Gateway</html>"), 502),
    "fault without a body": (Reply(500, raw=b""), 502),
    "refused": (refusal(403, "AccessDeniedException", "no"), 502),
    "model time-out": (refusal(408, "ModelTimeoutException", "no"), 504),
    "closed": (Reply(drop=True), 502),
    "reset": (Reply(reset=True), 502),
    "cut": (Reply(cut=True), 502),
    "silent": (Reply(hang_before_headers=True), 504),
    "half": (Reply(hang_in_body=True), 504),
    "dripping": (Reply(drip_s=0.02), 504),
    "not JSON": (Reply(raw=b"<html>"), 502),
    "half of JSON": (Reply(raw=b'{"output": {"message"'), 502),
    "not text": (Reply(raw=b"\xff\xfe\x00"), 502),
    "nothing": (Reply(raw=b""), 502),
    "a list": (Reply(raw=b"[1]"), 502),
    "null": (Reply(raw=b"null"), 502),
    "no message": (answered(output={}), 502),
    "no blocks": (content(None), 502),
    "blocks of another kind": (content("text"), 502),
    "null block": (content([None]), 502),
    "text that is a number": (content([{"text": 42}]), 502),
    "usage of words": (usage(inputTokens="many"), 502),
    "usage of nulls": (usage(outputTokens=None), 502),
    "negative usage": (usage(inputTokens=-1), 502),
    "usage that is a list": (answered(usage=[1]), 502),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_a_model_that_fails_is_told_in_time_and_never_kept(
    cached: ModuleType, call: Call, bedrock: FakeBedrock, fault: str
) -> None:
    reply, status = MODEL_FAULTS[fault]
    assert call(cached, {"prompt": "to build the clients"}).status == 200
    bedrock.table.clear()
    bedrock.replies = [reply] * 2
    # Those that hang take all of the time; the others must not come near it, however loaded the machine is.
    context = Context(remaining_ms=1_500 if status == 504 else 10_000)
    outcome = call(cached, {"prompt": PROMPT}, context)

    assert outcome.status == status
    assert context.get_remaining_time_in_millis() > 0, "Lambda would have ended the environment"
    assert bedrock.table == {}
    assert outcome.record["http_status"] == status
    assert outcome.record["status"] == {429: "throttled", 502: "error", 504: "timeout"}[status]
    assert set(outcome.body) == {"error", "request_id"}
    if status == 429:
        assert int(outcome.answer["headers"]["retry-after"]) >= 1
    assert "Traceback" not in outcome.stdout
    assert "six times" not in outcome.stdout
    # Neither the connection nor the environment has suffered.
    bedrock.replies = []
    again = call(cached, {"prompt": PROMPT})
    assert (again.status, again.body["cached"], len(bedrock.table)) == (200, False, 1)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (content([]), ""),
        (content([{"text": ""}]), ""),
        (content([{"text": "  \n"}]), "  \n"),
        (answered(stopReason="content_filtered"), "The answer is 42."),
        (answered(stopReason="guardrail_intervened"), "The answer is 42."),
        (answered(stopReason="malformed_model_output"), "The answer is 42."),
    ],
)
def test_what_is_no_answer_of_the_models_is_given_and_not_kept(
    cached: ModuleType, call: Call, bedrock: FakeBedrock, reply: Reply, text: str
) -> None:
    bedrock.replies = [reply]
    outcome = call(cached, {"prompt": PROMPT})
    assert (outcome.status, outcome.body["response"]) == (200, text)
    assert bedrock.table == {}


@pytest.mark.parametrize("reason", ["end_turn", "stop_sequence", "max_tokens"])
def test_a_whole_answer_is_kept(cached: ModuleType, call: Call, bedrock: FakeBedrock, reason: str) -> None:
    bedrock.replies = [answered(stopReason=reason)]
    assert call(cached, {"prompt": PROMPT}).status == 200
    assert len(bedrock.table) == 1


def test_blocks_that_hold_no_text_are_passed_over(cached: ModuleType, call: Call, bedrock: FakeBedrock) -> None:
    bedrock.replies = [content([{"reasoningContent": {"text": "hm"}}, {"text": "42"}, {"toolUse": {}}])]
    assert call(cached, {"prompt": PROMPT}).body["response"] == "42"


TABLE_FAULTS = {
    "throttled": refusal(400, "ThrottlingException", "no"),
    "over capacity": refusal(400, "ProvisionedThroughputExceededException", "no"),
    "no table": refusal(400, "ResourceNotFoundException", "no"),
    "down": refusal(500, "InternalServerError", "no"),
    "fault in front": Reply(503, raw=b"<html>"),
    "closed": Reply(drop=True),
    "reset": Reply(reset=True),
    "cut": Reply(cut=True),
    "silent": Reply(hang_before_headers=True),
    "dripping": Reply(drip_s=0.05, body={"Item": {}}),
    "not JSON": Reply(raw=b"<html>"),
    "half of JSON": Reply(raw=b'{"Item": {'),
    "a list": Reply(raw=b"[1]"),
    "item that is a list": Reply(body={"Item": [1]}),
    "item without text": Reply(body={"Item": {"expires_at": {"N": "9999999999"}}}),
    "text of another type": Reply(body={"Item": {"text": {"N": "4"}, "expires_at": {"N": "9999999999"}}}),
    "never expires": Reply(body={"Item": {"text": {"S": "a"}, "expires_at": {"N": "Infinity"}}}),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
@pytest.mark.parametrize("where", ["look-up", "write"])
def test_a_cache_that_fails_is_passed_over(
    hasty: ModuleType, call: Call, bedrock: FakeBedrock, where: str, fault: str
) -> None:
    assert call(hasty, {"prompt": "to build the clients"}).status == 200
    reply, fine = TABLE_FAULTS[fault], Reply(body={})
    bedrock.table_replies = [reply, fine] if where == "look-up" else [fine, reply]
    started = time.monotonic()
    outcome = call(hasty, {"prompt": PROMPT})
    assert (outcome.status, outcome.body["response"], outcome.body["cached"]) == (200, "The answer is 42.", False)
    assert outcome.record["response_cache"] == ("error" if where == "look-up" else "miss")
    assert time.monotonic() - started < 8, "a cache has 0.4 s"
    bedrock.table_replies = []
    assert call(hasty, {"prompt": "to build the clients"}).body["cached"] is True


def test_both_down_at_once_is_the_models_failure(hasty: ModuleType, call: Call, bedrock: FakeBedrock) -> None:
    call(hasty, {"prompt": "to build the clients"})
    bedrock.table_replies = [Reply(hang_before_headers=True)] * 2
    bedrock.replies = [refusal(429, "ThrottlingException", "no")] * 2
    outcome = call(hasty, {"prompt": PROMPT}, Context(remaining_ms=10_000))
    assert (outcome.status, outcome.record["response_cache"]) == (429, "error")
    assert len(json.dumps(outcome.answer)) < 1_000
