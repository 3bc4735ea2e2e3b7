"""The environments of one version of a function: which one serves next, and when one has idled long enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from replay.cloud.lambda_plane.environment import Environment
from replay.cloud.lambda_plane.variables import PROVISIONED


class VersionPool:
    """Idle and busy environments of one version.

    Provisioned environments serve first. Of the on-demand ones the most recently used serves first, which is what
    recorded reuse on Lambda shows; so surplus ones idle on, and end after ``keep_alive_s``.

    Parameters
    ----------
    keep_alive_s
        Idle time of an on-demand environment.
    end
        Called with an environment that is to end; it has left the pool by then.
    """

    def __init__(self, keep_alive_s: float, end: Callable[[Environment], None]) -> None:
        self._keep_alive_s = keep_alive_s
        self._end = end
        self._members: set[Environment] = set()
        self._idle: dict[Environment, asyncio.TimerHandle] = {}  # least recently used first
        self._idle_provisioned: dict[Environment, None] = {}
        self._busy_provisioned: set[Environment] = set()

    def __len__(self) -> int:
        """Give the number of environments, idle or busy."""
        return len(self._members)

    def add(self, environment: Environment) -> None:
        """Take in an environment that is busy (or still starting)."""
        self._members.add(environment)

    def take_provisioned(self) -> Environment | None:
        """Give an idle provisioned environment, the most recently used one; end those that have died."""
        while self._idle_provisioned:
            environment, _ = self._idle_provisioned.popitem()
            if environment.alive:
                self._busy_provisioned.add(environment)
                return environment
            self.discard(environment)
            self._end(environment)
        return None

    def take_warm(self, revision: str) -> Environment | None:
        """Give the most recently used idle on-demand environment that runs ``revision``; end those that run another."""
        while self._idle:
            environment, timer = self._idle.popitem()
            timer.cancel()
            if environment.alive and environment.version.revision == revision:
                return environment
            self.discard(environment)
            self._end(environment)
        return None

    def give_back(self, environment: Environment) -> None:
        """Make an environment idle, or end it where it has died or was retired."""
        self._busy_provisioned.discard(environment)
        if not environment.alive or environment.retired:
            self.discard(environment)
            self._end(environment)
        elif environment.initialization_type == PROVISIONED:
            self._idle_provisioned[environment] = None
        else:
            loop = asyncio.get_running_loop()
            self._idle[environment] = loop.call_later(self._keep_alive_s, self._expire, environment)

    def discard(self, environment: Environment) -> bool:
        """Take an environment out; False where it was out already."""
        timer = self._idle.pop(environment, None)
        if timer is not None:
            timer.cancel()
        self._idle_provisioned.pop(environment, None)
        if environment not in self._members:
            return False
        self._members.remove(environment)
        return True

    def provisioned_use(self) -> float:
        """Give the share of provisioned environments that are busy; 0 where none has started."""
        busy = len(self._busy_provisioned)
        there = busy + len(self._idle_provisioned)
        return busy / there if there else 0.0

    def retire(self, environment: Environment) -> None:
        """End an environment: at once where it is idle, else after the event at hand."""
        environment.retired = True
        if environment in self._idle or environment in self._idle_provisioned:
            self.discard(environment)
            self._end(environment)

    def retire_all(self) -> None:
        """Retire every environment."""
        for environment in list(self._members):
            self.retire(environment)

    def is_idle(self, environment: Environment) -> bool:
        """Whether the environment waits for work."""
        return environment in self._idle or environment in self._idle_provisioned

    def _expire(self, environment: Environment) -> None:
        if self.discard(environment):
            self._end(environment)
