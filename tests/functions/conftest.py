"""The inference function in this process, against a Bedrock on loopback."""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import boto3
import pytest

from tests.functions.bedrock_server import FakeBedrock, serving

MODULE = "functions.inference.handler"
SETTINGS = {"MODEL_ID": "us.amazon.nova-lite-v1:0", "VARIANT": "optimized", "MAX_TOKENS": "64", "TEMPERATURE": "0.2"}


@dataclass
class Context:
    """What Lambda hands to a handler."""

    remaining_ms: int = 10_000
    aws_request_id: str = "req-1"
    function_name: str = "tailcast-test"
    function_version: str = "7"
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms - int((time.monotonic() - self.started) * 1000)


@pytest.fixture
def bedrock() -> Iterator[FakeBedrock]:
    """A fresh Bedrock; its address is in the environment's ``AWS_ENDPOINT_URL``."""
    with serving() as (state, url), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield state


@pytest.fixture
def load(bedrock: FakeBedrock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Import the handler as INIT does, with these settings: a new execution environment each time."""
    loaded: list[ModuleType] = []
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[7]abc",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }.items():
        monkeypatch.setenv(name, value)

    def _load(**settings: str | None) -> ModuleType:
        for name, value in {**SETTINGS, **settings}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        sys.modules.pop(MODULE, None)
        try:
            module = importlib.import_module(MODULE)
        finally:
            gc.enable()
            gc.unfreeze()
        loaded.append(module)
        return module

    yield _load
    for module in loaded:
        module.BEDROCK.close()
        if module.TABLE is not None:
            module.TABLE.close()
    sys.modules.pop(MODULE, None)


@dataclass(frozen=True)
class Outcome:
    """An answer, its body read, and the line that the request left in the log."""

    answer: dict[str, Any]
    body: dict[str, Any]
    record: dict[str, Any]
    stdout: str

    @property
    def status(self) -> int:
        return int(self.answer["statusCode"])


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call a loaded handler; the log must hold exactly one line."""

    def _call(module: ModuleType, event: object, context: Context | None = None) -> Outcome:
        capsys.readouterr()
        answer = module.handle(event, context or Context())
        stdout = capsys.readouterr().out
        assert stdout.endswith("\n")
        assert stdout.count("\n") == 1
        return Outcome(answer, json.loads(answer["body"]), json.loads(stdout), stdout)

    return _call
