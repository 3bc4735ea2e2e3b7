"""A local cloud for each file of end-to-end tests, and a canary on a fresh function of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replay.cloud import CloudConfig, LocalCloud
from tests.replay.canary.support import PLAN, Canary, deploy_pair


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(CloudConfig(keep_alive_s=120, seed=7, init="replayed")) as running:
        yield running


@pytest.fixture
def make_canary(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Canary]:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)

    def make(plan: str = PLAN, **candidate: str) -> Canary:
        function, version = deploy_pair(cloud, **candidate)
        folder = tmp_path / function
        folder.mkdir()
        return Canary(cloud, function, version, folder, plan)

    return make
