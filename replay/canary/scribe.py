"""What a controller writes down and says: the journal's lines in order, the lease under which it may, the notices.

Where the journal does not answer, lines wait here until it does; whoever wants to act on one asks first whether it is
written (:attr:`Scribe.is_behind`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from replay.canary.errors import JournalDownError, LeaseLostError
from replay.canary.journal.model import Command, Journal, Kind, Lease, Line
from replay.canary.lease import heartbeat, lease_s
from replay.canary.patience import Patience
from replay.canary.ports import Clock, Notifier
from replay.canary.state import Outcome, RolloutState, Start, advance


class Scribe:
    """One controller's hand in the journal.

    Parameters
    ----------
    journal, notifier, clock
        Where lines and notices go, and what time they have.
    patience
        Is told whenever the journal answers.
    start
        The rollout's first line.
    lease
        The right to write.
    state
        The rollout after the lines that are in the journal.
    """

    def __init__(
        self,
        journal: Journal,
        notifier: Notifier,
        clock: Clock,
        patience: Patience,
        start: Start,
        lease: Lease,
        state: RolloutState,
    ) -> None:
        self.state = state
        self._journal, self._notifier, self._clock, self._patience = journal, notifier, clock, patience
        self._start, self._lease = start, lease
        self._unwritten: list[Line] = []
        self._said: set[str] = set()

    @property
    def is_behind(self) -> bool:
        """Whether a line waits for the journal to answer."""
        return bool(self._unwritten)

    # ---- lines -----------------------------------------------------------------------------------------------------

    def write(self, kind: Kind, data: Mapping[str, Any], *, at_s: float | None = None, urgent: bool = False) -> None:
        """Write a line; where the journal does not answer it waits, in order, until it does.

        Parameters
        ----------
        urgent
            Whether what follows cannot wait until people are told that the journal does not answer.

        Raises
        ------
        LeaseLostError
            Another controller took over.
        """
        line = Line(
            self._start.rollout_id,
            self.state.lines,
            self._clock.now_s() if at_s is None else at_s,
            self._lease.token,
            kind,
            data,
        )
        self.state = advance(self.state, line)
        self._unwritten.append(line)
        try:
            self._flush()
        except JournalDownError as error:
            if not urgent:
                self.tell_once("journal", str(error))

    def finish(self, outcome: Outcome, why: str) -> None:
        """Write the rollout's last line, and tell."""
        self.write("finished", {"outcome": outcome, "why": why})
        self.tell(outcome.replace("_", " "), why)

    def commands(self) -> Sequence[Command]:
        """Give what was asked of the controller since the last command that is written down; raise as the journal."""
        return self._journal.commands(self._start.rollout_id, self.state.commands_until_s)

    def _flush(self) -> None:
        while self._unwritten:
            self._journal.append(self._lease, self._unwritten[0])
            self._unwritten.pop(0)
            self._patience.heard("the journal", self._clock.now_s())

    # ---- the lease -------------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Extend the lease and write what waits; raise :class:`LeaseLostError` where another controller took over."""
        try:
            self._lease = self._journal.renew(self._lease, lease_s(self._start.plan), self._clock.now_s())
            self._patience.heard("the journal", self._clock.now_s())
            self._flush()
        except JournalDownError as error:
            self.tell_once("journal", str(error))

    @contextmanager
    def keeping_the_lease(self) -> Iterator[None]:
        """Keep the lease during a call that takes longer than it lasts."""
        with heartbeat(self._journal, self._lease, lease_s(self._start.plan), self._clock):
            yield

    def release(self) -> None:
        """Write what waits, and give the lease back; nothing happens where the journal is gone or another's."""
        try:
            self._flush()
            self._journal.release(self._lease)
        except (JournalDownError, LeaseLostError):
            return

    # ---- notices ---------------------------------------------------------------------------------------------------

    def tell(self, subject: str, why: str) -> None:
        """Tell whom the plan names."""
        start = self._start
        self._notifier.tell(
            f"{start.function}:{start.alias} {subject}",
            {
                "rollout": start.rollout_id,
                "function": start.function,
                "alias": start.alias,
                "candidate": start.candidate,
                "baseline": start.baseline,
                "event": subject,
                "step": self.label,
                "why": why,
            },
        )

    def tell_once(self, subject: str, text: str) -> None:
        """Tell the same text once a step."""
        if text not in self._said:
            self._said.add(text)
            self.tell(subject, text)

    def note_once(self, text: str) -> None:
        """Write the same note, and tell it, once a step."""
        if text not in self._said:
            self._said.add(text)
            self.write("note", {"text": text})
            self.tell("note", text)

    def a_step_began(self) -> None:
        """Forget what was said: it may be said again."""
        self._said.clear()

    @property
    def label(self) -> str:
        """Name of the step that runs."""
        return self._start.plan.steps[self.state.step].label if self.state.spans else "0%"
