"""A data plane over a control plane of dictionaries, fresh for each test: it starts in well under 0.1 s."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from replay.cloud.lambda_plane.invocation import Invocation
from replay.cloud.lambda_plane.plane import LambdaPlane
from replay.cloud.lambda_plane.settings import PlaneSettings
from tests.replay.cloud.lambda_plane.support import Catalog, Logs, Metrics


@dataclass
class World:
    plane: LambdaPlane
    catalog: Catalog
    logs: Logs
    metrics: Metrics
    work_dir: Path

    async def call(self, function: str, event: Any = None, qualifier: str | None = None) -> Invocation:
        return await self.plane.invoke(function, qualifier, json.dumps(event).encode())

    async def answer(self, function: str, event: Any = None, qualifier: str | None = None) -> Any:
        """Invoke and give what the handler returned; fails where it did not return."""
        invocation = await self.call(function, event, qualifier)
        assert invocation.function_error is None, invocation.payload
        return json.loads(invocation.payload)

    async def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)

    async def provision(self, function: str, version: str, count: int) -> None:
        self.plane.provision(function, version, count)

        def ready() -> bool:
            status = self.plane.provisioned(function, version)
            return status is not None and status.status == "READY"

        await self.until(ready)


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[World]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def make(**settings: Any) -> World:
            catalog, logs, metrics = Catalog(), Logs(), Metrics()
            plane = LambdaPlane(catalog, logs, metrics, PlaneSettings(work_dir=tmp_path, **settings))
            await plane.start()
            stack.push_async_callback(plane.stop)
            return World(plane, catalog, logs, metrics, tmp_path)

        yield make


@pytest.fixture
async def world(make_world: Callable[..., Awaitable[World]]) -> World:
    return await make_world()
