"""A process that has imported a handler and forks execution environments from itself (replayed INIT)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replay.cloud.lambda_plane.forking import GUEST, Child, ForkServerClient, interpreter
from replay.cloud.lambda_plane.futures import first_of


@dataclass(frozen=True)
class Zygote:
    """A running zygote; what it forked ends with it.

    What the handler's import leaves behind is shared by all forks, as with any preloading server: files and connections
    opened while importing are one and the same in each. On AWS every environment imports for itself.
    """

    client: ForkServerClient
    process: Child

    @classmethod
    async def start(
        cls, keeper: ForkServerClient, handler: str, environment: Mapping[str, str], cwd: Path, limit_s: float
    ) -> Zygote | None:
        """Start a zygote and wait until it has imported ``handler``; None where that ends it or takes too long.

        What it prints meanwhile goes nowhere: it belongs to no execution environment.

        Raises
        ------
        LocalCloudError
            The keeper has died.
        """
        ours, theirs = socket.socketpair()
        sink = os.open(os.devnull, os.O_WRONLY)
        argv = [*interpreter(), str(GUEST / "fork_server.py"), "3", "--preload", handler]
        client = ForkServerClient(ours)
        try:
            process = keeper.spawn(environment, [sink, theirs.detach()], argv, cwd)
        except BaseException:
            client.close()
            raise
        zygote = cls(client, process)
        try:
            await first_of(client.ready, process.exited, timeout_s=limit_s)
        except asyncio.CancelledError:
            zygote.end()
            raise
        if client.ready.done() and not client.ready.cancelled():
            return zygote
        zygote.end()
        return None

    def end(self) -> None:
        """End it and what it forked.

        A zygote that serves does so when its socket closes, as only it knows the process groups of its forks. One that
        is still busy importing has none, and is killed.
        """
        serves = self.client.ready.done() and not self.client.ready.cancelled()
        self.client.close()
        if not serves:
            self.process.kill()

    def end_when_idle(self) -> None:
        """End it with the last environment that it forked, which may be busy; at once where there is none."""
        self.client.close_when_idle()
