"""The data plane's side of a fork server (``guest/fork_server.py``): ask it for processes and learn how they end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from replay.errors import LocalCloudError

GUEST: Final = Path(__file__).parent / "guest"
_HEADER: Final = struct.Struct(">I")
_KEEPER_DEADLINE_S: Final = 10.0
_DESCRIPTORS: Final = 16_384


def interpreter() -> list[str]:
    """Give the command of an isolated interpreter.

    No ``site`` (``-S``, ``-s``), hence no site-packages; no script folder on the path (``-P``); no bytecode written
    (``-B``). ``PYTHON*`` variables stay in force: on AWS a function may set them.
    """
    base: str = getattr(sys, "_base_executable", "") or sys.executable  # the venv's python would look for its packages
    return [base, "-s", "-S", "-P", "-B"]


@dataclass
class Child:
    """A process that a fork server started, or is about to start."""

    server: ForkServerClient = field(repr=False)
    ident: int
    pid: asyncio.Future[int]
    exited: asyncio.Future[int]
    """Resolves to the wait status; to that of a SIGKILL where the fork server went too."""

    def kill(self) -> None:
        """Kill the process and its group; nothing happens when it has ended already."""
        if not self.exited.done():
            self.server.kill(self.ident)


class ForkServerClient:
    """One fork server at the other end of ``control``; belongs to the running event loop."""

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._idents = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._received = bytearray()
        self._outgoing: deque[tuple[bytearray, list[int]]] = deque()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Resolves when the fork server has finished its own start; cancelled when it ends before."""
        self.closed = False
        self._closes_when_idle = False
        self._loop.add_reader(control, self._on_readable)

    def spawn(
        self,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        argv: Sequence[str] = (),
        cwd: Path | None = None,
    ) -> Child:
        """Ask for a process.

        Parameters
        ----------
        environment
            All of its environment variables.
        descriptors
            The write end of its log pipe and, where it is a fork server itself, its socket. This call owns them: they
            are closed once they have been handed over.
        argv, cwd
            What to execute and where; a zygote needs neither.

        Raises
        ------
        LocalCloudError
            The fork server has ended.
        """
        if self.closed:
            for descriptor in descriptors:
                os.close(descriptor)
            raise LocalCloudError(
                "local cloud: the process that starts execution environments has died; start it again"
            )
        child = Child(self, next(self._idents), self._loop.create_future(), self._loop.create_future())
        self._children[child.ident] = child
        frame = {
            "op": "spawn",
            "id": child.ident,
            "env": dict(environment),
            "argv": list(argv),
            "cwd": str(cwd) if cwd else None,
        }
        self._send(frame, list(descriptors))
        return child

    def kill(self, ident: int) -> None:
        """Kill one child and its group."""
        if not self.closed:
            self._send({"op": "kill", "id": ident}, [])

    def close(self) -> None:
        """Hang up: the fork server kills what it started and ends."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        self._control.close()
        for _, descriptors in self._outgoing:
            for descriptor in descriptors:
                os.close(descriptor)
        self._outgoing.clear()
        self.ready.cancel()
        for child in self._children.values():
            child.pid.cancel()
            if not child.exited.done():
                child.exited.set_result(signal.SIGKILL)
        self._children.clear()

    def close_when_idle(self) -> None:
        """Hang up as soon as nothing that it started runs."""
        self._closes_when_idle = True
        if not self._children:
            self.close()

    def _send(self, frame: Mapping[str, Any], descriptors: list[int]) -> None:
        body = json.dumps(frame).encode()
        self._outgoing.append((bytearray(_HEADER.pack(len(body)) + body), descriptors))
        if len(self._outgoing) == 1:
            self._on_writable()

    def _on_writable(self) -> None:
        try:
            while self._outgoing:
                data, descriptors = self._outgoing[0]
                if descriptors:
                    sent = socket.send_fds(self._control, [data], descriptors)
                    while descriptors:
                        os.close(descriptors.pop())
                else:
                    sent = self._control.send(data)
                del data[:sent]
                if not data:
                    self._outgoing.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._control, self._on_writable)
        except OSError:
            self.close()
        else:
            self._loop.remove_writer(self._control)

    def _on_readable(self) -> None:
        try:
            chunk = self._control.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return
        self._received += chunk
        while len(self._received) >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._received)
            if len(self._received) < _HEADER.size + size:
                return
            frame = json.loads(self._received[_HEADER.size : _HEADER.size + size])
            del self._received[: _HEADER.size + size]
            self._on_event(frame)

    def _on_event(self, frame: Mapping[str, Any]) -> None:
        event = frame["event"]
        if event == "ready":
            if not self.ready.done():
                self.ready.set_result(None)
        elif event == "started":
            child = self._children[frame["id"]]
            if not child.pid.done():
                child.pid.set_result(frame["pid"])
        elif event == "exited":
            child = self._children.pop(frame["id"])
            if not child.exited.done():
                child.exited.set_result(frame["status"])
            if self._closes_when_idle and not self._children:
                self.close()


class Keeper:
    """The data plane's one direct child process: starts all others, and takes them along when the data plane ends."""

    def __init__(self, client: ForkServerClient, process: subprocess.Popen[bytes]) -> None:
        self.client = client
        self._process = process

    @classmethod
    async def start(cls, folder: Path) -> Keeper:
        """Start a keeper that removes ``folder`` in the end.

        Raises
        ------
        LocalCloudError
            It did not come up.
        """
        ours, theirs = socket.socketpair()
        command = [*interpreter(), str(GUEST / "fork_server.py"), str(theirs.fileno()), "--remove", str(folder)]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=passed_on(),
                cwd=folder,
            )
        except OSError as error:
            ours.close()
            raise LocalCloudError(f"local cloud: cannot start {command[0]}: {error}") from error
        finally:
            theirs.close()
        client = ForkServerClient(ours)
        keeper = cls(client, process)
        try:
            async with asyncio.timeout(_KEEPER_DEADLINE_S):
                await client.ready
        except (TimeoutError, asyncio.CancelledError) as error:
            await keeper.stop()
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise
            raise LocalCloudError(f"local cloud: {command[0]} did not run the helper process; see stderr") from error
        return keeper

    async def stop(self) -> None:
        """Hang up and wait until it, all it started and its folder are gone."""
        self.client.close()
        try:
            await asyncio.to_thread(self._process.wait, _KEEPER_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


def passed_on() -> dict[str, str]:
    """Give the few variables of our own that an interpreter may need to start at all; nothing secret."""
    names = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in names if name in os.environ}


def describe_exit(status: int) -> str:
    """Say how a process ended, in the words of AWS's ``Runtime.ExitError``."""
    if os.WIFSIGNALED(status):
        with contextlib.suppress(ValueError):
            name = signal.Signals(os.WTERMSIG(status)).name.removeprefix("SIG").lower()
            return f"signal: {'killed' if name == 'kill' else name}"
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}"


def raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets us: each environment takes a port, a connection and a pipe."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
