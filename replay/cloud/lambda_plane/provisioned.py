"""Provisioned concurrency: environments of a version that are started ahead, kept, and replaced when they die."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from replay.cloud.lambda_plane.environment import Environment
from replay.cloud.lambda_plane.invocation import ProvisionedStatus, ProvisioningRefusedError
from replay.cloud.lambda_plane.limits import unreserved_minimum

INIT_FAILURE: Final = "FUNCTION_ERROR_INIT_FAILURE"
_PARALLEL_STARTS: Final = 2 * (os.cpu_count() or 1)
"""Environments that initialise at once: more would only make one another miss the time limit of INIT."""

Key = tuple[str, str]
"""Function name and version."""


@dataclass
class _Fleet:
    """The provisioned environments of one version, as the event loop knows them."""

    ready: set[Environment] = field(default_factory=set)
    starting: int = 0
    failure: str | None = None


class ProvisionedFleets:
    """Keeps as many provisioned environments of each version as were asked for.

    Parameters
    ----------
    account_concurrency
        Of the account.
    start
        Starts one provisioned environment of a version, adds it to its pool as idle and gives it; None where its INIT
        failed.
    retire
        Ends one when it is idle.
    """

    def __init__(
        self,
        account_concurrency: int,
        start: Callable[[Key], Awaitable[Environment | None]],
        retire: Callable[[Environment], None],
    ) -> None:
        self._account = account_concurrency
        self._start = start
        self._retire = retire
        self._lock = threading.Lock()  # guards the two below, which any thread may use
        self._targets: dict[Key, int] = {}
        self._states: dict[Key, tuple[int, str | None]] = {}
        self._fleets: defaultdict[Key, _Fleet] = defaultdict(_Fleet)
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_PARALLEL_STARTS)
        self._by_function: dict[str, int] = {}

    def by_function(self) -> dict[str, int]:
        """Give function name → environments asked for, over all versions."""
        return self._by_function

    def request(self, key: Key, count: int, reserved: dict[str, int]) -> None:
        """Note what is asked for, from any thread; :meth:`reconcile` acts on it.

        Raises
        ------
        ProvisioningRefusedError
            More than the function's reservation, or than the account has left.
        """
        function, _ = key
        with self._lock:
            others = {other: number for other, number in self._targets.items() if other != key}
            if count:
                self._refuse_excess(function, count, others, reserved)
                self._targets[key] = count
            else:
                self._targets.pop(key, None)
            self._states.pop(key, None)
            totals: dict[str, int] = {}
            for (name, _), number in self._targets.items():
                totals[name] = totals.get(name, 0) + number
            self._by_function = totals

    def has(self, key: Key) -> bool:
        """Whether the version has provisioned concurrency."""
        return key in self._targets

    def status(self, key: Key) -> ProvisionedStatus | None:
        """Give the state of one version, from any thread; None where nothing was asked for."""
        with self._lock:
            if key not in self._targets:
                return None
            requested = self._targets[key]
            ready, failure = self._states.get(key, (0, None))
        ready = min(ready, requested)
        status = "FAILED" if failure else "READY" if ready == requested else "IN_PROGRESS"
        return ProvisionedStatus(requested, ready, ready, status, failure)

    def reconcile(self, key: Key) -> None:
        """Start what is missing and retire what is too much; in the event loop, after each request."""
        self._fleets[key].failure = None
        self._adjust(key)

    def lost(self, key: Key, environment: Environment) -> None:
        """Replace an environment that has died."""
        fleet = self._fleets[key]
        if environment in fleet.ready:
            fleet.ready.remove(environment)
            self._adjust(key)

    async def stop(self) -> None:
        """Give up the starts in progress."""
        with self._lock:
            self._targets.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _adjust(self, key: Key) -> None:
        fleet = self._fleets[key]
        target = self._targets.get(key, 0)
        for environment in list(fleet.ready)[: max(0, len(fleet.ready) - target)]:
            fleet.ready.remove(environment)
            self._retire(environment)
        if fleet.failure is None:
            for _ in range(target - len(fleet.ready) - fleet.starting):
                fleet.starting += 1
                task = asyncio.create_task(self._add_one(key))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._publish(key)

    async def _add_one(self, key: Key) -> None:
        fleet = self._fleets[key]
        environment = None
        try:
            async with self._slots:
                if len(fleet.ready) < self._targets.get(key, 0) and fleet.failure is None:
                    environment = await self._start(key)
                    if environment is None:
                        fleet.failure = INIT_FAILURE
        finally:
            fleet.starting -= 1
        if environment is not None:
            fleet.ready.add(environment)
            if not environment.alive:
                self.lost(key, environment)
                return
        self._adjust(key)

    def _publish(self, key: Key) -> None:
        fleet = self._fleets[key]
        with self._lock:
            self._states[key] = (len(fleet.ready), fleet.failure)

    def _refuse_excess(self, function: str, count: int, others: dict[Key, int], reserved: dict[str, int]) -> None:
        if function in reserved:
            total = count + sum(number for (name, _), number in others.items() if name == function)
            if total > reserved[function]:
                raise ProvisioningRefusedError(
                    f"Requested Provisioned Concurrency should not be greater than the "
                    f"reservedConcurrentExecution for function ({total} > {reserved[function]})"
                )
            return
        total = count + sum(number for (name, _), number in others.items() if name not in reserved)
        floor = unreserved_minimum(self._account)
        if total > self._account - sum(reserved.values()) - floor:
            raise ProvisioningRefusedError(
                "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                f"below its minimum value of [{floor}]."
            )
