"""A local Bedrock for benchmarks, and the environment that reaches it."""

from __future__ import annotations

import pytest

from replay.bench.arms import Arm
from replay.bench.benchmark import Benchmark
from replay.bench.clients import Endpoint
from replay.bench.plan import Load
from replay.bench.targets import Target
from tests.replay.cloud.bedrock.streaming.conftest import RunningStreams, streams

__all__ = ["RunningStreams", "streams"]

QUICK = {"regions": ["us-east-1"], "ttft_ms": [20, 30], "decode_ms": 20, "answer_tokens": 5, "prefill_ms_per_token": 0}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def benchmark(
    streams: RunningStreams, *arms: Arm, targets: tuple[str, ...] = ("quick.model",), requests: int = 6
) -> Benchmark:
    return Benchmark(
        targets=tuple(Target(model, "us-east-1") for model in targets),
        arms=arms or (Arm(input_tokens=60, output_tokens=5),),
        loads=(Load(concurrency=2),),
        requests=requests,
        endpoint=Endpoint(streams.endpoint_url, read_timeout_s=5),
    )
