"""What is refused before anything runs, and invocations that nobody waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from replay.cloud.lambda_plane.invocation import InvalidRequestError, PayloadTooLargeError
from replay.cloud.lambda_plane.ports import UnknownFunctionError
from tests.replay.cloud.lambda_plane.conftest import World

ECHO = "def handle(event, context):\n    return event\n"


async def test_an_unknown_function_version_or_alias_is_told(world: World) -> None:
    world.catalog.deploy("f", ECHO)
    for function, qualifier in (("g", None), ("f", "7"), ("f", "live")):
        with pytest.raises(UnknownFunctionError, match=f"function:{function}"):
            await world.plane.invoke(function, qualifier, b"")


async def test_a_payload_must_be_json_within_6_mb(world: World) -> None:
    world.catalog.deploy("f", ECHO)
    assert (await world.plane.invoke("f", None, b"")).payload == b"{}"
    with pytest.raises(InvalidRequestError, match="Could not parse request body into json"):
        await world.plane.invoke("f", None, b"{nope")
    largest = b'"' + b"x" * 6_291_000 + b'"'
    assert (await world.plane.invoke("f", None, largest)).payload == largest
    with pytest.raises(PayloadTooLargeError, match="6291456"):
        await world.plane.invoke("f", None, b'"' + b"x" * 6_291_456 + b'"')
    with pytest.raises(PayloadTooLargeError, match="1048576"):
        await world.plane.invoke("f", None, b'"' + b"x" * 1_048_576 + b'"', invocation_type="Event")


@pytest.mark.parametrize("context", ["no base64!", "bm8ganNvbg=="])
async def test_a_client_context_must_be_base64_of_json(world: World, context: str) -> None:
    world.catalog.deploy("f", ECHO)
    with pytest.raises(InvalidRequestError, match="Base64-encoded JSON"):
        await world.plane.invoke("f", None, b"", client_context=context)


async def test_an_unknown_invocation_type_is_refused(world: World) -> None:
    world.catalog.deploy("f", ECHO)
    with pytest.raises(InvalidRequestError, match="'Sync' is not one of"):
        await world.plane.invoke("f", None, b"", invocation_type="Sync")


async def test_a_dry_run_runs_nothing(world: World) -> None:
    world.catalog.deploy("f", ECHO)
    invocation = await world.plane.invoke("f", None, b"", invocation_type="DryRun")
    assert (invocation.status_code, invocation.payload, invocation.executed_version) == (204, b"", None)
    await world.plane.flush()
    assert world.logs.lines("f") == []


async def test_an_event_is_accepted_at_once_and_run_behind(world: World) -> None:
    world.catalog.deploy(
        "f", "import time\n\ndef handle(event, context):\n    time.sleep(0.2)\n    print('got', event)\n"
    )
    invocation = await world.plane.invoke("f", None, b'"it"', invocation_type="Event")
    assert (invocation.status_code, invocation.payload) == (202, b"")
    await world.until(lambda: "got it" in world.logs.lines("f"))
    await world.until(lambda: len(world.logs.reports("f")) == 1)
    assert invocation.request_id in world.logs.reports("f")[0]


async def test_a_failed_event_is_tried_three_times_with_one_request_id(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    world = await make_world(event_retry_delays_s=(0.05, 0.05))
    world.catalog.deploy("f", "def handle(event, context):\n    raise ValueError('no')\n")
    invocation = await world.plane.invoke("f", None, b"1", invocation_type="Event")
    await world.until(lambda: len(world.logs.reports("f")) == 3)
    assert all(invocation.request_id in line for line in world.logs.reports("f"))


async def test_a_throttled_event_waits_for_its_turn(world: World) -> None:
    world.catalog.deploy("f", "import time\n\ndef handle(event, context):\n    time.sleep(0.2)\n")
    world.catalog.reserved["f"] = 1
    for _ in range(2):
        await world.plane.invoke("f", None, b"1", invocation_type="Event")
    await world.until(lambda: len(world.logs.reports("f")) == 2)
    assert world.metrics.values("Throttles", FunctionName="f").count(1.0) >= 1
