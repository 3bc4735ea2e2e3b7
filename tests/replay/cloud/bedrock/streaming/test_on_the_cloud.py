"""The streams on a whole local cloud: its settings, its quotas, and Converse for the same models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replay.cloud import BedrockQuota, CloudConfig, LocalCloud
from replay.cloud.config import read_config

PROMPT = [{"role": "user", "content": [{"text": "Hello"}]}]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / "own.toml").write_text(
        '[models."own.model"]\nttft_ms = [30]\ndecode_ms = 10\nregions = ["us-east-1"]\nconnection_setup_ms = 0\n'
    )
    (folder / "cloud.toml").write_text('[bedrock]\ncatalogue = "own.toml"\n')
    settings = read_config(folder / "cloud.toml")
    assert settings.bedrock_catalogue == str(folder / "own.toml")
    config = CloudConfig(
        bedrock_catalogue=settings.bedrock_catalogue,
        bedrock_quotas={"amazon.nova-micro-*": BedrockQuota(requests_per_minute=3)},
    )
    with LocalCloud(config) as running:
        yield running


def test_a_model_of_ones_own_streams_and_is_listed(cloud: LocalCloud) -> None:
    stream = cloud.client("bedrock-runtime").converse_stream(modelId="own.model", messages=PROMPT)["stream"]
    assert sum("contentBlockDelta" in event for event in stream) == 40
    listed = cloud.client("bedrock").list_foundation_models()["modelSummaries"]
    assert {"own.model", "deepseek.v3.2"} <= {model["modelId"] for model in listed}


def test_converse_answers_for_the_streaming_models_too(cloud: LocalCloud) -> None:
    answer = cloud.client("bedrock-runtime").converse(modelId="own.model", messages=PROMPT)
    assert answer["metrics"]["latencyMs"] == 40
    assert answer["usage"]["outputTokens"] == 40


def test_streams_and_whole_calls_use_up_one_quota(cloud: LocalCloud) -> None:
    client: Any = cloud.client("bedrock-runtime")
    model = "us.amazon.nova-micro-v1:0"
    client.converse(modelId=model, messages=PROMPT)
    for _ in range(2):
        list(client.converse_stream(modelId=model, messages=PROMPT)["stream"])
    for call in (client.converse_stream, client.converse):
        with pytest.raises(ClientError) as refused:
            call(modelId=model, messages=PROMPT)
        assert refused.value.response["Error"]["Code"] == "ThrottlingException"
