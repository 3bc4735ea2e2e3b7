"""Time-outs, crashes, handler exceptions, INIT that fails or lasts too long: what the caller gets, and what is left."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
import zipfile
from collections.abc import Awaitable, Callable

import pytest

from replay.cloud.lambda_plane.invocation import Invocation
from tests.replay.cloud.lambda_plane.conftest import World
from tests.replay.cloud.lambda_plane.support import make_zip, process_runs


def payload(invocation: Invocation) -> dict[str, object]:
    assert invocation.status_code == 200
    document: dict[str, object] = json.loads(invocation.payload)
    return document


async def test_a_time_out_kills_and_the_next_call_is_cold(world: World) -> None:
    world.catalog.deploy(
        "f",
        """
        import os, subprocess, time

        def handle(event, context):
            if event:
                child = subprocess.Popen(["sleep", "60"])
                print(f"pids {os.getpid()} {child.pid}")
                time.sleep(60)
            return os.getpid()
        """,
        timeout_s=0.5,
    )
    first = await world.answer("f")
    timed_out = await world.call("f", "hang")
    assert timed_out.function_error == "Unhandled"
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z {timed_out.request_id} Task timed out after 0.50 seconds",
        str(payload(timed_out)["errorMessage"]),
    )
    assert payload(timed_out).keys() == {"errorMessage"}
    assert await world.answer("f") != first
    await world.plane.flush()

    lines = world.logs.lines("f")
    pids = [int(pid) for line in lines if line.startswith("pids") for pid in line.split()[1:]]
    assert pids[0] == first
    await world.until(lambda: not any(process_runs(pid) for pid in pids))  # the function's own child too
    report = next(line for line in world.logs.reports("f") if timed_out.request_id in line)
    assert "Status: timeout" in report
    assert 500 <= float(report.split("Duration: ")[1].split()[0]) < 700
    assert "Init Duration" not in report
    assert "Init Duration" in world.logs.reports("f")[-1]
    assert any(line.endswith("Task timed out after 0.50 seconds\n\n") for line in lines)
    assert world.metrics.values("Errors", FunctionName="f") == [0.0, 1.0, 0.0]


async def test_a_handler_exception_is_told_and_keeps_the_environment(world: World) -> None:
    world.catalog.deploy(
        "f",
        """
        import os

        def handle(event, context):
            if event:
                raise ValueError(event)
            return os.getpid()
        """,
    )
    first = await world.answer("f")
    failed = await world.call("f", "no good")
    assert failed.function_error == "Unhandled"
    told = payload(failed)
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "no good")
    assert told["requestId"] == failed.request_id
    assert "raise ValueError(event)" in "".join(told["stackTrace"])  # type: ignore[arg-type]
    assert await world.answer("f") == first
    await world.plane.flush()
    error = next(line for line in world.logs.lines("f") if "[ERROR]" in line)
    assert error.startswith("[ERROR] ValueError: no good\nTraceback")  # one event, several lines
    assert "Status" not in world.logs.reports("f")[1]
    assert world.metrics.values("Errors", FunctionName="f") == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
    ],
)
async def test_a_process_that_ends_is_an_exit_error_and_the_next_call_is_cold(
    world: World, how: str, message: str
) -> None:
    world.catalog.deploy(
        "f",
        f"""
        import os

        def handle(event, context):
            if event:
                print("last words", flush=True)
                {how}
            return os.getpid()
        """,
    )
    first = await world.answer("f")
    crashed = await world.call("f", "die")
    assert crashed.function_error == "Unhandled"
    assert payload(crashed) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {crashed.request_id} Error: {message}",
    }
    assert await world.answer("f") != first
    await world.plane.flush()
    stream = next(
        messages for messages in world.logs.of("f").values() if any("last words" in line for line in messages)
    )
    assert stream.index("last words") < stream.index(f"END RequestId: {crashed.request_id}\n")
    report = next(line for line in stream if line.startswith("REPORT") and crashed.request_id in line)
    assert "Status: error\tError Type: Runtime.ExitError" in report


async def test_an_environment_that_dies_idle_is_not_used_again(world: World) -> None:
    world.catalog.deploy(
        "f",
        """
        import os, threading, time

        def die():
            time.sleep(0.3)
            os._exit(1)

        def handle(event, context):
            if event:
                threading.Thread(target=die).start()
            return os.getpid()
        """,
    )
    first = await world.answer("f", "soon")
    await world.until(lambda: not process_runs(first))
    assert await world.answer("f") != first


@pytest.mark.parametrize("module", ["numpy", "boto3", "aiohttp", "replay", "simulator"])
async def test_a_dependency_that_was_not_packaged_fails_init(world: World, module: str) -> None:
    __import__(module)  # this process has it
    world.catalog.deploy("f", f"import {module}\n\ndef handle(event, context):\n    return 1\n")
    failed = await world.call("f")
    assert failed.function_error == "Unhandled"
    told = payload(failed)
    assert told["errorType"] == "Runtime.ImportModuleError"
    assert told["errorMessage"] == f"Unable to import module 'app': No module named '{module}'"
    await world.plane.flush()
    (report,) = world.logs.reports("f")
    assert "Status: error\tError Type: Runtime.ImportModuleError" in report
    init_reports = [line for line in world.logs.lines("f") if line.startswith("INIT_REPORT")]
    assert ["Phase: init" in init_reports[0], "Phase: invoke" in init_reports[1]] == [True, True]
    billed_ms = int(report.split("Billed Duration: ")[1].split()[0])
    assert billed_ms >= sum(float(line.split("Init Duration: ")[1].split()[0]) for line in init_reports)
    assert world.metrics.values("Errors", FunctionName="f") == [1.0]


@pytest.mark.parametrize(
    ("handler", "source", "error_type"),
    [
        ("app.nothing", "def handle(event, context): pass", "Runtime.HandlerNotFound"),
        ("app", "def handle(event, context): pass", "Runtime.MalformedHandlerName"),
        ("app.handle", "def handle(event, context) pass", "Runtime.UserCodeSyntaxError"),
        ("app.handle", "raise KeyError('settings')", "KeyError"),
        ("app.handle", "import os; os._exit(7)", "Runtime.ExitError"),
        ("app.handle", "import sys; sys.exit(7)", "Runtime.ExitError"),
    ],
)
async def test_a_failed_init_tells_why(world: World, handler: str, source: str, error_type: str) -> None:
    world.catalog.deploy("f", source, handler=handler)
    failed = await world.call("f")
    assert failed.function_error == "Unhandled"
    assert payload(failed)["errorType"] == error_type


async def test_init_over_its_limit_runs_again_within_the_invocation(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    world = await make_world(init_limit_s=0.4)
    world.catalog.deploy(
        "f", "import time\ntime.sleep(0.8)\n\ndef handle(event, context):\n    return 1\n", timeout_s=5
    )
    assert await world.answer("f") == 1
    await world.plane.flush()
    (report,) = world.logs.reports("f")
    init_ms = float(report.split("Init Duration: ")[1].split()[0])
    duration_ms = float(report.split("\tDuration: ")[1].split()[0])
    assert 400 <= init_ms < 800 < duration_ms  # the second INIT counts as duration
    assert any(line.startswith("INIT_REPORT") and "Status: timeout" in line for line in world.logs.lines("f"))


async def test_init_that_outlasts_the_function_time_out_times_out(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(init_limit_s=0.2)
    world.catalog.deploy("f", "import time\ntime.sleep(30)\n", timeout_s=0.4)
    async with asyncio.timeout(5):
        failed = await world.call("f")
    assert "Task timed out after 0.40 seconds" in str(payload(failed)["errorMessage"])


async def test_a_response_over_6_mb_is_an_error(world: World) -> None:
    world.catalog.deploy("f", "def handle(event, context):\n    return 'x' * event\n")
    assert len(await world.answer("f", 6_000_000)) == 6_000_000
    failed = await world.call("f", 6_300_000)
    assert payload(failed)["errorType"] == "Function.ResponseSizeTooLarge"
    assert await world.answer("f", 1) == "x"


async def test_a_response_that_is_no_json_is_an_error(world: World) -> None:
    world.catalog.deploy("f", "def handle(event, context):\n    return object()\n")
    failed = await world.call("f")
    assert payload(failed)["errorType"] == "Runtime.MarshalError"


@pytest.mark.parametrize("name", ["../escape.py", "/tmp/escape.py", "a/../../escape.py"])
async def test_a_package_that_leaves_its_folder_is_refused(world: World, name: str) -> None:
    world.catalog.deploy("f", "", code_zip=make_zip({"app.py": "def handle(e, c): pass", name: "x"}))
    failed = await world.call("f")
    assert payload(failed)["errorType"] == "Runtime.InvalidCodePackage"
    assert not list(world.work_dir.rglob("escape.py"))


async def test_a_package_that_is_no_zip_is_refused(world: World) -> None:
    world.catalog.deploy("f", "", code_zip=b"not a zip")
    assert payload(await world.call("f"))["errorType"] == "Runtime.InvalidCodePackage"


async def test_another_runtime_than_python_is_refused(world: World) -> None:
    world.catalog.deploy("f", "", runtime="nodejs22.x")
    assert "needs nodejs22.x" in str(payload(await world.call("f"))["errorMessage"])


async def test_a_runtime_that_never_asks_again_is_replaced(world: World) -> None:
    world.catalog.deploy(
        "f",
        """
        import os, threading, time

        def handle(event, context):
            if event:  # the answer goes out, then nothing more happens in this process
                import awslambdaric.lambda_runtime_client as client
                client.BaseLambdaRuntimeClient.wait_next_invocation = lambda self: time.sleep(60)
            return os.getpid()
        """,
        timeout_s=0.5,
    )
    first = await world.answer("f", "stall")
    async with asyncio.timeout(5):
        assert await world.answer("f") != first
    await world.until(lambda: not process_runs(first))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("harm", ["garbled", "cut"])
async def test_a_damaged_package_is_refused(world: World, method: int, harm: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("app.py", random.Random(1).randbytes(4_000))
    whole = buffer.getvalue()
    garbled = whole[:60] + bytes(byte ^ 0x5A for byte in whole[60:900]) + whole[900:]
    world.catalog.deploy("f", "", code_zip=garbled if harm == "garbled" else whole[:400] + whole[-200:])
    assert payload(await world.call("f"))["errorType"] == "Runtime.InvalidCodePackage"
