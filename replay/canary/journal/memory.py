"""A journal in this process: for rehearsals, where nothing outlives the run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from replay.canary.errors import LeaseHeldError, LeaseLostError
from replay.canary.journal.model import Command, Lease, Line


class MemoryJournal:
    """See :class:`replay.canary.journal.model.Journal`.

    Parameters
    ----------
    keep_looks
        False forgets what looks saw, for thousands of rehearsed rollouts whose journals nobody reads back.
    """

    def __init__(self, *, keep_looks: bool = True) -> None:
        self._lines: dict[str, list[Line]] = {}
        self._commands: dict[str, list[Command]] = {}
        self._lease: Lease | None = None
        self._token = 0
        self._lock = threading.Lock()
        self._keep_looks = keep_looks

    def acquire(self, holder: str, ttl_s: float, now_s: float) -> Lease:
        """Take the lease."""
        with self._lock:
            if self._lease is not None and self._lease.until_s > now_s and self._lease.holder != holder:
                raise LeaseHeldError(held_message(self._lease, now_s))
            self._token += 1
            self._lease = Lease(holder, self._token, now_s + ttl_s)
            return self._lease

    def renew(self, lease: Lease, ttl_s: float, now_s: float) -> Lease:
        """Extend the lease."""
        self._check(lease)
        self._lease = replace(lease, until_s=now_s + ttl_s)
        return self._lease

    def release(self, lease: Lease) -> None:
        """Give the lease back."""
        if self._lease is not None and self._lease.token == lease.token:
            self._lease = None

    def holder(self, now_s: float) -> Lease | None:
        """Give the lease that is held now."""
        return self._lease if self._lease is not None and self._lease.until_s > now_s else None

    def append(self, lease: Lease, line: Line) -> None:
        """Write a line."""
        self._check(lease)
        lines = self._lines.setdefault(line.rollout_id, [])
        if lines and lines[-1].number >= line.number:
            raise LeaseLostError(taken_message(line))
        if line.kind == "look" and not self._keep_looks:
            line = replace(line, data={})
        lines.append(line)

    def lines(self, rollout_id: str, *, looks: bool = True) -> Sequence[Line]:
        """Give a rollout's lines in order."""
        return [line for line in self._lines.get(rollout_id, []) if looks or line.kind != "look"]

    def rollouts(self) -> Sequence[str]:
        """Give the ids of all rollouts."""
        return sorted(self._lines)

    def post(self, rollout_id: str, command: Command) -> None:
        """Leave a command."""
        self._commands.setdefault(rollout_id, []).append(command)

    def commands(self, rollout_id: str, since_s: float) -> Sequence[Command]:
        """Give the commands left after ``since_s``."""
        return [command for command in self._commands.get(rollout_id, ()) if command.at_s > since_s]

    def _check(self, lease: Lease) -> None:
        if self._lease is None or self._lease.token != lease.token:
            raise LeaseLostError(lost_message(lease))


def held_message(lease: Lease, now_s: float) -> str:
    """Say who holds the lease."""
    return (
        f"{lease.holder} runs this rollout and holds the lease for another {max(lease.until_s - now_s, 0):.0f} s; "
        "see `tailcast canary status`, or wait until it is given up"
    )


def lost_message(lease: Lease) -> str:
    """Say that the lease is gone."""
    return f"the lease of {lease.holder} (token {lease.token}) was taken over by another controller; this one stops"


def taken_message(line: Line) -> str:
    """Say that a place is taken."""
    return f"line {line.number} of rollout {line.rollout_id} was written by another controller; this one stops"
