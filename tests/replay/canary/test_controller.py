"""The controller in simulated worlds: outcomes, gates, alarms, and what happens when the data cannot tell."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest

from replay.canary.batch import Batch
from replay.canary.errors import (
    StoppedError,
)
from replay.canary.plan import objective
from replay.canary.rehearse.world import EPOCH_S, SimulatedClock
from tests.replay.canary.simulated import BAD, PLAN, Setup


def test_a_good_candidate_is_promoted():
    setup = Setup()
    state = setup.run(setup.begin()).state
    assert state.outcome == "promoted"
    assert setup.alias.read().weights == {"2": 1.0}
    assert [dict(weights) for weights in setup.alias.changes] == [
        {"1": 0.8, "2": 0.2},
        {"1": pytest.approx(0.4), "2": 0.6},
        {"2": 1.0},
    ]
    assert (setup.hands.pins, setup.hands.releases) == (1, 1)
    setup.check_journal()
    kinds = [line.kind for line in setup.journal.lines("r1", looks=False)]
    assert kinds[:3] == ["started", "intent", "done"]


def test_a_bad_candidate_is_rolled_back_with_a_reason():
    setup = Setup(BAD)
    controller = setup.run(setup.begin())
    assert controller.state.outcome == "rolled_back"
    assert setup.alias.read().weights == {"1": 1.0}
    assert "error_rate" in controller.state.why
    assert "suffices" in controller.state.why
    assert controller.rollback_took_s is not None
    assert controller.rollback_took_s <= 5
    assert setup.hands.pins == 0
    setup.check_journal()


@pytest.mark.parametrize("policy", ["pause", "rollback", "wait"])
def test_what_happens_when_the_data_cannot_tell(policy):
    steps = (replace(PLAN.steps[0], at_most_s=120), PLAN.steps[-1])
    setup = Setup(
        plan=replace(
            PLAN, steps=steps, inconclusive=policy, objectives=(objective("p99", tolerance=0.01, margin=0.02),)
        )
    )
    controller = setup.run(setup.begin(), until=lambda c: setup.clock.now_s() > EPOCH_S + 400)
    if policy == "rollback":
        assert controller.state.outcome == "rolled_back"
        assert "inconclusive" in controller.state.why
    else:
        assert controller.state.outcome is None
        assert controller.state.step == 0
        assert (controller.state.paused is not None) == (policy == "pause")


def test_gates_hold_a_step_until_they_agree():
    setup = Setup()
    setup.hands.refuse = ["change board: exit code 1"]
    controller = setup.run(setup.begin(), until=lambda c: setup.clock.now_s() > EPOCH_S + 1200)
    assert controller.state.step == 0
    assert any("change board" in why for _, why in setup.hands.told)
    setup.hands.refuse = []
    setup.run(controller)
    assert controller.state.outcome == "promoted"


def test_only_alarms_that_begin_to_fire_count():
    plan = replace(PLAN, alarms=("old", "new"))
    setup = Setup(plan=plan, firing=("old",))
    setup.hands.alarms = {"old"}
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    assert controller.state.outcome is None
    setup.hands.alarms = {"old", "new"}
    setup.run(controller)
    assert controller.state.outcome == "rolled_back"
    assert "alarm new began to fire" in controller.state.why


def test_an_old_alarm_that_went_quiet_counts_again():
    setup = Setup(plan=replace(PLAN, alarms=("old",)), firing=("old",))
    setup.hands.alarms = set()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 6)
    setup.hands.alarms = {"old"}
    setup.run(controller)
    assert controller.state.outcome == "rolled_back"


def test_a_clock_that_is_set_back_during_a_look_does_not_delay_the_next():
    setup = Setup()
    controller = setup.begin()
    waits: list[float] = []

    class SetBack(SimulatedClock):
        def sleep(self, seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 5:
                raise StoppedError(signal.SIGTERM)
            super().sleep(seconds)

    controller.world = replace(controller.world, clock=SetBack())
    look = setup.evidence.look

    def slow(*arguments: Any) -> Batch:
        controller.world.clock._now_s -= 3600
        return look(*arguments)

    setup.evidence.look = slow
    with pytest.raises(StoppedError):
        controller.run()
    assert max(waits) <= 10
