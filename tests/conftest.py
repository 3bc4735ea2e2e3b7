"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

PROJECT = Path(__file__).resolve().parent.parent

# No deadline: a loaded machine is no failure. CI tries the same cases every time; developers' runs look for new ones.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")


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
