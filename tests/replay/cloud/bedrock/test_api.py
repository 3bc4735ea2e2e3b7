"""Converse and InvokeModel through boto3."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from replay.cloud import BedrockQuota, CloudConfig, LocalCloud
from replay.cloud.bedrock.draws import uniform
from replay.cloud.bedrock.profiles import load_profile
from replay.errors import LocalCloudError

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "us.amazon.nova-lite-v1:0"
NOVA_ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A cloud whose Nova Lite takes 20 to 60 ms, and whose Claude 3 Haiku has a quota."""
    profile = tmp_path_factory.mktemp("profile") / "quick.json"
    profile.write_text(
        json.dumps({"name": "quick", "source": "made up", "inference_ms": [20, 30, 60], "output_tokens": [30, 50]})
    )
    config = CloudConfig(
        seed=5,
        bedrock_models={"amazon.*": str(profile), "anthropic.*": str(profile)},
        bedrock_quotas={"anthropic.claude-3-haiku-*": BedrockQuota(requests_per_minute=2)},
    )
    with LocalCloud(config) as cloud:
        yield cloud


@pytest.fixture
def client(fast: LocalCloud) -> Any:
    return fast.client("bedrock-runtime")


@pytest.fixture
def faults(fast: LocalCloud) -> Iterator[Any]:
    yield lambda **shares: fast.control("PUT", "/_tailcast/bedrock", shares)
    fast.control("PUT", "/_tailcast/bedrock", {})


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def converse(client: Any, text: str = "hello there", model: str = NOVA, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.converse(
        **{"modelId": model, "messages": user(text), "inferenceConfig": {"maxTokens": 200}, **options}
    )
    return answer


@pytest.mark.parametrize("model", [NOVA, "amazon.nova-lite-v1:0", NOVA_ARN, HAIKU])
def test_an_answer_has_the_shape_that_boto3_parses(client: Any, model: str) -> None:
    answer = converse(client, "x" * 400, model)

    (block,) = answer["output"]["message"]["content"]
    usage = answer["usage"]
    assert answer["output"]["message"]["role"] == "assistant"
    assert answer["stopReason"] == "end_turn"
    assert usage["inputTokens"] == 100, "four characters a token"
    assert 30 <= usage["outputTokens"] <= 50
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert abs(len(block["text"]) - 4 * usage["outputTokens"]) <= 1
    assert 20 <= answer["metrics"]["latencyMs"] <= 60


def test_max_tokens_cuts_an_answer(client: Any) -> None:
    answer = converse(client, inferenceConfig={"maxTokens": 7})

    assert (answer["usage"]["outputTokens"], answer["stopReason"]) == (7, "max_tokens")


def test_the_reply_leaves_at_its_latency(fast: LocalCloud, client: Any) -> None:
    converse(client)
    extra_ms = []
    for _ in range(20):
        started = time.perf_counter()
        answer = converse(client)
        extra_ms.append((time.perf_counter() - started) * 1000 - answer["metrics"]["latencyMs"])

    lateness = fast.control("GET", "/_tailcast/bedrock")["models"]["amazon.nova-lite-v1:0"]["lateness"]
    # The client's own work is in it; never earlier than said (to the rounding of latencyMs).
    assert min(extra_ms) > -0.6
    assert min(extra_ms) < 15  # the median would be the machine's
    assert 0 <= lateness["p50_ms"] <= np.median(extra_ms) + 0.6


def test_latencies_follow_the_recording() -> None:
    """The draws themselves, as the server makes them: the fit is exact but for chance."""

    profile = load_profile("claude-3-haiku")
    drawn = [profile.latency_ms(uniform(0, "m", "latency", index)) for index in range(4_000)]

    for share in (0.1, 0.5, 0.9):
        assert np.quantile(drawn, share) == pytest.approx(np.quantile(profile.inference_ms, share), rel=0.03)


@pytest.mark.slow
def test_two_clouds_with_one_seed_answer_alike() -> None:
    def latencies(seed: int) -> list[int]:
        with LocalCloud(CloudConfig(seed=seed)) as cloud:
            client = cloud.client("bedrock-runtime")
            return [converse(client)["metrics"]["latencyMs"] for _ in range(3)]

    assert latencies(11) == latencies(11) != latencies(12)


def test_invoke_model_speaks_anthropics_language(client: Any) -> None:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "system": "You are brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    }

    answer = client.invoke_model(modelId=HAIKU, body=json.dumps(body))
    document = json.loads(answer["body"].read())

    assert (document["type"], document["role"], document["stop_reason"]) == ("message", "assistant", "max_tokens")
    assert document["usage"]["output_tokens"] == 10
    assert document["content"][0]["type"] == "text"
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-output-token-count"] == "10"
    assert int(headers["x-amzn-bedrock-invocation-latency"]) >= 20


def test_invoke_model_speaks_novas_language(client: Any) -> None:
    body = {"messages": user("hello"), "inferenceConfig": {"maxTokens": 9}, "schemaVersion": "messages-v1"}

    document = json.loads(client.invoke_model(modelId=NOVA, body=json.dumps(body))["body"].read())

    assert document["output"]["message"]["role"] == "assistant"
    assert (document["usage"]["outputTokens"], document["stopReason"]) == (9, "max_tokens")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"messages": []}, "must start with a user message"),
        ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, "must start with a user message"),
        ({"messages": [*user("a"), *user("b")]}, "must alternate"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0 is empty"),
        ({"messages": user("  ")}, "messages.0.content.0 is blank"),
        ({"inferenceConfig": {"maxTokens": 65_000}}, "exceeds the model limit of 10000"),
        ({"modelId": "acme.nothing-v1"}, "model identifier is invalid"),
    ],
)
def test_what_bedrock_refuses(client: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(client.exceptions.ValidationException, match=message):
        converse(client, **options)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "Malformed input"),
        ("[]", "Malformed input"),
        ('{"max_tokens": 5}', "anthropic_version"),
        ('{"anthropic_version": "x", "messages": []}', "max_tokens"),
        ('{"anthropic_version": "x", "max_tokens": 5, "messages": []}', "at least one message"),
    ],
)
def test_what_invoke_model_refuses(client: Any, body: str, message: str) -> None:
    with pytest.raises(client.exceptions.ValidationException, match=message):
        client.invoke_model(modelId=HAIKU, body=body)


@pytest.mark.parametrize(
    ("model", "block", "config", "message"),
    [
        (HAIKU, {"type": "text", "text": "x", "cache_control": "ephemeral"}, {}, "cache point 'ephemeral'"),
        (NOVA, {"cachePoint": "default"}, {}, "cache point 'default'"),
        (NOVA, {"text": "x"}, [1], "inferenceConfig must be an object"),
    ],
)
def test_a_native_body_of_another_shape_is_refused(
    client: Any, model: str, block: dict[str, Any], config: Any, message: str
) -> None:
    native = {"anthropic_version": "x", "max_tokens": 5} if model == HAIKU else {"inferenceConfig": config}
    body = json.dumps({**native, "messages": [{"role": "user", "content": [block]}]})
    with pytest.raises(client.exceptions.ValidationException, match=message):
        client.invoke_model(modelId=model, body=body)


def test_a_cache_point_is_written_then_read(client: Any) -> None:
    system = [{"text": "s" * 8_000}, {"cachePoint": {"type": "default"}}]

    first, second = (converse(client, "q" * 40, system=system)["usage"] for _ in range(2))

    assert (first["cacheWriteInputTokens"], first["cacheReadInputTokens"], first["inputTokens"]) == (2_000, 0, 10)
    assert (second["cacheWriteInputTokens"], second["cacheReadInputTokens"], second["inputTokens"]) == (0, 2_000, 10)


def test_the_quota_throttles_as_boto3_knows_it(client: Any) -> None:
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    converse(client, model=model)
    converse(client, model=model)

    with pytest.raises(client.exceptions.ThrottlingException) as caught:
        converse(client, model=model)

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("throttled", "ThrottlingException", 429),
        ("timeout", "ModelTimeoutException", 408),
        ("error", "InternalServerException", 500),
        ("unavailable", "ServiceUnavailableException", 503),
    ],
)
def test_faults_on_demand(client: Any, faults: Any, fault: str, code: str, status: int) -> None:
    faults(**{f"{fault}_share": 1.0})

    with pytest.raises(ClientError) as caught:
        converse(client)

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_share_of_faults_and_added_latency(client: Any, faults: Any) -> None:
    faults(error_share=0.5, added_latency_ms=100)
    failed = 0
    for _ in range(30):
        try:
            assert converse(client)["metrics"]["latencyMs"] >= 120
        except ClientError:
            failed += 1

    # Binomial(30, 0.5) leaves 5..25 in fewer than 3 of 10,000 runs; the seed is fixed besides.
    assert 5 <= failed <= 25


def test_a_bad_fault_setting_is_refused(faults: Any) -> None:
    with pytest.raises(LocalCloudError, match="add up to 2"):
        faults(error_share=1, timeout_share=1)
