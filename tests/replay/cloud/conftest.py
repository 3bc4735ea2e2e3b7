"""One local cloud for all tests that only need some cloud."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replay.cloud import CloudConfig, LocalCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(CloudConfig(keep_alive_s=120, seed=1)) as running:
        yield running
