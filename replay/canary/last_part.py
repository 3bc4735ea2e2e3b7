"""After the last step: wait until the old version is quiet, pin the new one, give up what kept the old one warm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from replay.canary.errors import GoneError, JournalDownError
from replay.canary.patience import Patience
from replay.canary.ports import Clock, Promotion
from replay.canary.scribe import Scribe
from replay.canary.state import Start
from replay.errors import CloudError

_DRAIN_AT_MOST_S: Final = 900.0
"""Lambda's longest time-out: no request of the old version can take longer."""


class LastPart:
    """The promotion of one rollout. Each part of it may be repeated.

    Parameters
    ----------
    start
        The rollout.
    promotion, clock
        Who pins and releases, and what time it is.
    scribe
        Writes the intent of each part before it is done.
    patience
        Bounds how long a promotion may be refused.
    interrupted
        Does what others want meanwhile (an abort, another hand on the alias); True where that ended the rollout.
    """

    def __init__(
        self,
        start: Start,
        promotion: Promotion,
        clock: Clock,
        scribe: Scribe,
        patience: Patience,
        interrupted: Callable[[], bool],
    ) -> None:
        self._start, self._promotion, self._clock = start, promotion, clock
        self._scribe, self._patience, self._interrupted = scribe, patience, interrupted
        self._refused_from_s: float | None = None

    def promote(self) -> None:
        """Do what is not done yet, and end the rollout; return before where something does not answer.

        Raises
        ------
        GoneError
            The promotion has been refused for longer than the plan's patience.
        """
        state = self._scribe.state
        try:
            # An abort that comes while it drains finds everything as it was.
            if not state.pinned and not (self._drain() and self._do("pin", self._promotion.pin)):
                return
            if not state.released and not self._do("release", self._promotion.release):
                return
        except (CloudError, JournalDownError) as error:
            self._refused(error)
            return
        self._scribe.finish("promoted", self._scribe.state.why)

    def _do(self, action: Literal["pin", "release"], call: Callable[[], None]) -> bool:
        """Write the intent, do it, write that it is done; False where the intent cannot be written yet."""
        self._scribe.write("intent", {"action": action})
        if self._scribe.is_behind:
            return False
        with self._scribe.keeping_the_lease():
            call()
        self._scribe.write("done", {"action": action})
        return True

    def _drain(self) -> bool:
        """Wait until the old version has run nothing for as long as the plan says; False where the rollout ended."""
        clock, drain_s = self._clock, self._start.plan.drain_s
        quiet_from_s = clock.now_s()
        until_s = quiet_from_s + _DRAIN_AT_MOST_S
        while clock.now_s() - quiet_from_s < drain_s and clock.now_s() < until_s:
            clock.sleep(min(5.0, max(drain_s / 10, 0.1)))
            self._scribe.renew()
            # What keeps the old version warm must not go while the alias goes back to it.
            if self._interrupted():
                return False
            if self._promotion.busy():
                quiet_from_s = clock.now_s()
        return True

    def _refused(self, error: Exception) -> None:
        self._scribe.note_once(f"promotion is not complete, trying on: {error}")
        now_s = self._clock.now_s()
        if self._refused_from_s is None:
            self._refused_from_s = now_s
        if now_s - self._refused_from_s > self._patience.at_most_s:
            raise GoneError(
                f"{self._start.function}:{self._start.alias} is wholly at version {self._start.candidate}, but the "
                f"promotion was refused for {self._patience.at_most_s / 60:.3g} min ({error}); find out why, then "
                "`tailcast canary resume`"
            ) from error
