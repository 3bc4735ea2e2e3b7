"""The controller: look, judge, write down, act; again until the rollout has an outcome.

What is written before what, and what happens after a crash at any point between:

1. ``intent`` is journaled, then the alias is changed, then ``done`` is journaled. A controller that finds an intent
   without its ``done`` reads the alias: it shows the new weights (then the change was made), the old ones (then it is
   made now), or neither (then somebody else was there, and the rollout stops).
2. ``decision`` is journaled before its intent. A rollback is the exception: where the journal does not answer in time
   it is made without, since traffic on a bad version cannot wait for a table.
3. A controller that takes over first touches the alias: that makes a new revision, and whatever update of the old
   controller's is still under way fails on its ``RevisionId``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from replay.canary.batch import Batch
from replay.canary.errors import (
    EvidenceDownError,
    ForeignChangeError,
    GoneError,
    JournalDownError,
    LeaseLostError,
    StoppedError,
)
from replay.canary.journal.model import Command, Journal, Lease
from replay.canary.judge import Judge, Verdict
from replay.canary.last_part import LastPart
from replay.canary.patience import Patience
from replay.canary.ports import Clock, EvidenceSource, Gatekeeper, LiveAlias, Notifier, Promotion
from replay.canary.scribe import Scribe
from replay.canary.state import RolloutState, Start
from replay.errors import CloudError, InputError
from replay.shift import AliasState

_RETRY_S: Final = 1.0
_WEIGHT_DIGITS: Final = 1e-6


@dataclass(frozen=True)
class World:
    """Everything that a controller acts on."""

    alias: LiveAlias
    evidence: EvidenceSource
    journal: Journal
    gates: Gatekeeper
    promotion: Promotion
    notifier: Notifier
    clock: Clock


class Controller:
    """One controller of one rollout. Make it with :func:`begin` or :func:`resume`, then :meth:`run` it.

    Parameters
    ----------
    world
        What it acts on.
    lease
        The right to.
    state
        Where the rollout stands.
    judge
        Has seen the evidence of the journal so far.
    alias_state
        Where the alias points, as last read.
    """

    def __init__(self, world: World, lease: Lease, state: RolloutState, judge: Judge, alias_state: AliasState) -> None:
        if state.start is None:
            raise InputError("the rollout has no first line; start it anew")
        self.world = world
        self.start: Start = state.start
        self.judge = judge
        self._alias_state = alias_state
        self._ignored_alarms = set(state.start.firing)
        self._patience = Patience(self.start.plan.patience_s, world.clock.now_s())
        self._scribe = Scribe(world.journal, world.notifier, world.clock, self._patience, self.start, lease, state)
        self._last = LastPart(
            self.start,
            world.promotion,
            world.clock,
            self._scribe,
            self._patience,
            lambda: self._obey_commands() or self._foreign(),
        )
        self.rollback_took_s: float | None = None

    @property
    def state(self) -> RolloutState:
        """Where the rollout stands."""
        return self._scribe.state

    # ---- the loop --------------------------------------------------------------------------------------------------

    def run(self, after_look: Callable[[Controller], None] | None = None) -> RolloutState:
        """Run until the rollout has an outcome; ``after_look`` is called after each look.

        Raises
        ------
        LeaseLostError
            Another controller took over; this one did nothing more.
        GoneError
            Lambda or the journal has been silent, or the promotion refused, for longer than the plan's patience; the
            weights are as they were.
        StoppedError
            It was told to stop; the journal says so where it answers, and the weights are as they were.
        """
        while self.state.outcome is None:
            began_s = self.world.clock.now_s()
            self.tick()
            if after_look is not None:
                after_look(self)
            if self.state.outcome is None:
                # A clock that was set back meanwhile must not make the wait any longer.
                spent_s = max(self.world.clock.now_s() - began_s, 0.0)
                self.world.clock.sleep(max(self.start.plan.look_every_s - spent_s, 0.05))
        return self.state

    def tick(self) -> None:
        """Look once, and do what follows from it."""
        self._scribe.renew()
        if self._gone() or self._obey_commands():
            return
        if self._unfinished():
            if not self._shift_waits:
                return
        elif self._foreign():
            return
        verdict = self._look()
        alarm = self._new_alarm()
        if alarm is not None and verdict.decision != "rollback":
            verdict = Verdict("rollback", f"alarm {alarm} began to fire at {self._scribe.label}")
        if verdict.decision == "rollback" or not self._shift_waits:
            self._act(verdict)

    @property
    def _shift_waits(self) -> bool:
        """Whether Lambda or the journal does not take the next step; the one that runs is watched meanwhile."""
        state = self.state
        shifting = state.intent is not None and state.intent["action"] == "weight"
        return shifting and bool(state.spans) and state.outcome is None

    def stopped(self, error: StoppedError) -> None:
        """Write down that somebody told this controller to stop, and give the lease back."""
        with suppress(LeaseLostError):
            text = f"the controller was {error} and gave its lease back"
            self._scribe.write("note", {"text": text, "stopped": True})
        self.close()

    def close(self) -> None:
        """Give the lease back."""
        self._scribe.release()

    def _gone(self) -> bool:
        """Give up on a cloud that does not answer; True where that meant a rollback."""
        if "Lambda" in self._patience.silent(self.world.clock.now_s()):
            # After a long tick or sleep nobody has asked it for a while.
            with suppress(CloudError):
                self._read_alias()
        silent = self._patience.silent(self.world.clock.now_s())
        if not silent:
            return False
        why = f"{' and '.join(silent)} did not answer for {self._patience.at_most_s / 60:.3g} min"
        if "Lambda" not in silent and self.start.plan.on_crash == "rollback":
            self.roll_back(f"{why}, and the plan says to roll back then")
            return True
        raise GoneError(
            f"{self.start.function}:{self.start.alias}: {why}; the weights stay as they are. Find out why, then "
            "`tailcast canary resume`, or `tailcast canary abort`"
        )

    # ---- looking ---------------------------------------------------------------------------------------------------

    def _look(self) -> Verdict:
        now_s = self.world.clock.now_s()
        elapsed_s = now_s - self.state.spans[-1].start_s
        try:
            batch = self.world.evidence.look(self.state.spans, self.start.reference, self.state.seen_until_s, now_s)
        except EvidenceDownError as error:
            batch = Batch(note=str(error))
            self._scribe.note_once(f"no evidence: {error}")
        verdict = self.judge.look(batch, elapsed_s)
        data = {"step": self.state.step, "elapsed_s": elapsed_s, "batch": batch.to_json()}
        self._scribe.write("look", data, at_s=now_s, urgent=verdict.decision == "rollback")
        return verdict

    def _new_alarm(self) -> str | None:
        if not self.start.plan.alarms:
            return None
        try:
            firing = set(self.world.gates.firing())
        except CloudError as error:
            self._scribe.note_once(f"alarms cannot be read: {error}")
            return None
        # One that fired before the rollout is not its doing, until it has been quiet once.
        self._ignored_alarms &= firing
        return min(firing - self._ignored_alarms, default=None)

    def _foreign(self) -> bool:
        """Stop where the alias is not what this rollout made of it."""
        try:
            found = self._read_alias()
            if self._is(found, self.state.weight):
                self._alias_state = found
                return False
            # Lambda itself may show other weights for a moment while an alias changes.
            self.world.clock.sleep(2.0)
            found = self._read_alias()
            if self._is(found, self.state.weight):
                self._alias_state = found
                return False
            # An abort moves the alias before it leaves its command: who did it may be known by now.
            if self._obey_commands():
                return True
        except CloudError as error:
            self._scribe.note_once(f"the alias cannot be read: {error}")
            return False
        self._stop_for_foreign(found)
        return True

    def _read_alias(self) -> AliasState:
        found = self.world.alias.read()
        self._patience.heard("Lambda", self.world.clock.now_s())
        return found

    def _stop_for_foreign(self, found: AliasState) -> None:
        shown = ", ".join(f"version {version} {share:.0%}" for version, share in found.weights.items())
        self._scribe.finish(
            "stopped",
            f"somebody else changed {self.start.function}:{self.start.alias} to {shown}; it stays as they left it",
        )

    # ---- acting ----------------------------------------------------------------------------------------------------

    def _act(self, verdict: Verdict) -> None:
        plan = self.start.plan
        if verdict.decision == "rollback":
            self.roll_back(verdict.why)
        elif verdict.decision == "advance" and self.state.paused is None:
            refusals = self.world.gates.refusals()
            if refusals:
                self._scribe.note_once(f"gates hold {self._scribe.label}: {'; '.join(refusals)}")
                return
            last = self.state.step == len(plan.steps) - 1
            self._scribe.write(
                "decision",
                {"decision": "promote" if last else "advance", "why": verdict.why, "step": self.state.step},
            )
            self._scribe.tell("promoting" if last else "advancing", verdict.why)
            self._unfinished()
        elif verdict.decision == "inconclusive" and self.state.paused is None:
            waited_s = self.world.clock.now_s() - self.state.patience_from_s
            if waited_s < plan.steps[self.state.step].at_most_s:
                return
            if plan.inconclusive == "rollback":
                self.roll_back(f"inconclusive, and the plan says to roll back: {verdict.why}")
            elif plan.inconclusive == "pause":
                self._scribe.write("paused", {"why": f"inconclusive: {verdict.why}"})
                self._scribe.tell("paused", verdict.why)
            else:
                self._scribe.note_once(f"inconclusive, waiting: {self._scribe.label}")

    def roll_back(self, why: str, *, command_at_s: float | None = None) -> None:
        """Send everything to the baseline at once; the journal is told before, or after where it does not answer."""
        decided_s = self.world.clock.now_s()
        data: dict[str, Any] = {"decision": "rollback", "why": why, "step": self.state.step}
        if command_at_s is not None:
            data["command_at_s"] = command_at_s
        self._scribe.write("decision", data, urgent=True)
        self._carry_out_rollback(why, decided_s)

    def _carry_out_rollback(self, why: str, decided_s: float) -> None:
        while True:
            try:
                self._alias_state = self.world.alias.roll_back()
                break
            except CloudError as error:
                self._scribe.note_once(f"rolling back is refused, trying on: {error}")
                if self.world.clock.now_s() - decided_s > self._patience.at_most_s:
                    raise GoneError(
                        f"{self.start.function}:{self.start.alias}: rolling back was refused for "
                        f"{self._patience.at_most_s / 60:.3g} min ({error}); send the alias to version "
                        f"{self.start.baseline} by hand, or `tailcast canary abort` once Lambda answers"
                    ) from error
                self.world.clock.sleep(_RETRY_S)
        self.rollback_took_s = self.world.clock.now_s() - decided_s
        self._scribe.finish("rolled_back", why)

    def _unfinished(self) -> bool:
        """Carry on with what was decided and is not done; True where that was this tick's work."""
        state = self.state
        if state.decided == "rollback":
            self._carry_out_rollback(state.why, self.world.clock.now_s())
        elif state.intent is not None:
            self._reconcile(state.intent)
        elif state.decided == "advance" and state.paused is None:
            self._shift(state.step + 1)
        elif state.decided == "promote" and state.weight < 1:
            self._shift(len(self.start.plan.steps) - 1)
        elif state.decided == "promote":
            self._last.promote()
        elif not state.spans:
            self._shift(0)
        else:
            return False
        return True

    def _shift(self, step: int) -> None:
        weight = self.start.plan.steps[step].weight
        before = dict(self._alias_state.weights)
        self._scribe.write("intent", {"action": "weight", "step": step, "weight": weight, "before": before})
        if self._scribe.is_behind:
            return
        self._set_weight(step, weight)

    def _set_weight(self, step: int, weight: float) -> None:
        try:
            self._alias_state = self.world.alias.set_weight(weight, self._alias_state.revision_id)
        except ForeignChangeError:
            # Somebody else; or an earlier try of this controller's, which was given up as lost and arrived after all.
            self._look_after(step, weight)
            return
        except CloudError as error:
            # The intent stands: the next look finds out whether the change was made.
            self._scribe.note_once(f"shifting to {weight:.0%}: {error}")
            return
        self._patience.heard("Lambda", self.world.clock.now_s())
        self._step_began(step, weight, self.world.clock.now_s())

    def _look_after(self, step: int, weight: float) -> None:
        """Find out whose change it was that came before this controller's."""
        try:
            found = self._read_alias()
        except CloudError as error:
            # The intent stands: the next look finds out.
            self._scribe.note_once(f"the alias cannot be read: {error}")
            return
        if self._is(found, weight):
            self._alias_state = found
            self._step_began(step, weight, self.world.clock.now_s())
        else:
            self._stop_for_foreign(found)

    def _step_began(self, step: int, weight: float, at_s: float) -> None:
        self._scribe.write("done", {"action": "weight", "step": step, "weight": weight, "at_s": at_s})
        self.judge.begin_step(step)
        self._scribe.a_step_began()

    def _reconcile(self, intent: Mapping[str, Any]) -> None:
        """Find out how far an intent without its ``done`` got, and finish it."""
        if intent["action"] != "weight":
            self._last.promote()
            return
        try:
            found = self._read_alias()
        except CloudError as error:
            self._scribe.note_once(f"the alias cannot be read: {error}")
            return
        self._alias_state = found
        step, weight = int(intent["step"]), float(intent["weight"])
        if self._is(found, weight):
            self._step_began(step, weight, self.world.clock.now_s())
        elif _same(found.weights, intent["before"]):
            # Only an intent that is written may be acted on; the next tick tries to write it again.
            if not self._scribe.is_behind:
                self._set_weight(step, weight)
        else:
            self._stop_for_foreign(found)

    # ---- commands --------------------------------------------------------------------------------------------------

    def _obey_commands(self) -> bool:
        try:
            commands = self._scribe.commands()
        except JournalDownError as error:
            self._scribe.note_once(str(error))
            return False
        # What was asked for after an abort comes too late.
        return any(self._obey(command) for command in commands)

    def _obey(self, command: Command) -> bool:
        at: dict[str, Any] = {"command_at_s": command.at_s}
        if command.name == "abort":
            self.roll_back(f"{command.who} asked for it", command_at_s=command.at_s)
            return True
        if command.name == "pause":
            self._scribe.write("paused", {"why": f"{command.who} asked for it", **at})
            self._scribe.tell("paused", f"{command.who} asked for it")
        elif command.name == "resume":
            self._scribe.write("resumed", {"why": f"{command.who} asked for it", **at})
        else:
            why = f"{command.who} asked for it, without waiting for evidence"
            self._scribe.write("decision", {"decision": "promote", "why": why, "step": self.state.step, **at})
            self._scribe.tell("promoting", why)
        return False

    def _is(self, found: AliasState, weight: float) -> bool:
        wanted = {self.start.baseline: 1 - weight, self.start.candidate: weight}
        return _same(found.weights, wanted)


def _same(weights: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    return all(
        math.isclose(weights.get(version, 0.0), wanted.get(version, 0.0), abs_tol=_WEIGHT_DIGITS)
        for version in {*weights, *wanted}
    )
