"""The pipe of a process's output."""

from __future__ import annotations

import asyncio
import os
import subprocess

from replay.cloud.lambda_plane.log_pipe import LogPipe


async def test_a_process_that_writes_without_end_does_not_hold_its_reader() -> None:
    lines = 0

    def count(_: str) -> None:
        nonlocal lines
        lines += 1
        assert lines < 1_000_000

    pipe = LogPipe(count)
    writer = subprocess.Popen(["yes"], stdout=pipe.write_end)
    os.close(pipe.write_end)
    try:
        async with asyncio.timeout(30):
            while not lines:  # not before it has begun to write
                await asyncio.sleep(0.01)
        lines = 0
        pipe.drain()
        assert lines > 0
    finally:
        writer.kill()
        writer.wait()
        lines = 0
        pipe.close()
