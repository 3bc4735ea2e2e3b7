"""Lambda, the journal or the evidence does not answer: what still happens, what does not, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from replay.canary.batch import Batch
from replay.canary.errors import (
    EvidenceDownError,
    GoneError,
    JournalDownError,
)
from replay.canary.journal import Lease, Line
from replay.canary.judge import Verdict
from replay.canary.rehearse.world import EPOCH_S
from replay.canary.state import fold
from replay.canary.takeover import resume
from replay.errors import CloudError
from replay.shift import AliasState
from tests.replay.canary.simulated import BAD, GOOD, PLAN, FlakyJournal, Setup, refused


def test_without_a_journal_it_rolls_back_but_never_goes_on():
    setup = Setup(BAD)
    setup.journal = FlakyJournal(setup.journal)
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.journal.down = True
    setup.run(controller)
    assert controller.state.outcome == "rolled_back"
    assert setup.alias.read().weights == {"1": 1.0}
    setup.journal.down = False
    controller.close()
    setup.check_journal()


def test_a_rollback_does_not_wait_until_people_know_that_the_journal_is_gone():
    setup = Setup(BAD)
    setup.journal = FlakyJournal(setup.journal)
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)

    def tell(subject: str, facts: Any) -> None:
        setup.clock.sleep(100)
        setup.hands.told.append((subject, str(facts["why"])))

    setup.hands.tell = tell  # type: ignore[method-assign]
    look, roll_back, times = controller.judge.look, setup.alias.roll_back, {}

    def last_look(batch: Batch, elapsed_s: float) -> Verdict:
        verdict = look(batch, elapsed_s)
        setup.journal.down = verdict.decision == "rollback"
        times["found"] = setup.clock.now_s()
        return verdict

    def timed() -> AliasState:
        times["done"] = setup.clock.now_s()
        return roll_back()

    controller.judge.look, setup.alias.roll_back = last_look, timed  # type: ignore[method-assign]
    setup.run(controller)
    assert controller.state.outcome == "rolled_back"
    assert times["done"] - times["found"] <= 5
    assert any("journal" in why for _, why in setup.hands.told)


def test_a_journal_that_comes_back_gets_every_line():
    setup = Setup()
    setup.journal = FlakyJournal(setup.journal)
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.journal.down = True
    before = list(setup.alias.changes)
    for _ in range(60):
        controller.tick()
        setup.clock.sleep(10)
    assert setup.alias.changes == before
    setup.journal.down = False
    setup.run(controller)
    assert controller.state.outcome == "promoted"
    setup.check_journal()


class Blind:
    """Evidence that is unavailable for a while, then gives everything it withheld (late data)."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.down = inner, False

    def look(self, spans: Any, reference: Any, since_s: float, now_s: float) -> Any:
        if self.down:
            raise EvidenceDownError("CloudWatch Logs: ThrottlingException")
        return self._inner.look(spans, reference, since_s, now_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_without_evidence_it_neither_goes_on_nor_forgets():
    setup = Setup()
    setup.evidence = Blind(setup.evidence)
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.evidence.down = True
    for _ in range(30):
        controller.tick()
        setup.clock.sleep(10)
    assert controller.state.step == 0
    assert any("no evidence" in why for _, why in setup.hands.told)
    setup.evidence.down = False
    setup.run(controller)
    assert controller.state.outcome == "promoted"


def test_whoever_takes_over_after_an_outage_sees_what_came_while_it_lasted():
    setup = Setup()
    setup.evidence = Blind(setup.evidence)
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    before_s = controller.state.seen_until_s
    setup.evidence.down = True
    for _ in range(30):
        controller.tick()
        setup.clock.sleep(10)
    assert setup.resume().state.seen_until_s == before_s


def test_rollback_is_tried_until_lambda_answers():
    setup = Setup(BAD)
    refusals = [3]
    real = setup.alias.roll_back

    def refuse() -> AliasState:
        if refusals[0]:
            refusals[0] -= 1
            raise CloudError("UpdateAlias: TooManyRequestsException")
        return real()

    setup.alias.roll_back = refuse  # type: ignore[method-assign]
    controller = setup.run(setup.begin())
    assert controller.state.outcome == "rolled_back"
    assert controller.rollback_took_s is not None
    assert controller.rollback_took_s <= 5


@pytest.mark.parametrize("who", ["Lambda", "the journal"])
@pytest.mark.parametrize("by", ["evidence", "alarm"])
def test_a_step_whose_end_isrefused_is_watched_all_the_same(who, by):
    """The second step cannot begin; a regression of the first one must not wait for that."""
    scenario = replace(BAD, from_s=900) if by == "evidence" else GOOD
    setup = Setup(scenario, plan=replace(PLAN, alarms=("new",), patience_s=7200))
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)

    def refused(*_: object) -> AliasState:
        raise CloudError("UpdateAlias: AccessDenied")

    if who == "Lambda":
        setup.alias.set_weight = refused  # type: ignore[method-assign, assignment]
    else:
        real = setup.journal.append

        def append(lease: Lease, line: Line) -> None:
            if line.kind == "intent":
                raise JournalDownError("journal: no answer")
            real(lease, line)

        setup.journal.append = append
    setup.run(controller, until=lambda _: setup.clock.now_s() > EPOCH_S + 900)
    assert (controller.state.step, controller.state.outcome) == (0, None)
    if by == "alarm":
        setup.hands.alarms = {"new"}
    setup.run(controller)
    assert controller.state.outcome == "rolled_back"
    assert setup.alias.read().weights == {"1": 1.0}


def test_nothing_is_started_where_the_journal_does_not_answer():
    setup = Setup()
    setup.journal = FlakyJournal(setup.journal)
    setup.journal.down = True
    with pytest.raises(JournalDownError):
        setup.begin()
    assert setup.alias.changes == []


@pytest.mark.parametrize("on_crash", ["resume", "rollback"])
def test_a_controller_whose_lambda_is_gone_gives_up_and_changes_nothing(on_crash):
    setup = Setup(plan=replace(PLAN, patience_s=600, on_crash=on_crash))
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    before, gone_s = setup.alias.read().weights, setup.clock.now_s()
    for name in ("read", "set_weight", "roll_back"):
        setattr(setup.alias, name, refused)
    with pytest.raises(GoneError, match="Lambda did not answer for 10 min; the weights stay") as caught:
        setup.run(controller)
    assert 580 < setup.clock.now_s() - gone_s < 630
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    controller.close()
    for name in ("read", "set_weight", "roll_back"):
        delattr(setup.alias, name)
    assert setup.alias.read().weights == before
    # Its lease was given back: nobody has to wait for it, and the rollout goes on (or is rolled back) from here.
    setup.run(resume(setup.world(), "r1", "second"))
    assert setup.alias.read().weights == ({"2": 1.0} if on_crash == "resume" else {"1": 1.0})


def test_patience_counts_silence_and_not_the_time_between_two_questions():
    """Looks further apart than the patience; and a machine that slept for an hour."""
    setup = Setup(plan=replace(PLAN, patience_s=5))
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    setup.clock.sleep(3000)
    setup.run(controller)
    assert controller.state.outcome == "promoted"


def test_a_promotion_that_isrefused_for_too_long_says_so():
    setup = Setup(plan=replace(PLAN, patience_s=600))
    controller = setup.run(setup.begin(), until=lambda c: c.state.weight == 1)

    def refused() -> None:
        raise CloudError("promotion: AccessDenied")

    setup.hands.release = refused  # type: ignore[method-assign]
    with pytest.raises(GoneError, match=r"promotion was refused for 10 min \(promotion: AccessDenied\)"):
        setup.run(controller)
    controller.close()
    del setup.hands.release
    assert setup.run(setup.resume()).state.outcome == "promoted"
    assert setup.alias.read().weights == {"2": 1.0}


@pytest.mark.parametrize("on_crash", ["resume", "rollback"])
def test_without_a_journal_for_too_long_it_does_what_the_plan_says(on_crash):
    setup = Setup(plan=replace(PLAN, patience_s=600, on_crash=on_crash))
    setup.journal = FlakyJournal(setup.journal)
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    before = setup.alias.read().weights
    setup.journal.down = True
    if on_crash == "rollback":
        setup.run(controller)
        assert controller.state.outcome == "rolled_back"
        assert "the journal did not answer for 10 min" in controller.state.why
        assert setup.alias.read().weights == {"1": 1.0}
        return
    with pytest.raises(GoneError, match="the journal did not answer"):
        setup.run(controller)
    assert setup.alias.read().weights == before


def test_a_rollback_that_isrefused_for_too_long_says_what_to_do():
    setup = Setup(BAD, plan=replace(PLAN, patience_s=60))
    setup.alias.roll_back = refused  # type: ignore[method-assign]
    controller = setup.begin()
    with pytest.raises(GoneError, match=r"rolling back was refused for 1 min .*send the alias to version 1 by hand"):
        setup.run(controller)
    # The decision is written down: whoever resumes carries it out.
    assert fold(setup.journal.lines("r1")).decided == "rollback"
