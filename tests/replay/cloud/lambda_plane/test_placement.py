"""Which environment serves a request, and who gets 429."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from replay.cloud.lambda_plane.invocation import Invocation, ThrottledError
from tests.replay.cloud.lambda_plane.conftest import World
from tests.replay.cloud.lambda_plane.support import process_runs

SLEEPER = """
    import os, time

    def handle(event, context):
        time.sleep((event or {}).get("sleep_s", 0))
        return {"pid": os.getpid(), "stream": context.log_stream_name, "version": context.function_version}
"""


async def outcomes(world: World, calls: int, function: str = "f", sleep_s: float = 0.5) -> Counter[str]:
    """Send ``calls`` at once; count answers and reasons of 429."""
    answers = await asyncio.gather(
        *(world.call(function, {"sleep_s": sleep_s}) for _ in range(calls)), return_exceptions=True
    )
    counted: Counter[str] = Counter()
    for answer in answers:
        if isinstance(answer, ThrottledError):
            counted[answer.reason] += 1
        else:
            assert isinstance(answer, Invocation), answer
            counted["failed" if answer.function_error else "ok"] += 1
    return counted


async def test_twenty_concurrent_calls_start_twenty_environments(world: World) -> None:
    world.catalog.deploy("f", SLEEPER)
    answers = await asyncio.gather(*(world.answer("f", {"sleep_s": 1.0}) for _ in range(20)))
    await world.plane.flush()
    assert len({answer["pid"] for answer in answers}) == 20
    assert {answer["stream"] for answer in answers} == set(world.logs.of("f"))
    assert sum("Init Duration" in line for line in world.logs.reports("f")) == 20


async def test_calls_one_after_another_share_one_environment(world: World) -> None:
    world.catalog.deploy("f", SLEEPER)
    answers = [await world.answer("f") for _ in range(30)]
    assert len({answer["pid"] for answer in answers}) == 1


async def test_the_most_recently_used_environment_serves_next(world: World) -> None:
    world.catalog.deploy("f", SLEEPER)
    quick, slow = await asyncio.gather(world.answer("f", {"sleep_s": 0.2}), world.answer("f", {"sleep_s": 0.6}))
    assert quick["pid"] != slow["pid"]
    again = [await world.answer("f") for _ in range(5)]
    assert {answer["pid"] for answer in again} == {slow["pid"]}


async def test_an_idle_environment_ends_after_keep_alive_and_a_used_one_does_not(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    world = await make_world(keep_alive_s=0.5)
    world.catalog.deploy("f", SLEEPER)
    first = await world.answer("f")
    for _ in range(4):
        await asyncio.sleep(0.25)  # 1 s in all, but never 0.5 s idle
        assert (await world.answer("f"))["pid"] == first["pid"]
    await world.until(lambda: not process_runs(first["pid"]))
    assert (await world.answer("f"))["pid"] != first["pid"]


async def test_reserved_concurrency_refuses_exactly_the_excess(world: World) -> None:
    world.catalog.deploy("f", SLEEPER)
    world.catalog.reserved["f"] = 3
    assert await outcomes(world, 10) == {"ok": 3, "ReservedFunctionConcurrentInvocationLimitExceeded": 7}
    assert await outcomes(world, 5, sleep_s=0.1) == {"ok": 3, "ReservedFunctionConcurrentInvocationLimitExceeded": 2}
    await world.plane.flush()
    assert world.metrics.values("Throttles", FunctionName="f").count(1.0) == 9
    assert len(world.metrics.values("Invocations", FunctionName="f")) == 6
    assert max(world.metrics.values("ConcurrentExecutions", FunctionName="f")) == 3


async def test_reserved_zero_refuses_everything(world: World) -> None:
    world.catalog.deploy("f", SLEEPER)
    world.catalog.reserved["f"] = 0
    assert await outcomes(world, 2) == {"ReservedFunctionConcurrentInvocationLimitExceeded": 2}


async def test_account_concurrency_is_what_reservations_leave(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(account_concurrency=6)
    for name in ("f", "g", "reserved"):
        world.catalog.deploy(name, SLEEPER)
    world.catalog.reserved["reserved"] = 2
    unreserved, more, reserved = await asyncio.gather(
        outcomes(world, 3), outcomes(world, 3, "g"), outcomes(world, 3, "reserved")
    )
    assert unreserved + more == {"ok": 4, "ConcurrentInvocationLimitExceeded": 2}
    assert reserved == {"ok": 2, "ReservedFunctionConcurrentInvocationLimitExceeded": 1}


async def test_scale_out_refuses_new_environments_but_not_warm_ones(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    world = await make_world(scale_out_burst=2, scale_out_per_s=0.001)
    world.catalog.deploy("f", SLEEPER)
    assert await outcomes(world, 5) == {"ok": 2, "FunctionInvocationRateLimitExceeded": 3}
    assert await outcomes(world, 2, sleep_s=0.1) == {"ok": 2}


async def test_a_new_revision_of_latest_is_served_by_new_environments(world: World) -> None:
    world.catalog.deploy("f", "def handle(event, context):\n    return 1\n")
    assert await world.answer("f") == 1
    world.catalog.deploy("f", "def handle(event, context):\n    return 2\n")
    assert await world.answer("f") == 2


async def test_retired_environments_end_when_idle_and_finish_when_busy(world: World) -> None:
    world.catalog.deploy("f", SLEEPER)
    busy = asyncio.create_task(world.answer("f", {"sleep_s": 0.5}))
    idle = await world.answer("f")
    await asyncio.sleep(0.1)
    world.plane.retire("f", None)
    await world.until(lambda: not process_runs(idle["pid"]))
    pid = (await busy)["pid"]
    await world.until(lambda: not process_runs(pid))


async def test_the_weighted_alias_splits_by_independent_draws(world: World) -> None:
    """2,000 calls at weight 0.1: a share inside its 99.9 % binomial interval, and runs as long as chance makes them."""
    for version in ("1", "2"):
        world.catalog.deploy("f", SLEEPER, version=version)
    world.catalog.aliases["f", "live"] = {"1": 0.9, "2": 0.1}
    versions = []
    for _ in range(2_000):
        invocation = await world.call("f", None, "live")
        assert json.loads(invocation.payload)["version"] == invocation.executed_version
        versions.append(invocation.executed_version)
    assert 157 <= versions.count("2") <= 245  # binomial quantiles 0.0005 and 0.9995
    # A round-robin would never pick version 2 twice in a row; independent draws do so about 20 times.
    assert 3 <= sum(pair == ("2", "2") for pair in itertools.pairwise(versions)) <= 45
    await world.plane.flush()
    by_version = world.metrics.values("Invocations", FunctionName="f", Resource="f:live", ExecutedVersion="2")
    assert len(by_version) == versions.count("2")


async def test_equal_seeds_draw_equal_versions_whatever_the_order_of_others(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    drawn = []
    for also in (False, True):
        world = await make_world(seed=7)
        for name in ("f", "g"):
            for version in ("1", "2"):
                world.catalog.deploy(name, SLEEPER, version=version)
            world.catalog.aliases[name, "live"] = {"1": 0.5, "2": 0.5}
        versions = []
        for _ in range(20):
            if also:
                await world.call("g", None, "live")
            versions.append((await world.call("f", None, "live")).executed_version)
        drawn.append(versions)
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {"1", "2"}


async def test_a_caller_that_gives_up_does_not_stop_the_function(world: World) -> None:
    world.catalog.deploy("f", SLEEPER)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await world.call("f", {"sleep_s": 0.8})

    def reported() -> bool:
        return len(world.logs.reports("f")) == 1

    await world.until(reported)
    assert "Status" not in world.logs.reports("f")[0]
