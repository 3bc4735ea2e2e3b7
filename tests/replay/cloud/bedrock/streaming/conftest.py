"""The streaming service alone behind a real port, and boto3 clients for it."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from aiohttp import web
from botocore.config import Config

from replay.cloud.bedrock.streaming.service import SETTINGS_PATH, StreamingBedrock
from replay.cloud.precise_loop import new_event_loop


@dataclass
class RunningStreams:
    """The service in a thread of this process."""

    service: StreamingBedrock
    endpoint_url: str
    seconds: list[float] = field(default_factory=lambda: [0.0])
    """Added to the service's clock, so that a test can let time pass."""

    def client(self, service: str = "bedrock-runtime", region: str = "us-east-1", key: str = "test") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10),
        )

    def put(self, document: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.endpoint_url + SETTINGS_PATH, data=json.dumps(document).encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture
def streams() -> Iterator[RunningStreams]:
    started = threading.Event()
    running: list[RunningStreams] = []
    stop: list[Callable[[], None]] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        seconds = [0.0]
        service = StreamingBedrock(seed=1, clock=lambda: loop.time() + seconds[0])
        runner = web.ServerRunner(web.Server(service.handle), handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        running.append(RunningStreams(service, f"http://127.0.0.1:{port}", seconds))
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        started.set()
        await ended.wait()
        await runner.cleanup()

    def run() -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    yield running[0]
    stop[0]()
    thread.join(10)
    assert not thread.is_alive()
