"""Fixtures for the tests of what touches the world."""

from __future__ import annotations

import io
import socket
import zipfile
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from replay.cloud import LocalCloud


@pytest.fixture
def free_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def execution_role(local_cloud: LocalCloud) -> str:
    """A role that functions of the session's local cloud may have."""
    name = f"test-{uuid4().hex[:8]}"  # other tests make roles on the session's cloud too
    return str(local_cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"])


@pytest.fixture
def new_function(local_cloud: LocalCloud, execution_role: str) -> Iterator[Callable[[str], str]]:
    """Create a function on the session's local cloud from the source of its module ``app`` with ``handle`` in it.

    Version 1 is published, with the aliases ``baseline`` and ``live`` on it.
    """
    client = local_cloud.client("lambda")
    made: list[str] = []

    def create(source: str) -> str:
        name = f"test-{uuid4().hex[:8]}"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("app.py", source)
        client.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=execution_role,
            Handler="app.handle",
            Code={"ZipFile": buffer.getvalue()},
            Publish=True,
        )
        made.append(name)
        for alias in ("baseline", "live"):
            client.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
        return name

    yield create
    for name in made:
        client.delete_function(FunctionName=name)


@pytest.fixture
def in_local_cloud(local_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """Point this process's AWS configuration at the session's local cloud, as a user's shell would be."""
    for name, value in local_cloud.environment().items():
        monkeypatch.setenv(name, value)
    return local_cloud
