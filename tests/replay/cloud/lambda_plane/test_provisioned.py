"""Provisioned concurrency: ready before use, spill-over cold, kept and counted."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from replay.cloud.lambda_plane.invocation import ProvisioningRefusedError, ThrottledError
from replay.cloud.lambda_plane.runtime_api import RuntimeApi
from tests.replay.cloud.lambda_plane.conftest import World
from tests.replay.cloud.lambda_plane.support import process_runs

SOURCE = """
    import os, time

    def handle(event, context):
        time.sleep((event or {}).get("sleep_s", 0))
        return [os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], os.getpid()]
"""


async def kinds(world: World, calls: int) -> list[str]:
    answers = await asyncio.gather(*(world.answer("f", {"sleep_s": 0.5}, "1") for _ in range(calls)))
    return sorted(kind for kind, _ in answers)


async def test_n_calls_are_warm_and_the_next_one_spills_over_cold(world: World) -> None:
    world.catalog.deploy("f", SOURCE, version="1")
    await world.provision("f", "1", 3)
    assert await kinds(world, 3) == ["provisioned-concurrency"] * 3
    await world.plane.flush()
    assert not any("Init Duration" in line for line in world.logs.reports("f"))

    assert await kinds(world, 4) == ["on-demand"] + ["provisioned-concurrency"] * 3
    await world.plane.flush()
    assert sum("Init Duration" in line for line in world.logs.reports("f")) == 1
    dimensions = {"FunctionName": "f", "Resource": "f:1"}
    assert world.metrics.values("ProvisionedConcurrencySpilloverInvocations", **dimensions) == [1.0]
    assert len(world.metrics.values("ProvisionedConcurrencyInvocations", **dimensions)) == 6
    # Each of a burst finds one more busy; the one that spilled over found all of them so.
    use = sorted(world.metrics.values("ProvisionedConcurrencyUtilization", **dimensions))
    assert use == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1, 1])


async def test_one_that_still_starts_is_not_in_use(world: World) -> None:
    world.catalog.deploy("f", "import time\ntime.sleep(1)\ndef handle(event, context):\n    pass\n", version="1")
    await world.provision("f", "1", 2)
    world.plane.provision("f", "1", 4)
    await asyncio.sleep(0.4)
    await world.answer("f", None, "1")
    await world.plane.flush()
    assert world.metrics.values("ProvisionedConcurrencyUtilization", FunctionName="f", Resource="f:1") == [0.5]


async def test_it_is_in_progress_until_every_environment_is_ready(world: World) -> None:
    world.catalog.deploy(
        "f", "import time\ntime.sleep(0.4)\n" + "def handle(event, context):\n    return 1\n", version="1"
    )
    assert world.plane.provisioned("f", "1") is None
    world.plane.provision("f", "1", 2)
    status = world.plane.provisioned("f", "1")
    assert status is not None
    assert (status.status, status.requested, status.available) == ("IN_PROGRESS", 2, 0)
    await asyncio.sleep(0.2)
    status = world.plane.provisioned("f", "1")
    assert status is not None
    assert status.status == "IN_PROGRESS"
    await world.provision("f", "1", 2)
    status = world.plane.provisioned("f", "1")
    assert status is not None
    assert (status.status, status.allocated, status.available, status.reason) == ("READY", 2, 2, None)


async def test_an_init_failure_fails_it_with_the_reason(world: World) -> None:
    world.catalog.deploy("f", "raise RuntimeError('no')", version="1")
    world.plane.provision("f", "1", 2)

    def failed() -> bool:
        status = world.plane.provisioned("f", "1")
        return status is not None and status.status == "FAILED"

    await world.until(failed)
    status = world.plane.provisioned("f", "1")
    assert status is not None
    assert (status.available, status.reason) == (0, "FUNCTION_ERROR_INIT_FAILURE")
    await world.plane.flush()
    assert any(line.startswith("INIT_REPORT") and "Status: error" in line for line in world.logs.lines("f"))


async def test_a_start_that_the_system_refuses_fails_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: RuntimeApi) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(RuntimeApi, "open", refuse)
    world.catalog.deploy("f", SOURCE, version="1")
    world.plane.provision("f", "1", 2)

    def failed() -> bool:
        status = world.plane.provisioned("f", "1")
        return status is not None and status.status == "FAILED"

    await world.until(failed)


async def test_the_count_goes_up_and_down_and_away(world: World) -> None:
    world.catalog.deploy("f", SOURCE, version="1")
    await world.provision("f", "1", 1)
    (_, pid) = await world.answer("f", None, "1")
    await world.provision("f", "1", 3)
    assert await kinds(world, 3) == ["provisioned-concurrency"] * 3
    await world.provision("f", "1", 1)
    assert await kinds(world, 2) == ["on-demand", "provisioned-concurrency"]
    world.plane.provision("f", "1", 0)
    assert world.plane.provisioned("f", "1") is None
    await world.until(lambda: not process_runs(pid))
    assert (await world.answer("f", None, "1"))[0] == "on-demand"


async def test_one_that_dies_is_replaced(world: World) -> None:
    world.catalog.deploy("f", SOURCE, version="1")
    await world.provision("f", "1", 1)
    kind, pid = await world.answer("f", None, "1")
    os.kill(pid, signal.SIGKILL)
    await world.until(lambda: not process_runs(pid))
    await world.provision("f", "1", 1)

    async def served_again() -> None:
        while True:
            kind, other = await world.answer("f", None, "1")
            if kind == "provisioned-concurrency":
                assert other != pid
                return
            await asyncio.sleep(0.02)

    async with asyncio.timeout(5):
        await served_again()
    assert kind == "provisioned-concurrency"


async def test_it_survives_keep_alive(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(keep_alive_s=0.1)
    world.catalog.deploy("f", SOURCE, version="1")
    await world.provision("f", "1", 1)
    first = await world.answer("f", None, "1")
    await asyncio.sleep(0.4)
    assert await world.answer("f", None, "1") == first


async def test_it_counts_against_the_reservation(world: World) -> None:
    world.catalog.deploy("f", SOURCE, version="1")
    world.catalog.reserved["f"] = 3
    await world.provision("f", "1", 2)
    answers = await asyncio.gather(
        *(world.answer("f", {"sleep_s": 0.5}, "1") for _ in range(4)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, ThrottledError)]
    assert [error.reason for error in refused] == ["ReservedFunctionConcurrentInvocationLimitExceeded"]
    with pytest.raises(ProvisioningRefusedError, match="4 > 3"):
        world.plane.provision("f", "1", 4)


async def test_it_counts_against_the_account_busy_or_not(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(account_concurrency=10)
    for name in ("f", "g"):
        world.catalog.deploy(name, SOURCE, version="1")
    with pytest.raises(ProvisioningRefusedError, match="below its minimum value of \\[1\\]"):
        world.plane.provision("f", "1", 10)
    await world.provision("f", "1", 8)
    answers = await asyncio.gather(
        *(world.answer("g", {"sleep_s": 0.5}, "1") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, ThrottledError) for answer in answers) == 3
    assert await kinds(world, 8) == ["provisioned-concurrency"] * 8


async def test_retiring_the_function_takes_it_away(world: World) -> None:
    world.catalog.deploy("f", SOURCE, version="1")
    await world.provision("f", "1", 1)
    _, pid = await world.answer("f", None, "1")
    world.plane.retire("f", None)
    await world.until(lambda: not process_runs(pid))
    assert world.plane.provisioned("f", "1") is None
