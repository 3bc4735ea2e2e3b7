"""What people do to a rollout: commands, and other hands on the alias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from replay.canary.errors import (
    GoneError,
)
from replay.canary.journal import Command, leave
from replay.canary.rehearse.world import SimulatedAlias, SimulatedClock
from replay.errors import CloudError
from replay.shift import AliasState
from tests.replay.canary.simulated import BAD, PLAN, Setup, refused


def test_weights_changed_by_hand_stop_the_rollout_and_stay():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    setup.alias._become("1", {"2": 0.35})
    setup.run(controller)
    assert controller.state.outcome == "stopped"
    assert "35%" in controller.state.why
    assert setup.alias.read().additional == {"2": 0.35}


def test_a_change_of_hands_between_intent_and_update_is_noticed():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    real = setup.alias.set_weight

    def slips_in(weight: float, revision_id: str) -> AliasState:
        setup.alias._become("1", {"2": 0.5})
        return real(weight, revision_id)

    setup.alias.set_weight = slips_in  # type: ignore[method-assign]
    setup.run(controller)
    assert controller.state.outcome == "stopped"
    assert setup.alias.read().additional == {"2": 0.5}


def test_a_change_of_its_own_that_arrives_late_is_not_anothers():
    """UpdateAlias was given up as lost; it arrives between the next try's look at the alias and its change."""
    setup = Setup()
    controller = setup.begin()
    real, tries = setup.alias.set_weight, []

    def lost(weight: float, revision_id: str) -> AliasState:
        tries.append((weight, revision_id))
        if len(tries) == 1:
            raise CloudError("UpdateAlias: read timeout")
        if len(tries) == 2:
            real(*tries[0])
        return real(weight, revision_id)

    setup.alias.set_weight = lost  # type: ignore[method-assign]
    setup.run(controller)
    assert controller.state.outcome == "promoted"
    assert [weights.get("2") for weights in setup.alias.changes] == [0.2, 0.6, 1.0]
    setup.check_journal()


def test_an_alias_that_cannot_be_read_after_a_clash_is_looked_at_later():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    real_set, real_read, silent = setup.alias.set_weight, setup.alias.read, [False]

    def clashes(weight: float, revision_id: str) -> AliasState:
        setup.alias._become("1", {"2": 0.5})
        silent[0] = True
        return real_set(weight, revision_id)

    def read() -> AliasState:
        if silent[0]:
            silent[0] = False
            raise CloudError("GetAlias: read timeout")
        return real_read()

    setup.alias.set_weight, setup.alias.read = clashes, read  # type: ignore[method-assign]
    setup.run(controller)
    assert controller.state.outcome == "stopped"
    assert setup.alias.read().additional == {"2": 0.5}


def test_terraform_that_only_touches_the_alias_does_not_stop_it():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    setup.alias.touch(setup.alias.read().revision_id)
    setup.run(controller)
    assert controller.state.outcome == "promoted"


def test_pause_and_resume():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.journal.post("r1", Command("pause", setup.clock.now_s(), "anna"))
    for _ in range(120):
        controller.tick()
        setup.clock.sleep(10)
    assert controller.state.step == 0
    assert controller.state.paused == "anna asked for it"
    setup.journal.post("r1", Command("resume", setup.clock.now_s(), "anna"))
    setup.run(controller)
    assert controller.state.outcome == "promoted"


def test_a_command_is_obeyed_though_the_one_before_came_from_a_clock_that_is_ahead():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    leave(setup.journal, "r1", "pause", "anna", setup.clock.now_s() + 3600)
    controller.tick()
    assert controller.state.paused is not None
    leave(setup.journal, "r1", "resume", "bert", setup.clock.now_s())
    controller.tick()
    assert controller.state.paused is None


def test_a_paused_rollout_still_rolls_back():
    setup = Setup(replace(BAD, from_s=120))
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.journal.post("r1", Command("pause", setup.clock.now_s(), "anna"))
    setup.run(controller)
    assert controller.state.outcome == "rolled_back"


def test_abort_and_forced_promotion():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.journal.post("r1", Command("abort", setup.clock.now_s(), "anna"))
    controller.tick()
    assert controller.state.outcome == "rolled_back"
    assert controller.state.why == "anna asked for it"
    forced = Setup()
    controller = forced.run(forced.begin(), until=lambda c: c.state.lines > 4)
    forced.journal.post("r1", Command("promote", forced.clock.now_s(), "anna"))
    began_s = forced.clock.now_s()
    forced.run(controller)
    assert controller.state.outcome == "promoted"
    assert forced.clock.now_s() - began_s < 120
    forced.check_journal()


@pytest.mark.parametrize("killed", [False, True])
def test_a_forced_promotion_whose_shift_isrefused_once_still_waits_for_no_evidence(killed):
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.journal.post("r1", Command("promote", setup.clock.now_s(), "anna"))
    setup.alias.set_weight = refused  # type: ignore[method-assign, assignment]
    controller.tick()
    del setup.alias.set_weight
    if killed:
        controller = setup.resume()
    controller.tick()
    assert setup.alias.read().weights == {"2": 1.0}
    controller.tick()
    assert controller.state.outcome == "promoted"
    setup.check_journal()


def test_going_on_after_a_pause_does_not_forget_a_rollback_that_was_decided():
    """An alarm began to fire while the rollout was paused, Lambda refused the rollback; now it is quiet again."""
    plan = replace(PLAN, alarms=("new",), patience_s=60)
    setup = Setup(plan=plan)
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.journal.post("r1", Command("pause", setup.clock.now_s(), "anna"))
    setup.hands.alarms = {"new"}
    setup.alias.roll_back = refused  # type: ignore[method-assign]
    with pytest.raises(GoneError):
        setup.run(controller)
    del setup.alias.roll_back
    setup.hands.alarms = set()
    setup.journal.post("r1", Command("resume", setup.clock.now_s(), "anna"))
    controller = setup.run(setup.resume())
    assert controller.state.outcome == "rolled_back"
    assert "alarm new" in controller.state.why
    assert setup.alias.read().weights == {"1": 1.0}


class DrainingClock(SimulatedClock):
    """A clock that does something once, a moment after the candidate has got everything."""

    def __init__(self, alias: SimulatedAlias, then: Callable[[], object]) -> None:
        super().__init__()
        self._alias, self._then, self._done = alias, then, False

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self._alias.read().weights == {"2": 1.0} and seconds < 10 and not self._done:
            self._done = True
            self._then()


@pytest.mark.parametrize("told", [True, False])
def test_an_abort_while_the_old_version_drains_keeps_it_warm(told):
    """The alias goes back at once; whether or not the journal takes the command, nothing may be released then."""
    setup = Setup()

    def abort() -> None:
        setup.alias.roll_back()
        if told:
            setup.journal.post("r1", Command("abort", setup.clock.now_s(), "anna"))

    setup.clock = DrainingClock(setup.alias, abort)
    controller = setup.run(setup.begin())
    assert controller.state.outcome == ("rolled_back" if told else "stopped")
    assert (setup.hands.pins, setup.hands.releases) == (0, 0)
    assert setup.alias.read().weights == {"1": 1.0}
    setup.check_journal()


def test_what_is_asked_for_after_an_abort_comes_too_late():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    for name in ("abort", "promote", "pause"):
        setup.clock.sleep(1)
        setup.journal.post("r1", Command(name, setup.clock.now_s(), "anna"))  # type: ignore[arg-type]
    controller.tick()
    assert controller.state.outcome == "rolled_back"
    assert setup.journal.lines("r1")[-1].kind == "finished"
    assert setup.alias.read().weights == {"1": 1.0}
    setup.check_journal()


def test_an_abort_whose_command_comes_after_its_change_is_known_as_one():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    real = setup.alias.read

    def read() -> AliasState:
        # The alias has been moved; between the controller's two looks at it the command arrives.
        found = real()
        if found.weights == {"1": 1.0}:
            setup.journal.post("r1", Command("abort", setup.clock.now_s(), "anna"))
        return found

    setup.alias.roll_back()
    setup.alias.read = read  # type: ignore[method-assign]
    setup.run(controller)
    assert controller.state.outcome == "rolled_back"
    assert controller.state.why == "anna asked for it"
