"""The streams and lists through real boto3 clients."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from replay.cloud.bedrock.quota import QuotaMeter
from replay.cloud.bedrock.streaming.service import SENT_PATH
from replay.cloud.config import BedrockQuota
from tests.replay.cloud.bedrock.streaming.conftest import RunningStreams

QUICK = {"quick.model": {"regions": ["us-east-1"], "ttft_ms": [20], "decode_ms": 20, "answer_tokens": 5}}
PROMPT = [{"role": "user", "content": [{"text": "Tell me about tails."}]}]


def ask(client: Any, model: str = "quick.model", **more: Any) -> list[dict[str, Any]]:
    answer = client.converse_stream(modelId=model, messages=PROMPT, **more)
    return list(answer["stream"])


def words(events: list[dict[str, Any]]) -> list[str]:
    return [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]


def usage(events: list[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = events[-1]["metadata"]["usage"]
    return found


def sent(streams: RunningStreams) -> list[dict[str, Any]]:
    """Give the complete answers; the last is noted a moment after its caller has it."""
    deadline = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(streams.endpoint_url + SENT_PATH, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["sent"]
        if len(found) == sum(streams.service._draws.values()):
            return found
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refusal(action: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        action()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_stream_has_converses_events_in_order_and_the_planned_pace(streams: RunningStreams) -> None:
    streams.put({"models": QUICK})
    client = streams.client()
    ask(client)  # the connection's set-up and the model's loading are over
    started = time.perf_counter()
    answer = client.converse_stream(modelId="quick.model", messages=PROMPT, inferenceConfig={"maxTokens": 3})
    arrivals = [(time.perf_counter() - started, event) for event in answer["stream"]]
    assert [next(iter(event)) for _, event in arrivals] == [
        "messageStart",
        *["contentBlockDelta"] * 3,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    planned = {
        name: float(answer["ResponseMetadata"]["HTTPHeaders"][f"x-tailcast-{name}-ms"]) for name in ("ttft", "total")
    }
    assert planned["total"] - planned["ttft"] == pytest.approx(20 * 3 / 5, abs=0.01)
    assert planned["ttft"] <= arrivals[0][0] * 1000
    assert planned["total"] <= arrivals[-1][0] * 1000
    last = arrivals[-1][1]["metadata"]
    assert last["usage"] == {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}
    assert last["metrics"]["latencyMs"] == round(planned["total"])
    assert arrivals[-2][1]["messageStop"]["stopReason"] == "max_tokens"


def test_an_answer_is_as_long_as_the_prompt_asks(streams: RunningStreams) -> None:
    streams.put({"models": QUICK})
    client = streams.client()
    assert len(words(ask(client))) == 5
    prompt = [{"role": "user", "content": [{"text": "Write at least 12 words."}]}]
    events = list(client.converse_stream(modelId="quick.model", messages=prompt)["stream"])
    assert len(words(events)) == 12
    assert events[-2]["messageStop"]["stopReason"] == "end_turn"


def test_reasoning_comes_first_and_apart(streams: RunningStreams) -> None:
    streams.put({"models": {"thinker": {**QUICK["quick.model"], "reasoning_tokens": 3}}})
    deltas = [event["contentBlockDelta"]["delta"] for event in ask(streams.client(), "thinker")[1:9]]
    assert ["reasoningContent" in delta for delta in deltas] == [True] * 3 + [False] * 5


@pytest.mark.parametrize(
    ("model", "body", "read"),
    [
        (
            "us.amazon.nova-micro-v1:0",
            {"messages": PROMPT, "inferenceConfig": {"maxTokens": 2}},
            lambda d: d.get("contentBlockDelta", {}).get("delta", {}).get("text"),
        ),
        (
            "anthropic.claude-3-haiku-20240307-v1:0",
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 2,
                "messages": [{"role": "user", "content": "Hello"}],
            },
            lambda d: d.get("delta", {}).get("text"),
        ),
        (
            "openai.gpt-oss-20b-1:0",
            {"max_tokens": 2, "messages": [{"role": "user", "content": "Hello"}]},
            lambda d: next((c["delta"].get("content") for c in d.get("choices", [])), None),
        ),
    ],
)
def test_invoke_with_response_stream_speaks_each_familys_own(
    streams: RunningStreams, model: str, body: dict[str, Any], read: Any
) -> None:
    region = "us-west-2" if model.startswith(("openai", "anthropic")) else "us-east-1"
    answer = streams.client(region=region).invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    assert [text for text in map(read, chunks) if text] == ["The ", "tail "]
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["outputTokenCount"] == 2
    assert 0 < metrics["firstByteLatency"] <= metrics["invocationLatency"]


CACHED = {
    "cacher": {
        **QUICK["quick.model"],
        "cache_minimum_tokens": 100,
        "profiles": {"us": ["us-east-1", "us-west-2"]},
    }
}


def cached(client: Any, text: str, model: str = "cacher", ttl: str | None = None) -> dict[str, int]:
    point = {"type": "default"} | ({"ttl": ttl} if ttl else {})
    return usage(ask(client, model, system=[{"text": text}, {"cachePoint": point}]))


def test_a_prefix_is_written_then_read_then_forgotten(streams: RunningStreams) -> None:
    streams.put({"models": CACHED})
    client = streams.client()
    text = "x" * 800
    assert cached(client, text)["cacheWriteInputTokens"] == 200
    again = cached(client, text)
    assert (again["cacheReadInputTokens"], again["cacheWriteInputTokens"]) == (200, 0)
    assert again["inputTokens"] == 5
    streams.seconds[0] += 299
    assert cached(client, text)["cacheReadInputTokens"] == 200
    streams.seconds[0] += 301
    assert cached(client, text)["cacheWriteInputTokens"] == 200
    assert cached(client, "y" * 800, ttl="1h")["cacheWriteInputTokens"] == 200
    streams.seconds[0] += 3000
    assert cached(client, "y" * 800)["cacheReadInputTokens"] == 200


def test_a_prefix_below_the_minimum_is_silently_not_cached(streams: RunningStreams) -> None:
    streams.put({"models": CACHED})
    client = streams.client()
    for _ in range(2):
        assert "cacheReadInputTokens" not in cached(client, "x" * 396)


def test_a_cross_region_profile_can_miss_a_cache_that_another_region_holds(streams: RunningStreams) -> None:
    streams.put({"models": CACHED})
    client = streams.client()
    written = [cached(client, "z" * 800, "us.cacher").get("cacheWriteInputTokens") for _ in range(12)]
    assert written.count(200) == 2  # once in each region


def test_the_setup_of_a_connection_is_paid_once(streams: RunningStreams) -> None:
    streams.put({"models": QUICK})
    client = streams.client()

    def planned(client: Any) -> float:
        answer = client.converse_stream(modelId="quick.model", messages=PROMPT)
        list(answer["stream"])
        return float(answer["ResponseMetadata"]["HTTPHeaders"]["x-tailcast-ttft-ms"])

    first, second, other = planned(client), planned(client), planned(streams.client())
    assert first - second == pytest.approx(111, abs=0.01)
    assert other == pytest.approx(first, abs=0.01)


def test_slots_make_the_others_wait(streams: RunningStreams) -> None:
    streams.put({"models": {"narrow": {**QUICK["quick.model"], "decode_ms": 300, "slots": 1}}})
    first = streams.client().converse_stream(modelId="narrow", messages=PROMPT)  # its first token has come
    second = streams.client().converse_stream(modelId="narrow", messages=PROMPT)
    assert len(words(list(first["stream"]))) == len(words(list(second["stream"]))) == 5
    planned = [float(a["ResponseMetadata"]["HTTPHeaders"]["x-tailcast-ttft-ms"]) for a in (first, second)]
    assert planned[1] > planned[0]
    one, other = sent(streams)
    assert other["first_token_s"] >= one["end_s"]


def test_when_an_answer_really_left_is_told(streams: RunningStreams) -> None:
    streams.put({"models": QUICK})
    answer = streams.client().converse_stream(modelId="quick.model", messages=PROMPT)
    list(answer["stream"])
    (one,) = sent(streams)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert one["request_id"] == headers["x-amzn-requestid"]
    for name, moment in (("ttft", "first_token_s"), ("total", "end_s")):
        assert (one[moment] - one["arrived_s"]) * 1000 >= float(headers[f"x-tailcast-{name}-ms"]) - 0.001


def test_what_a_model_cannot_do_is_refused_as_bedrock_does(streams: RunningStreams) -> None:
    streams.put({"models": QUICK})
    client = streams.client()
    west = streams.client(region="us-west-2")
    assert refusal(lambda: ask(client, "no.such-model")) == (
        "ValidationException",
        "The provided model identifier is invalid.",
    )
    assert refusal(lambda: ask(client, "amazon.titan-text-express-v1"))[1] == "The model is unsupported for streaming."
    code, message = refusal(lambda: ask(west, "amazon.nova-micro-v1:0"))
    assert code == "ValidationException"
    assert "on-demand throughput isn't supported" in message
    point = [{"text": "x" * 800}, {"cachePoint": {"type": "default"}}]
    code, message = refusal(lambda: ask(client, system=point))
    assert code == "AccessDeniedException"
    assert "did not allow prompt caching" in message
    assert (
        "not supported for quick.model" in refusal(lambda: ask(client, performanceConfig={"latency": "optimized"}))[1]
    )
    assert refusal(lambda: client.converse_stream(modelId="quick.model", messages=[]))[0] == "ValidationException"


def test_latency_optimized_inference_and_tiers_are_told_back(streams: RunningStreams) -> None:
    client = streams.client()
    metadata = ask(
        client,
        "amazon.nova-pro-v1:0",
        performanceConfig={"latency": "optimized"},
        serviceTier={"type": "priority"},
        inferenceConfig={"maxTokens": 2},
    )[-1]["metadata"]
    assert metadata["performanceConfig"] == {"latency": "optimized"}
    assert metadata["serviceTier"] == {"type": "priority"}


def test_faults_are_what_a_client_sees(streams: RunningStreams) -> None:
    streams.put({"models": QUICK, "faults": {"throttle": 1}})
    client = streams.client()
    assert refusal(lambda: ask(client))[0] == "ThrottlingException"
    streams.put({"faults": {"server_error": 1}})
    assert refusal(lambda: ask(client))[0] == "InternalServerException"
    streams.put({"faults": {"exception": 1}})
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        ask(client)
    streams.put({"faults": {"malformed": 1}})
    with pytest.raises(Exception, match="Checksum mismatch"):
        ask(client)
    streams.put({"faults": {"cut": 1}})
    with pytest.raises(Exception, match="Response ended prematurely"):
        ask(client)
    streams.put({"faults": {"expired_access_keys": ["OLD"]}})
    assert refusal(lambda: ask(streams.client(key="OLD")))[0] == "ExpiredTokenException"
    assert len(words(ask(client))) == 5


def metered(streams: RunningStreams, tokens_per_minute: float) -> None:
    meter = QuotaMeter(BedrockQuota(tokens_per_minute=tokens_per_minute), time.perf_counter())
    streams.service._meter = lambda _: meter


def test_a_stream_without_a_limit_reserves_all_that_the_model_may_say(streams: RunningStreams) -> None:
    streams.put({"models": QUICK})
    metered(streams, 3_000)  # of any model, unless more is known of it, up to 4,096
    assert "Too many tokens" in refusal(lambda: ask(streams.client()))[1]
    assert len(words(ask(streams.client(), inferenceConfig={"maxTokens": 2_900}))) == 5


@pytest.mark.parametrize("fault", ["throttle", "server_error"])
def test_a_stream_that_fails_at_once_gives_its_tokens_back(streams: RunningStreams, fault: str) -> None:
    streams.put({"models": QUICK, "faults": {fault: 1}})
    metered(streams, 3_000)
    client = streams.client()
    refusal(lambda: ask(client, inferenceConfig={"maxTokens": 2_900}))
    streams.put({"faults": {}})
    assert len(words(ask(client, inferenceConfig={"maxTokens": 2_900}))) == 5


def test_faults_that_are_wrong_change_nothing(streams: RunningStreams) -> None:
    import urllib.error

    for document, why in (
        ({"faults": {"throttle": 2}}, "throttle 2 must be a share"),
        ({"faults": {"cut": 0.6, "throttle": 0.6}}, "add up to 1.2"),
        ({"models": {"a": {"ttft_ms": [1]}}}, "give ttft_ms and decode_ms"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            streams.put(document)
        with caught.value:
            assert why in json.load(caught.value)["message"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": ["x"]}, "messages must be a list of objects"),
        ({"messages": [{"role": "user", "content": 5}]}, "content must be a text or a list"),
        ({"messages": [{"role": "user", "content": None}]}, "is blank"),
        ({"system": 5}, "system must be a text or a list"),
        ({"inferenceConfig": [1]}, "inferenceConfig must be an object"),
    ],
)
def test_a_native_body_of_another_shape_is_refused(
    streams: RunningStreams, change: dict[str, Any], message: str
) -> None:
    streams.put({"models": QUICK})
    body = json.dumps({"messages": [{"role": "user", "content": "x"}], **change})
    client = streams.client()
    code, told = refusal(lambda: client.invoke_model_with_response_stream(modelId="quick.model", body=body))
    assert code == "ValidationException"
    assert message in told


def test_models_and_profiles_are_listed_by_region(streams: RunningStreams) -> None:
    east, west = streams.client("bedrock"), streams.client("bedrock", "us-west-2")
    models = {m["modelId"]: m for m in east.list_foundation_models()["modelSummaries"]}
    assert models["amazon.titan-text-express-v1"]["responseStreamingSupported"] is False
    assert models["amazon.nova-micro-v1:0"]["inferenceTypesSupported"] == ["ON_DEMAND", "INFERENCE_PROFILE"]
    assert models["anthropic.claude-haiku-4-5-20251001-v1:0"]["inferenceTypesSupported"] == ["INFERENCE_PROFILE"]
    western = {m["modelId"]: m for m in west.list_foundation_models()["modelSummaries"]}
    assert western["amazon.nova-micro-v1:0"]["inferenceTypesSupported"] == ["INFERENCE_PROFILE"]
    only = east.list_foundation_models(byProvider="Anthropic", byInferenceType="ON_DEMAND")["modelSummaries"]
    assert [m["modelId"] for m in only] == ["anthropic.claude-3-haiku-20240307-v1:0"]
    pages = east.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 2})
    profiles = {p["inferenceProfileId"]: p for page in pages for p in page["inferenceProfileSummaries"]}
    assert [m["modelArn"].split(":")[3] for m in profiles["us.amazon.nova-micro-v1:0"]["models"]] == [
        "us-east-1",
        "us-east-2",
        "us-west-2",
    ]
    one = east.get_inference_profile(inferenceProfileIdentifier="us.amazon.nova-micro-v1:0")
    assert one["status"] == "ACTIVE"
    details = east.get_foundation_model(modelIdentifier="amazon.nova-micro-v1:0")["modelDetails"]
    assert details["modelName"] == "Nova Micro"
    assert refusal(lambda: east.get_foundation_model(modelIdentifier="nobody"))[0] == "ValidationException"
