"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

PROJECT = Path(__file__).resolve().parent.parent

# No deadline: a loaded machine is no failure. CI tries the same cases every time; developers' runs look for new ones.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")

# Tables come out the same whatever terminal, pipe or worker the tests run in.
os.environ["COLUMNS"] = "120"


def pytest_configure(config: pytest.Config) -> None:
    """Let an interrupt be one: what a shell starts in the background, and all that it starts, ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests of what touches the world fail once; begin with the files that hold slow tests, the longest way."""
    for item in items:
        # They run real processes on a real clock, where a loaded machine may come between. What fails twice is a fault,
        # and what failed once is shown in the summary.
        if any(item.path.is_relative_to(PROJECT / "tests" / name) for name in ("functions", "replay")):
            item.add_marker(pytest.mark.flaky(reruns=1))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public recordings that lies beside the project, and is not part of it."""
    folder = Path(os.environ.get("TAILCAST_SHARED_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the public recordings are not here; set TAILCAST_SHARED_DATA (looked in {folder})")
    return folder
