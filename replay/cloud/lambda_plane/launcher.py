"""How the process of an execution environment comes to be: an interpreter of its own, or a fork of a preloaded one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replay.cloud.lambda_plane.code_store import CodeStore
from replay.cloud.lambda_plane.forking import GUEST, Child, ForkServerClient, Keeper, interpreter
from replay.cloud.lambda_plane.ports import FunctionVersion
from replay.cloud.lambda_plane.settings import PlaneSettings
from replay.cloud.lambda_plane.variables import Folders, environment_variables, function_variables
from replay.cloud.lambda_plane.web_adapter import uses_adapter
from replay.cloud.lambda_plane.zygote import Zygote

_UNUSED_ADDRESS: Final = "127.0.0.1:9"
"""The discard port: a zygote has no Runtime API, but the native client wants an address when it is imported."""


@dataclass(frozen=True)
class StartRequest:
    """What one process needs besides its version."""

    initialization_type: str
    log_stream: str
    runtime_api: str
    log_descriptor: int
    """Write end of the log pipe; the launcher closes it."""
    temporary: Path


class Launcher:
    """Starts processes; keeps the unpacked code and, for replayed INIT, one zygote per version and kind of start."""

    def __init__(self, settings: PlaneSettings, keeper: Keeper, store: CodeStore, runtime: Path) -> None:
        self._settings = settings
        self._keeper = keeper
        self._store = store
        self._runtime = runtime
        self._zygotes: dict[tuple[str, str, str, str], asyncio.Task[Zygote | None]] = {}

    async def prepare(self, version: FunctionVersion, initialization_type: str) -> None:
        """Do what only the first start of a version needs, so that it is not counted as INIT.

        Raises
        ------
        CodePackageError
            The package cannot be unpacked.
        """
        await self._store.unpacked(version.code_sha256, version.code_zip)
        if self._settings.init == "replayed" and not uses_adapter(version):
            await self._zygote(version, initialization_type)

    async def start(self, version: FunctionVersion, request: StartRequest) -> Child:
        """Start the process of an environment; its version must be prepared.

        Raises
        ------
        LocalCloudError
            The plane's helper process has died.
        """
        try:
            argv, cwd, variables, server = await self._plan(version, request)
        except BaseException:
            os.close(request.log_descriptor)
            raise
        return server.spawn(variables, [request.log_descriptor], argv, cwd)

    async def _plan(
        self, version: FunctionVersion, request: StartRequest
    ) -> tuple[list[str], Path, dict[str, str], ForkServerClient]:
        task_root = await self._store.unpacked(version.code_sha256, version.code_zip)
        folders = Folders(task_root, self._runtime, request.temporary)
        shared = function_variables(version, self._settings, folders, request.initialization_type)
        variables = environment_variables(shared, request.log_stream, request.runtime_api)
        if uses_adapter(version):
            argv = [*interpreter(), str(GUEST / "web_adapter.py"), version.handler]
            return argv, task_root, variables, self._keeper.client
        zygote = self._ready_zygote(version, request.initialization_type)
        if zygote is not None:
            return [], task_root, variables, zygote.client
        argv = [*interpreter(), str(GUEST / "launch.py"), version.handler]
        return argv, task_root, variables, self._keeper.client

    def forget(self, function_name: str, version: str | None) -> None:
        """End the zygotes of a version (None: of all), each with the last environment that it forked."""
        for key in [key for key in self._zygotes if key[0] == function_name and version in (None, key[1])]:
            _once_there(self._zygotes.pop(key), Zygote.end_when_idle)

    def close(self) -> None:
        """End all zygotes; environments that they forked end with them."""
        for task in self._zygotes.values():
            _once_there(task, Zygote.end)
            task.cancel()
        self._zygotes.clear()

    async def _zygote(self, version: FunctionVersion, initialization_type: str) -> Zygote | None:
        """Give the zygote; None where the handler's import ends or blocks the process: then each start shows it."""
        key = _key(version, initialization_type)
        task = self._zygotes.get(key)
        if task is not None and task.done() and (zygote := task.result()) is not None and zygote.client.closed:
            task = None  # it has died since: the next start makes another
        if task is None:
            for other in [other for other in self._zygotes if other[:2] == key[:2] and other[2] != version.revision]:
                _once_there(self._zygotes.pop(other), Zygote.end_when_idle)
            task = asyncio.create_task(self._start_zygote(version, initialization_type))
            self._zygotes[key] = task
        return await asyncio.shield(task)

    def _ready_zygote(self, version: FunctionVersion, initialization_type: str) -> Zygote | None:
        """Give the zygote that :meth:`prepare` made; None where it made none, or the version was forgotten since."""
        task = self._zygotes.get(_key(version, initialization_type))
        zygote = task.result() if task is not None and task.done() else None
        return None if zygote is None or zygote.client.closed else zygote

    async def _start_zygote(self, version: FunctionVersion, initialization_type: str) -> Zygote | None:
        task_root = await self._store.unpacked(version.code_sha256, version.code_zip)
        folders = Folders(task_root, self._runtime, self._runtime.parent)
        shared = function_variables(version, self._settings, folders, initialization_type)
        variables = environment_variables(shared, "", _UNUSED_ADDRESS)
        limit_s = self._settings.init_limit_s
        return await Zygote.start(self._keeper.client, version.handler, variables, task_root, limit_s)


def _key(version: FunctionVersion, initialization_type: str) -> tuple[str, str, str, str]:
    return version.function_name, version.version, version.revision, initialization_type


def _once_there(task: asyncio.Task[Zygote | None], then: Callable[[Zygote], None]) -> None:
    """Call ``then`` with the zygote that ``task`` starts, where it does."""

    def call(done: asyncio.Task[Zygote | None]) -> None:
        if not done.cancelled() and done.exception() is None and (zygote := done.result()) is not None:
            then(zygote)

    task.add_done_callback(call)
