"""One execution environment: a process of the runtime client, from INIT to its end."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from replay.cloud.lambda_plane.code_store import CodePackageError
from replay.cloud.lambda_plane.forking import Child, describe_exit
from replay.cloud.lambda_plane.futures import first_of
from replay.cloud.lambda_plane.launcher import Launcher, StartRequest
from replay.cloud.lambda_plane.log_pipe import LogPipe
from replay.cloud.lambda_plane.memory import peak_memory_mb
from replay.cloud.lambda_plane.platform_log import PlatformLog
from replay.cloud.lambda_plane.ports import FunctionVersion, LogEvent
from replay.cloud.lambda_plane.response_sink import ResponseSink
from replay.cloud.lambda_plane.runtime_api import Answer, Event, RuntimeApi, error_payload
from replay.cloud.lambda_plane.telemetry import Telemetry
from replay.cloud.lambda_plane.web_adapter import wrapper_problem

_NO_RUNTIME: Final = "Runtime.InvalidRuntime"
_EXIT_GRACE_S: Final = 2.0
"""How long a killed process may take to be reaped before we go on without it."""


class EnvironmentGoneError(Exception):
    """The process ended before it took the event: the event may go to another environment."""


@dataclass(frozen=True)
class InitOutcome:
    """How INIT went."""

    init_ms: float
    status: str = "success"
    """``success``, ``error`` or ``timeout``."""
    failure: Answer | None = None
    """What to tell the caller where it failed."""


@dataclass(frozen=True)
class Execution:
    """How one event went."""

    answer: Answer
    duration_ms: float
    max_memory_mb: int
    status: str
    """``success``, ``error`` or ``timeout``, as REPORT has it. A handler that raised is ``error``."""
    began_s: float
    """Epoch seconds."""
    exited: str | None = None
    """How the process ended, where it did."""


class Environment:
    """Identity (log stream, folder) and process of an execution environment.

    Parameters
    ----------
    version
        What it runs.
    initialization_type
        ``on-demand`` or ``provisioned-concurrency``.
    launcher, telemetry, platform_log, clock
        The plane's.
    folder
        Where it makes its own ``/tmp``.
    on_end
        Called once, when the process of an initialised environment has ended, for whatever reason.
    """

    def __init__(
        self,
        version: FunctionVersion,
        initialization_type: str,
        *,
        launcher: Launcher,
        telemetry: Telemetry,
        platform_log: PlatformLog,
        clock: Callable[[], float],
        folder: Path,
        on_end: Callable[[Environment], None],
    ) -> None:
        self.version = version
        self.initialization_type = initialization_type
        self.platform_log = platform_log
        ident = uuid.uuid4().hex
        self.log_stream = f"{datetime.fromtimestamp(clock(), UTC):%Y/%m/%d}/[{version.version}]{ident}"
        self.retired = False
        """Set when it must end as soon as it is idle."""
        self.captured: list[str] | None = None
        """The log of the event at hand, gathered while it is not None."""
        self._launcher = launcher
        self._telemetry = telemetry
        self._clock = clock
        self._temporary = folder / ident
        self._on_end = on_end
        self._api: RuntimeApi | None = None
        self._pipe: LogPipe | None = None
        self._child: Child | None = None
        self._pid = 0
        self._ended = False

    @property
    def alive(self) -> bool:
        """Whether its process runs, as far as is known."""
        return not self._ended and self._child is not None and not self._child.exited.done()

    def now_s(self) -> float:
        """Give the epoch seconds of the plane's clock."""
        return self._clock()

    def log(self, message: str) -> None:
        """Write one event to its log stream."""
        if self.captured is not None:
            self.captured.append(message if message.endswith("\n") else f"{message}\n")
        event = LogEvent(int(self._clock() * 1000), message)
        self._telemetry.log(self.version.log_group, self.log_stream, event)

    async def initialise(self, limit_s: float, *, at_least_ms: float = 0.0) -> InitOutcome:
        """Start the process and wait until it asks for its first event.

        Parameters
        ----------
        limit_s
            Longest INIT.
        at_least_ms
            Waited out where the process was ready sooner (replayed INIT).

        A failed INIT leaves no process; INIT may then be tried again.
        """
        if not self.version.runtime.startswith("python"):
            message = (
                f"the local cloud runs Python functions; {self.version.function_name} needs {self.version.runtime}"
            )
            return InitOutcome(0.0, "error", Answer(error_payload(_NO_RUNTIME, message), _NO_RUNTIME))
        if (problem := wrapper_problem(self.version)) is not None:
            return InitOutcome(0.0, "error", Answer(error_payload("Runtime.ExitError", problem), "Runtime.ExitError"))
        try:
            await self._launcher.prepare(self.version, self.initialization_type)
        except CodePackageError as error:
            name = "Runtime.InvalidCodePackage"
            return InitOutcome(0.0, "error", Answer(error_payload(name, str(error)), name))
        self.log(self.platform_log.init_start(self._clock(), self.initialization_type))
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        outcome = await self._boot(limit_s)
        if outcome.failure is None:
            left_s = at_least_ms / 1000 - (loop.time() - began_s)
            if left_s > 0:
                await asyncio.sleep(left_s)
            if self._child is not None:
                self._child.exited.add_done_callback(lambda _: self._on_end(self))
        else:
            await self._end_process()
        return replace(outcome, init_ms=(loop.time() - began_s) * 1000)

    async def execute(
        self, event: Event, timeout_s: float, waited_s: float = 0.0, sink: ResponseSink | None = None
    ) -> Execution:
        """Run one event.

        Parameters
        ----------
        event
            Its ``deadline_ms`` is set here.
        timeout_s
            The function's.
        waited_s
            What of it INIT has used up already, where INIT ran again inside this invocation.
        sink
            Where a streamed response goes.

        Raises
        ------
        EnvironmentGoneError
            The process ended before it took the event.
        """
        api, child = self._running()
        await self._until_polling(api, child, timeout_s)
        loop = asyncio.get_running_loop()
        began_s, began = self._clock(), loop.time()
        left_s = max(0.0, timeout_s - waited_s)
        self.log(self.platform_log.start(began_s, event.request_id))
        due = api.deliver(replace(event, deadline_ms=int((began_s + left_s) * 1000)), sink)
        await first_of(due, child.exited, timeout_s=left_s)
        duration_ms = (loop.time() - began + waited_s) * 1000
        memory_mb = peak_memory_mb(self._pid)
        if self._pipe is not None:
            self._pipe.drain()
        if due.done():
            answer = due.result()
            status = "error" if answer.error_type else "success"
            return Execution(answer, duration_ms, memory_mb, status, began_s)
        if child.exited.done():
            reason = _exit_reason(child.exited.result())
            answer = Answer(error_payload("Runtime.ExitError", reason, event.request_id), "Runtime.ExitError")
            return Execution(answer, duration_ms, memory_mb, "error", began_s, exited=reason)
        await self._end_process()
        message = self.platform_log.timeout_message(self._clock(), event.request_id)
        answer = Answer(error_payload_of_timeout(message), "Sandbox.Timedout")
        return Execution(answer, duration_ms, memory_mb, "timeout", began_s)

    async def end(self) -> None:
        """Kill the process, read its last lines, and remove port and folder."""
        if self._ended:
            return
        self._ended = True
        await self._end_process()
        try:
            self._temporary.rmdir()
        except OSError:  # the function left files in it, or never started
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)

    async def _boot(self, limit_s: float) -> InitOutcome:
        self._temporary.mkdir(parents=True, exist_ok=True)
        self._api = api = RuntimeApi()
        address = await api.open()
        self._pipe = LogPipe(self.log)
        request = StartRequest(
            self.initialization_type, self.log_stream, address, self._pipe.write_end, self._temporary
        )
        self._child = child = await self._launcher.start(self.version, request)
        polling = asyncio.create_task(api.polling.wait())
        try:
            await first_of(polling, api.init_error, child.exited, timeout_s=limit_s)
        finally:
            polling.cancel()
        if api.init_error.done():
            return InitOutcome(0.0, "error", api.init_error.result())
        if child.exited.done():
            reason = _exit_reason(child.exited.result())
            return InitOutcome(0.0, "error", Answer(error_payload("Runtime.ExitError", reason), "Runtime.ExitError"))
        if api.polling.is_set():
            self._pid = await child.pid
            return InitOutcome(0.0)
        message = f"INIT did not end within {limit_s:.2f} seconds"
        return InitOutcome(0.0, "timeout", Answer(error_payload("Sandbox.Timedout", message), "Sandbox.Timedout"))

    async def _until_polling(self, api: RuntimeApi, child: Child, limit_s: float) -> None:
        if api.polling.is_set() and not child.exited.done():
            return
        polling = asyncio.create_task(api.polling.wait())
        try:
            await first_of(polling, child.exited, timeout_s=limit_s)
        finally:
            polling.cancel()
        if child.exited.done() or not api.polling.is_set():
            raise EnvironmentGoneError(self.log_stream)

    def _running(self) -> tuple[RuntimeApi, Child]:
        if self._ended or self._api is None or self._child is None:
            raise EnvironmentGoneError(self.log_stream)
        return self._api, self._child

    async def _end_process(self) -> None:
        child, pipe, api = self._child, self._pipe, self._api
        self._child = self._pipe = self._api = None
        if child is not None:
            child.kill()
            await first_of(child.exited, timeout_s=_EXIT_GRACE_S)
        if pipe is not None:
            pipe.close()
        if api is not None:
            await api.close()


def error_payload_of_timeout(message: str) -> bytes:
    """Give the document of a time-out, which has no ``errorType``."""
    return b'{"errorMessage":"%s"}' % message.encode()


def _exit_reason(status: int) -> str:
    if status == 0:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: {describe_exit(status)}"
