"""Beginning a rollout, and taking over one whose controller is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from replay.canary.batch import Batch
from replay.canary.controller import Controller, World
from replay.canary.errors import ForeignChangeError, JournalDownError, LeaseLostError
from replay.canary.journal.model import Lease, Line
from replay.canary.judge import Judge
from replay.canary.lease import SHORTEST_LEASE_S, lease_s
from replay.canary.plan_file import plan_to_document
from replay.canary.state import RolloutState, Start, advance, fold, start_to_json
from replay.errors import CloudError, InputError, ReplayError
from replay.shift import AliasState


def begin(world: World, start: Start, holder: str) -> Controller:
    """Take the lease and write the first line. The preflight has been passed.

    Raises
    ------
    LeaseHeldError
        Another controller runs a rollout of this alias.
    JournalDownError, CloudError
        The journal or Lambda does not answer: nothing is started.
    """
    now_s = world.clock.now_s()
    lease = world.journal.acquire(holder, lease_s(start.plan), now_s)
    line = Line(start.rollout_id, 0, now_s, lease.token, "started", start_to_json(start, plan_to_document(start.plan)))
    with _given_back_on_error(world, lease):
        alias_state = world.alias.read()
        world.journal.append(lease, line)
    judge = Judge(start.plan, start.reference, start.expected)
    return Controller(world, lease, advance(RolloutState(), line), judge, alias_state)


def resume(world: World, rollout_id: str, holder: str) -> Controller:
    """Take over a rollout whose controller is gone: exactly where it was, or with a rollback, as its plan says.

    Raises
    ------
    LeaseHeldError
        Its controller is not gone.
    InputError
        It has an outcome already, or no journal.
    JournalDownError, CloudError
        The journal or Lambda does not answer.
    """
    known = fold_start(world.journal.lines(rollout_id, looks=False))
    lasts_s = lease_s(known.plan) if known is not None else SHORTEST_LEASE_S
    lease = world.journal.acquire(holder, lasts_s, world.clock.now_s())
    with _given_back_on_error(world, lease):
        lines = world.journal.lines(rollout_id)
        state = fold(lines)
        if state.start is None or state.outcome is not None:
            raise InputError(f"rollout {rollout_id}: " + (f"it ended: {state.why}" if lines else "it has no journal"))
        judge = Judge(state.start.plan, state.start.reference, state.start.expected)
        for line in lines:
            if line.kind == "done" and line.data["action"] == "weight":
                judge.begin_step(int(line.data["step"]))
            elif line.kind == "look":
                judge.take(Batch.from_json(line.data["batch"]), float(line.data["elapsed_s"]))
        alias_state = _fence(world)
    controller = Controller(world, lease, state, judge, alias_state)
    # One that was told to stop has not crashed.
    stopped = bool(lines[-1].data.get("stopped"))
    if state.start.plan.on_crash == "rollback" and not stopped and state.decided not in ("rollback", "promote"):
        controller.roll_back("its controller was gone, and the plan says to roll back then")
    return controller


def fold_start(lines: Sequence[Line]) -> Start | None:
    """Give what a rollout's first line says; None where there is no such line."""
    return advance(RolloutState(), lines[0]).start if lines and lines[0].number == 0 else None


@contextmanager
def _given_back_on_error(world: World, lease: Lease) -> Iterator[None]:
    """Let nobody wait for the lease of a controller that did not come to be."""
    try:
        yield
    except ReplayError:
        with suppress(JournalDownError, LeaseLostError):
            world.journal.release(lease)
        raise


def _fence(world: World) -> AliasState:
    for _ in range(3):
        try:
            return world.alias.touch(world.alias.read().revision_id)
        except ForeignChangeError:
            # The old controller's last change slipped in before; the next one of its cannot.
            continue
    raise CloudError("the alias changes again and again; find out who else shifts it, then resume")
