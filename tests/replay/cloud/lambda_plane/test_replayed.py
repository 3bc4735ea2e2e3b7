"""Replayed INIT: forks of a preloaded process that wait out a recorded INIT."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Awaitable, Callable

from tests.replay.cloud.lambda_plane.conftest import World
from tests.replay.cloud.lambda_plane.support import process_runs

SOURCE = """
    import os, random, time, uuid

    IMPORTED_BY = os.getpid()

    def handle(event, context):
        time.sleep((event or {}).get("sleep_s", 0))
        return {"imported_by": IMPORTED_BY, "pid": os.getpid(), "random": random.random(), "uuid": uuid.uuid4().hex}
"""


async def test_a_burst_waits_the_recorded_init_and_not_the_machine(make_world: Callable[..., Awaitable[World]]) -> None:
    recorded = (300.0, 1500.0, 2700.0)
    world = await make_world(init="replayed", init_ms=recorded)
    world.catalog.deploy("f", SOURCE)
    world.plane.prepare("f", "$LATEST")
    answers = await asyncio.gather(*(world.answer("f", {"sleep_s": 0.5}) for _ in range(20)))
    assert len({answer["pid"] for answer in answers}) == 20
    assert len({answer["imported_by"] for answer in answers}) == 1
    assert len({answer["random"] for answer in answers}) == 20  # forks do not share their randomness
    assert len({answer["uuid"] for answer in answers}) == 20
    await world.plane.flush()
    init_ms = sorted(float(line.split("Init Duration: ")[1].split()[0]) for line in world.logs.reports("f"))
    nearest = [min(recorded, key=lambda figure: abs(figure - value)) for value in init_ms]
    assert all(0 <= value - figure < 600 for value, figure in zip(init_ms, nearest, strict=True)), init_ms
    assert set(nearest) == set(recorded)


async def test_equal_seeds_draw_equal_inits(make_world: Callable[..., Awaitable[World]]) -> None:
    drawn = []
    for _ in range(2):
        world = await make_world(init="replayed", init_ms=(10.0, 310.0), seed=3)
        world.catalog.deploy("f", SOURCE)
        for _ in range(6):
            await world.answer("f")
            world.plane.retire("f", None)
            await asyncio.sleep(0.05)
        await world.plane.flush()
        init_ms = [float(line.split("Init Duration: ")[1].split()[0]) for line in world.logs.reports("f")]
        drawn.append([value >= 310 for value in init_ms])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {False, True}


async def test_provisioned_environments_know_what_they_are(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(init="replayed", init_ms=(50.0,))
    source = (
        "import os\nKIND = os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\ndef handle(event, context):\n    return KIND\n"
    )
    world.catalog.deploy("f", source, version="1")
    assert await world.answer("f", None, "1") == "on-demand"
    await world.provision("f", "1", 1)
    assert await world.answer("f", None, "1") == "provisioned-concurrency"


async def test_a_handler_that_cannot_be_imported_fails_init_as_ever(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    world = await make_world(init="replayed", init_ms=(1.0,))
    for name, source in (("raises", "raise KeyError('x')"), ("exits", "import os; os._exit(4)")):
        world.catalog.deploy(name, source)
        failed = await world.call(name)
        assert failed.function_error == "Unhandled"
        assert (b"KeyError" if name == "raises" else b"exit status 4") in failed.payload


async def test_time_out_kills_the_fork_and_not_its_siblings(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(init="replayed", init_ms=(1.0,))
    world.catalog.deploy("f", SOURCE, timeout_s=0.5)
    first, second = await asyncio.gather(*(world.answer("f", {"sleep_s": 0.2}) for _ in range(2)))
    failed = await world.call("f", {"sleep_s": 5})
    assert b"Task timed out after 0.50 seconds" in failed.payload
    assert sum(process_runs(answer["pid"]) for answer in (first, second)) == 1
    left = await world.answer("f")
    assert left["pid"] in (first["pid"], second["pid"])


async def test_a_retired_version_answers_what_it_has_begun(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(init="replayed", init_ms=(1.0,))
    world.catalog.deploy("f", SOURCE)
    first = await world.answer("f")
    busy = asyncio.create_task(world.answer("f", {"sleep_s": 0.6}))
    await asyncio.sleep(0.2)
    world.plane.retire("f", None)
    assert (await busy)["pid"] == first["pid"]
    await world.until(lambda: not process_runs(first["pid"]))
    await world.until(lambda: not process_runs(first["imported_by"]))


async def test_a_version_that_is_retired_while_it_starts_answers(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(init="replayed", init_ms=(1.0,))
    world.catalog.deploy("f", "import time\ntime.sleep(0.6)\n" + textwrap.dedent(SOURCE))
    starting = asyncio.create_task(world.answer("f"))
    await asyncio.sleep(0.3)
    world.plane.retire("f", None)
    answer = await starting
    await world.until(lambda: not process_runs(answer["pid"]))
