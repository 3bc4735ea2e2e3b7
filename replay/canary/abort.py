"""Abort: everything to the baseline at once; what else can be told is told afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replay.canary.errors import JournalDownError, LeaseHeldError, LeaseLostError
from replay.canary.journal import Journal, Line, leave
from replay.canary.live import Place, holder, live_alias, open_journal, recall, who
from replay.canary.preflight import Target
from replay.canary.state import fold
from replay.errors import CloudError, InputError


@dataclass(frozen=True)
class Aborted:
    """What was done."""

    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def abort_now(place: Place, function: str, alias: str, to_version: str | None) -> Aborted:
    """Roll back first, ask questions later.

    Parameters
    ----------
    to_version
        Version to go back to; None for the one that the start of the rollout wrote down on this machine, where the
        alias shows the versions of that rollout, else in the journal.

    Raises
    ------
    InputError
        Nobody says which version is the good one.
    CloudError
        Lambda refuses.
    """
    began_s = time.monotonic()
    record = _of_this_rollout(recall(place, function, alias), place, function, alias)
    baseline = to_version or (str(record["baseline"]) if record else None)
    journal: Journal | None = None
    rollout = str(record["rollout"]) if record else None
    if baseline is None:
        # Another machine started it: only the journal knows.
        try:
            journal = open_journal(place, Target(function, alias, "", ""))
            rollouts = journal.rollouts()
            state = fold(journal.lines(rollouts[-1], looks=True)) if rollouts else None
        except JournalDownError as error:
            raise InputError(
                f"{function}:{alias}: this machine knows of no rollout, and the journal does not say ({error}); "
                "name the version to go back to with --to-version"
            ) from error
        if state is None or state.start is None:
            raise InputError(
                f"{function}:{alias}: no rollout is known; name the version to go back to with --to-version"
            )
        baseline, rollout = state.start.baseline, state.start.rollout_id
    live_alias(place, Target(function, alias, baseline, baseline)).roll_back()
    took_s = time.monotonic() - began_s
    note = _tell(place, journal, Target(function, alias, baseline, ""), rollout)
    facts = {"function": function, "alias": alias, "version": baseline, "took_s": round(took_s, 3), "journal": note}
    return Aborted(f"{function}:{alias} is wholly at version {baseline} after {took_s:.2f} s; {note}", facts)


def _of_this_rollout(
    record: Mapping[str, Any] | None, place: Place, function: str, alias: str
) -> Mapping[str, Any] | None:
    """Leave out a record of an earlier rollout: others have been started elsewhere since, from another baseline."""
    if record is None:
        return None
    known = {str(record["baseline"]), str(record.get("candidate"))}
    try:
        serving = live_alias(place, Target(function, alias, "", "")).read().weights
    except CloudError:
        # The change itself may get through; the record is the best there is.
        return record
    return record if serving.keys() <= known else None


def _tell(place: Place, journal: Journal | None, target: Target, rollout: str | None) -> str:
    """Tell the running controller, or write the end of the rollout oneself; the traffic is safe already."""
    try:
        journal = journal or open_journal(place, target)
        # The newest is the only one that can be under way, whichever this machine remembers.
        rollout = next(reversed(journal.rollouts()), rollout)
        if rollout is None:
            return "no rollout was under way"
        leave(journal, rollout, "abort", who(), time.time())
        try:
            lease = journal.acquire(holder(), 30.0, time.time())
        except LeaseHeldError:
            return f"the controller of {rollout} is told"
        try:
            state = fold(journal.lines(rollout))
            if state.start is None or state.outcome is not None:
                return "the rollout had ended"
            data = {"outcome": "rolled_back", "why": f"{who()} aborted it; it had no controller"}
            journal.append(lease, Line(rollout, state.lines, time.time(), lease.token, "finished", data))
            return f"{rollout} is written down as rolled back"
        finally:
            journal.release(lease)
    except (JournalDownError, LeaseLostError) as error:
        return f"the journal could not be told ({error})"
