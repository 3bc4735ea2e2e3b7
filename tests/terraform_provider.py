"""One Terraform provider for all deployments of a test module: each plan otherwise starts its own, for seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from replay.cloud import LocalCloud
from replay.terraform.shared_provider import REATTACH, install_provider, shared_provider


@contextmanager
def provider_for(cloud: LocalCloud, project: Path, folder: Path | None = None) -> Iterator[None]:
    """Serve every Terraform of this process, and of what it starts, from one provider that knows ``cloud`` alone.

    Relative paths in a configuration begin from ``folder``.
    """
    environment = {**os.environ, **cloud.environment()}
    # Configured a second time with one of these, the provider fails; over loopback it needs none.
    environment.pop("AWS_CA_BUNDLE", None)
    with shared_provider(_installed(project), environment, folder) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv(REATTACH, address)
        yield


@cache
def _installed(project: Path) -> Path:
    return install_provider(project)
