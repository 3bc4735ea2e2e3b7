"""Running a long command: its lines as they come, a deadline, and an interrupt that it gets exactly once."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from replay.errors import DeployError

INTERRUPT_GRACE_S: Final = 90.0
"""Terraform finishes what it is doing and writes its state after an interrupt; killed earlier it loses both."""
_POLL_S: Final = 0.2


@dataclass(frozen=True)
class Finished:
    """How the command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    timeout_s: float,
    on_line: Callable[[str], None],
) -> Finished:
    """Run ``command`` and hand each line of its standard output to ``on_line``, in this thread.

    The command runs in a process group of its own, so that a Ctrl-C in the terminal reaches this process alone, which
    then interrupts the command once and waits for it: Terraform takes a second interrupt for an order to abort without
    saving. The exception that ended the wait goes on after that.

    Raises
    ------
    DeployError
        It cannot be started, or has not ended after ``timeout_s`` seconds.
    """
    try:
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
    except OSError as error:
        raise DeployError(f"cannot start {command[0]}: {error.strerror or error}") from None
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    stdout: list[str] = []
    stderr: list[str] = []
    readers = [
        threading.Thread(target=_pump, args=(process.stdout, lines.put), daemon=True),
        threading.Thread(target=_pump, args=(process.stderr, lambda line: stderr.append(line or "")), daemon=True),
    ]
    try:
        for reader in readers:
            reader.start()
        deadline = time.monotonic() + timeout_s
        while (line := _next(lines, deadline, command, timeout_s)) is not None:
            stdout.append(line)
            on_line(line.rstrip("\n"))
        process.wait(max(0.1, deadline - time.monotonic()))
    except BaseException:
        _interrupt(process)
        raise
    finally:
        for reader in readers:
            reader.join(timeout=5)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return Finished(process.returncode, "".join(stdout), "".join(stderr))


def _pump(pipe: IO[str] | None, put: Callable[[str | None], None]) -> None:
    if pipe is not None:
        with contextlib.suppress(ValueError):  # the pipe is closed under us once the command was given up
            for line in pipe:
                put(line)
    put(None)


def _next(
    lines: queue.SimpleQueue[str | None], deadline: float, command: Sequence[str], timeout_s: float
) -> str | None:
    """Wait for a line in short turns: an interrupt is only seen between them."""
    while True:
        try:
            return lines.get(timeout=_POLL_S)
        except queue.Empty:
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{Path(command[0]).name} {command[1]}: not done after {timeout_s:.0f} s; it was interrupted"
                ) from None


def _interrupt(process: subprocess.Popen[str]) -> None:
    """End the command: asked once, then by force, with all that it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(INTERRUPT_GRACE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
