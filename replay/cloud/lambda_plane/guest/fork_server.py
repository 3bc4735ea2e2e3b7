"""A small process that forks on request, and whose end ends everything it forked.

Two jobs, one loop:

*keeper*
    ``fork_server.py FD --remove FOLDER``: forks and executes what it is told. The data plane's only direct child, so
    that starting twenty interpreters never stalls its event loop. When the data plane ends, however it ends, the
    socket ``FD`` closes: the keeper kills every process group it started, removes ``FOLDER`` and exits.
*zygote*
    ``fork_server.py FD --preload HANDLER``: imports the runtime client and the handler once, then forks execution
    environments that go straight to asking for work. Started by a keeper.

The socket carries frames in both directions: four bytes of length (big endian), then JSON. To the server:
``{"op": "spawn", "id", "env", "argv", "cwd"}`` with the write end of the log pipe attached (and for a zygote its own
socket, which becomes descriptor 3), and ``{"op": "kill", "id"}``. From it: ``{"event": "ready"}``,
``{"event": "started", "id", "pid"}`` and ``{"event": "exited", "id", "status"}`` (a wait status).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import ctypes

    _PRCTL: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
except (ImportError, OSError):  # an interpreter without libffi: the keeper's own watch remains
    _PRCTL = None

_PR_SET_PDEATHSIG = 1
_HEADER = struct.Struct(">I")
_EXEC_FAILED = 127
_NESTED_GRACE_S = 2.0


class ForkServer:
    """Forks ``run`` for every request and reports what becomes of it."""

    def __init__(self, control: socket.socket, run: Callable[[dict[str, Any]], None]) -> None:
        self._control = control
        self._run = run
        self._pids: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._nested: set[int] = set()  # children that are fork servers themselves
        self._wakeup_in, self._wakeup_out = os.pipe()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Work until the other side of the socket is gone, then kill and reap what is left."""
        for end in (self._wakeup_in, self._wakeup_out):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_out, warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wakeup_in, selectors.EVENT_READ)
        self._report({"event": "ready"})
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._wakeup_in:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wakeup_in, 4096)
                    self._reap()
                elif not self._obey():
                    self._end_all()
                    return

    def _obey(self) -> bool:
        """Carry out one request; False when the other side has closed."""
        frame, descriptors = receive(self._control)
        if frame is None:
            return False
        if frame["op"] == "spawn":
            self._spawn(frame, descriptors)
        elif frame["op"] == "kill" and frame["id"] in self._pids:
            _kill_group(self._pids[frame["id"]])
        return True

    def _spawn(self, frame: dict[str, Any], descriptors: list[int]) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no more processes, or no memory: that start fails, those that run go on
            with contextlib.suppress(OSError):
                os.write(descriptors[0], f"cannot start a process: {error.strerror}\n".encode())
            for descriptor in descriptors:
                os.close(descriptor)
            self._report({"event": "exited", "id": frame["id"], "status": _EXEC_FAILED << 8})
            return
        if pid == 0:
            code = _EXEC_FAILED
            try:
                self._settle(server, descriptors)
                self._run(frame)
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(Exception):
                        stream.flush()
                os._exit(code)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # both sides do it, so that no kill can come too early
        for descriptor in descriptors:
            os.close(descriptor)
        self._pids[frame["id"]] = pid
        self._ids[pid] = frame["id"]
        if len(descriptors) > 1:
            self._nested.add(pid)
        self._report({"event": "started", "id": frame["id"], "pid": pid})

    def _settle(self, server: int, descriptors: list[int]) -> None:
        """In the child: its own group, death with the server, the log pipe as output, nothing else of ours open."""
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if _PRCTL is not None:
            _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it died between fork and prctl
            os._exit(_EXEC_FAILED)
        self._selector.close()
        for inherited in (self._control.fileno(), self._wakeup_in, self._wakeup_out):
            os.close(inherited)
        log, *rest = descriptors
        kept = os.dup(rest[0]) if rest else None  # away from 3, which may be the log pipe
        os.dup2(log, 1)
        os.dup2(log, 2)
        if kept is not None:
            os.dup2(kept, 3)
            os.set_inheritable(3, True)
        for descriptor in {log, *rest, *([kept] if kept is not None else [])} - {1, 2}:
            if not (kept is not None and descriptor == 3):
                os.close(descriptor)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            if pid in self._ids:
                _kill_group(pid)  # whatever the function left running; the group's number is ours until reaped
            _, status = os.waitpid(pid, 0)
            ident = self._ids.pop(pid, None)
            if ident is not None:
                del self._pids[ident]
                self._report({"event": "exited", "id": ident, "status": status})

    def _end_all(self) -> None:
        # A fork server among the children sees its own socket close, and knows groups that we do not: it ends itself.
        for pid in self._ids.keys() - self._nested:
            _kill_group(pid)
        deadline = time.monotonic() + _NESTED_GRACE_S
        for pid in self._nested & self._ids.keys():
            while time.monotonic() < deadline and not _has_ended(pid):
                time.sleep(0.005)
            _kill_group(pid)
        for pid in self._ids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _report(self, frame: dict[str, Any]) -> None:
        body = json.dumps(frame).encode()
        with contextlib.suppress(OSError):  # a closed socket is noticed where it is read
            self._control.sendall(_HEADER.pack(len(body)) + body)


def receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Read one frame and the descriptors attached to it; None at the end of the stream."""
    try:
        header, descriptors, _, _ = socket.recv_fds(control, _HEADER.size, 2)
        if not header:
            return None, []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        header += _receive_exactly(control, _HEADER.size - len(header))
        body = _receive_exactly(control, _HEADER.unpack(header)[0])
    except (EOFError, ConnectionError):
        return None, []
    frame: dict[str, Any] = json.loads(body)
    return frame, list(descriptors)


def _receive_exactly(control: socket.socket, size: int) -> bytes:
    body = b""
    while len(body) < size:
        chunk = control.recv(size - len(body))
        if not chunk:
            raise EOFError
        body += chunk
    return body


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def execute(frame: dict[str, Any]) -> None:
    """Become the program that the frame names (keeper)."""
    os.chdir(frame["cwd"])
    os.execve(frame["argv"][0], frame["argv"], frame["env"])  # noqa: S606  (no shell is the point)


def preload(handler: str) -> Callable[[dict[str, Any]], None]:
    """Import the runtime client and the handler's module; give what a forked environment runs (zygote)."""
    sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], os.environ["LAMBDA_RUNTIME_DIR"]]
    # The native client reads the address of the Runtime API when it is imported, and keeps it: that has to wait for the
    # fork. Until then its import fails, which awslambdaric takes as "none here".
    sys.modules["runtime_client"] = None  # type: ignore[assignment]  # so its import fails
    entry = importlib.import_module("awslambdaric.__main__")
    client = importlib.import_module("awslambdaric.lambda_runtime_client")
    importlib.import_module("http.client")
    del sys.modules["runtime_client"]
    # A handler that cannot be imported fails again, and then with the runtime client's own report, in each environment.
    with contextlib.suppress(Exception, SystemExit):
        importlib.import_module(handler.rpartition(".")[0].replace("/", "."))

    def run(frame: dict[str, Any]) -> None:
        os.environ.clear()
        os.environ.update(frame["env"])
        native = importlib.import_module("runtime_client")
        native.initialize_client(client._user_agent())  # noqa: SLF001  (awslambdaric's)
        client.runtime_client = native  # type: ignore[attr-defined]  # awslambdaric's
        entry.main(["bootstrap", handler])

    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the shared pages
    return run


def remove_folder(folder: str) -> None:
    """Remove a folder tree, deployed code (which is write-protected) included."""
    import shutil

    for path, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> None:
    """Serve as keeper or zygote; see the module."""
    descriptor, job, subject = arguments
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the data plane's to act on
    if job == "--preload":
        ForkServer(control, preload(subject)).serve()
        os._exit(0)  # threads or exit handlers that the import left behind must not keep it
    else:
        ForkServer(control, execute).serve()
        remove_folder(subject)


if __name__ == "__main__":
    main(sys.argv[1:])
