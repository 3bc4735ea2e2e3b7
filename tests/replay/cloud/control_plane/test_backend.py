"""The Lambda backend without a server: what the data plane reads while another thread changes it."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator

import pytest
from moto.core.base_backend import BackendDict
from moto.iam.models import iam_backends

from replay.cloud.control_plane.lambda_backend import ExtendedLambdaBackend
from replay.cloud.lambda_plane.invocation import ProvisionedStatus
from tests.replay.cloud.support import ECHO, make_zip

ACCOUNT = "123456789012"


class NoPlane:
    """A data plane that has nothing to do."""

    def provision(self, function: str, version: str, count: int) -> None: ...

    def provisioned(self, function: str, version: str) -> ProvisionedStatus | None:
        return None

    def prepare(self, function: str, version: str) -> None: ...

    def retire(self, function: str, version: str | None) -> None: ...


class Backend(ExtendedLambdaBackend):
    plane = NoPlane()


@pytest.fixture
def backend() -> Iterator[Backend]:
    iam = iam_backends[ACCOUNT]["aws"]
    role = iam.create_role("r", json.dumps({}), "/", None, "", [], "3600")
    made = Backend("us-east-1", ACCOUNT)
    spec = {
        "FunctionName": "f",
        "Role": role.arn,
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Code": {"ZipFile": base64.b64encode(make_zip(ECHO)).decode()},
        "Publish": True,
    }
    made.create_function(spec)
    made.update_function_configuration("f", None, {"Timeout": 7})
    made.publish_version("f")
    made.create_alias("live", "f", "1", "", None)
    yield made
    BackendDict.reset()


def test_a_request_never_sees_half_of_a_shift(backend: Backend) -> None:
    seen_enough = threading.Event()

    def shift() -> None:
        while not seen_enough.is_set():
            backend.update_alias("live", "f", "1", None, {"AdditionalVersionWeights": {"2": 0.5}})
            backend.update_alias("live", "f", "2", None, {})

    thread = threading.Thread(target=shift)
    thread.start()
    seen: set[tuple[tuple[str, float], ...]] = set()
    reads, until = 0, time.monotonic() + 60.0
    try:
        # Until both states were met, whatever turns a loaded machine gives the two threads.
        while (reads < 20_000 or len(seen) < 2) and time.monotonic() < until:
            split = backend.split("f", "live")
            assert split is not None
            seen.add(tuple(sorted(split.items())))
            reads += 1
    finally:
        seen_enough.set()
        thread.join()

    assert seen <= {(("1", 1.0),), (("1", 0.5), ("2", 0.5)), (("2", 1.0),)}
    assert len(seen) >= 2, "both states were seen"


def test_a_version_reads_the_same_until_it_changes(backend: Backend) -> None:
    latest = backend.get_function("f")
    first = latest.snapshot()
    assert latest.snapshot() is first

    backend.update_function_configuration("f", None, {"Timeout": 9})

    assert (first.timeout_s, latest.snapshot().timeout_s) == (7.0, 9.0)
    assert latest.snapshot().revision != first.revision
    assert backend.get_function("f", "2").snapshot().timeout_s == 7.0


def test_reservations_are_read_without_the_lock(backend: Backend) -> None:
    backend.put_function_concurrency("f", "5")
    with backend.lock:
        found: list[dict[str, int]] = []
        thread = threading.Thread(target=lambda: found.append(backend.reservations()))
        thread.start()
        thread.join(5)

    assert found == [{"f": 5}]
