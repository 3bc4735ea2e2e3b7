"""The plane takes everything along when it ends, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from replay.errors import LocalCloudError
from tests.replay.cloud.lambda_plane.conftest import World
from tests.replay.cloud.lambda_plane.support import process_runs

HOLD = """
import asyncio, sys
from pathlib import Path
from replay.cloud.lambda_plane.plane import LambdaPlane
from replay.cloud.lambda_plane.settings import PlaneSettings
from tests.replay.cloud.lambda_plane.support import Catalog, Logs, Metrics

SOURCE = '''
import os, subprocess, time

def handle(event, context):
    child = subprocess.Popen(["sleep", "60"])
    print(os.getpid(), child.pid)
    if event:
        time.sleep(60)
'''

async def main():
    catalog, logs = Catalog(), Logs()
    catalog.deploy("f", SOURCE)
    settings = PlaneSettings(work_dir=Path(sys.argv[1]), init=sys.argv[2], init_ms=(1.0,))
    plane = LambdaPlane(catalog, logs, Metrics(), settings)
    await plane.start()
    await plane.invoke("f", None, b"0")
    busy = asyncio.create_task(plane.invoke("f", None, b"1"))
    spare = asyncio.create_task(plane.invoke("f", None, b"1"))
    while len(lines := [line for line in logs.lines("f") if line[0].isdigit()]) < 3:
        await asyncio.sleep(0.02)
    print(*lines, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("init", ["real", "replayed"])
def test_killing_the_plane_leaves_no_process_and_no_folder(tmp_path: Path, project: Path, init: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), init], stdout=subprocess.PIPE, text=True, cwd=project
    )
    try:
        assert holder.stdout is not None
        pids = [int(pid) for pid in holder.stdout.readline().split()]
        holder.stdout.close()
        assert len(pids) == 6
        assert sum(process_runs(pid) for pid in pids) == 6
        assert list(tmp_path.iterdir())
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(timeout=5)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (any(map(process_runs, pids)) or list(tmp_path.iterdir())):
        time.sleep(0.02)
    assert [pid for pid in pids if process_runs(pid)] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("init", ["real", "replayed"])
async def test_stopping_leaves_no_process_port_or_folder(
    make_world: Callable[..., Awaitable[World]], init: str
) -> None:
    world = await make_world(init=init, init_ms=(1.0,))
    world.catalog.deploy(
        "f",
        """
        import os, time

        def handle(event, context):
            print(os.getpid(), os.environ["AWS_LAMBDA_RUNTIME_API"])
            time.sleep(60 * event)
        """,
    )
    busy = asyncio.create_task(world.call("f", 1))
    await asyncio.gather(*(world.call("f", 0) for _ in range(3)))
    said = [line.split() for line in world.logs.lines("f") if line[0].isdigit()]
    await world.until(lambda: len([line for line in world.logs.lines("f") if line[0].isdigit()]) == 4)
    said = [line.split() for line in world.logs.lines("f") if line[0].isdigit()]
    await world.plane.stop()
    assert not any(process_runs(int(pid)) for pid, _ in said)
    for _, address in said:
        host, _, port = address.partition(":")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))
    assert list(world.work_dir.iterdir()) == []
    with pytest.raises(asyncio.CancelledError):
        await busy


async def test_log_lines_are_not_lost_at_stop(world: World) -> None:
    world.catalog.deploy("f", "def handle(event, context):\n    print('hello')\n")
    await world.call("f")
    await world.plane.stop()
    assert len(world.logs.reports("f")) == 1


async def test_stopping_twice_is_fine(world: World) -> None:
    await world.plane.stop()
    await world.plane.stop()


async def test_a_killed_helper_is_told_and_takes_everything_along(world: World) -> None:
    world.catalog.deploy("f", "import os\n\ndef handle(event, context):\n    return [os.getpid(), os.getppid()]\n")
    pid, helper = await world.answer("f")
    os.kill(helper, signal.SIGKILL)
    await world.until(lambda: not process_runs(pid))
    await asyncio.sleep(0.05)  # for the plane to see that the socket has closed, which it did before the process ended
    with pytest.raises(LocalCloudError, match="start it again"):
        await world.call("f")
    await world.plane.stop()
    assert list(world.work_dir.iterdir()) == []
