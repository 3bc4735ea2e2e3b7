"""Lines, lease and commands, and what every journal promises.

Promises
    A line is written whole or not at all, and once: its place (rollout, number) can be taken only by one writer.
    Only the holder of the newest lease can write: every lease has a higher token than those before it, and a line
    with an older token is refused. That is the fence: a controller that was asleep for an hour cannot act on what it
    thought, since it writes its intent first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

Kind = Literal["started", "intent", "done", "look", "decision", "paused", "resumed", "note", "finished"]

CommandName = Literal["pause", "resume", "abort", "promote"]

_APART_S: Final = 0.001


@dataclass(frozen=True)
class Line:
    """One line of a rollout's journal.

    Parameters
    ----------
    rollout_id
        Which rollout.
    number
        Place in it, from 0, without gaps.
    at_s
        When, seconds since the epoch.
    token
        Token of the lease under which it was written.
    kind
        What kind of line; ``data`` depends on it (see :mod:`replay.canary.state`).
    data
        JSON types.
    """

    rollout_id: str
    number: int
    at_s: float
    token: int
    kind: Kind
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Lease:
    """The right to act, until ``until_s``."""

    holder: str
    token: int
    until_s: float


@dataclass(frozen=True)
class Command:
    """What somebody asked of the running controller."""

    name: CommandName
    at_s: float
    who: str


class Journal(Protocol):
    """What every journal does. All methods raise JournalDownError where it does not answer in time."""

    def acquire(self, holder: str, ttl_s: float, now_s: float) -> Lease:
        """Take the lease, with a token higher than any before. Raises LeaseHeldError while another holds it."""
        ...

    def renew(self, lease: Lease, ttl_s: float, now_s: float) -> Lease:
        """Extend the lease. Raises LeaseLostError where another has taken it."""
        ...

    def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens where another has it."""
        ...

    def holder(self, now_s: float) -> Lease | None:
        """Give the lease that is held now."""
        ...

    def append(self, lease: Lease, line: Line) -> None:
        """Write a line. Raises LeaseLostError for an old token or a place that another has taken."""
        ...

    def lines(self, rollout_id: str, *, looks: bool = True) -> Sequence[Line]:
        """Give a rollout's lines in order."""
        ...

    def rollouts(self) -> Sequence[str]:
        """Give the ids of all rollouts that have a first line, oldest first (ids sort by time)."""
        ...

    def post(self, rollout_id: str, command: Command) -> None:
        """Leave a command for the controller."""
        ...

    def commands(self, rollout_id: str, since_s: float) -> Sequence[Command]:
        """Give the commands left after ``since_s``, in order."""
        ...


def leave(journal: Journal, rollout_id: str, name: CommandName, who: str, now_s: float) -> None:
    """Leave a command after all that were left before, whatever the clocks of those who left them say."""
    last_s = max((command.at_s for command in journal.commands(rollout_id, 0.0)), default=0.0)
    journal.post(rollout_id, Command(name, max(now_s, last_s + _APART_S), who))
