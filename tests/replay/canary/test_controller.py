"""The controller in simulated worlds: outcomes, crashes at every line, other hands on the alias, broken journals."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from replay.canary.batch import Batch
from replay.canary.controller import Controller, World
from replay.canary.errors import (
    EvidenceDownError,
    ForeignChangeError,
    GoneError,
    JournalDownError,
    LeaseHeldError,
    LeaseLostError,
    StoppedError,
)
from replay.canary.journal import Command, Lease, Line, MemoryJournal, leave
from replay.canary.judge import Judge, Verdict
from replay.canary.live import SystemClock
from replay.canary.plan import Plan, Step, objective
from replay.canary.rehearse.scenario import Scenario
from replay.canary.rehearse.world import EPOCH_S, Nobody, SimulatedAlias, SimulatedClock, SimulatedEvidence, Traffic
from replay.canary.report import report
from replay.canary.state import Start, fold
from replay.canary.takeover import begin, resume
from replay.cli.canary import _run
from replay.errors import CloudError, InputError
from replay.shift import AliasState

PLAN = Plan(
    name="quick",
    steps=(
        Step(0.2, at_least_s=60, at_most_s=3600, requests_per_arm=50),
        Step(0.6, at_least_s=60, at_most_s=3600, requests_per_arm=50),
        Step(1.0, at_least_s=60, at_most_s=3600, requests_per_arm=50),
    ),
    objectives=(objective("error_rate", tolerance=0.0, margin=4.0), objective("p95", tolerance=0.1, margin=0.8)),
    drain_s=10,
    smoke=None,
)
GOOD = Scenario("good", rate_rps=20)
BAD = Scenario("bad", rate_rps=20, errors=10)


class Killed(BaseException):
    """SIGKILL, as far as one process can play it: nothing catches it."""


class Hands(Nobody):
    """Gates, promotion and notifier that remember what was asked of them."""

    def __init__(self) -> None:
        self.pins = 0
        self.releases = 0
        self.told: list[tuple[str, str]] = []
        self.refuse: list[str] = []
        self.alarms: set[str] = set()

    def refusals(self) -> Sequence[str]:
        return tuple(self.refuse)

    def firing(self) -> Sequence[str]:
        return tuple(self.alarms)

    def pin(self) -> None:
        self.pins += 1

    def release(self) -> None:
        self.releases += 1

    def tell(self, subject: str, facts: Any) -> None:
        self.told.append((subject, str(facts["why"])))


class Setup:
    """One simulated world and a way to (re)start controllers in it."""

    def __init__(
        self, scenario: Scenario = GOOD, plan: Plan = PLAN, seed: int = 3, firing: tuple[str, ...] = ()
    ) -> None:
        self.clock, self.alias, self.hands = SimulatedClock(), SimulatedAlias(), Hands()
        traffic = Traffic(scenario, seed)
        self.evidence: Any = SimulatedEvidence(traffic, plan, histograms=True)
        self.journal: Any = MemoryJournal()
        self.start = Start("r1", plan, "f", "live", "1", "2", self.evidence.reference(0), firing=firing)

    def world(self) -> World:
        return World(self.alias, self.evidence, self.journal, self.hands, self.hands, self.hands, self.clock)

    def begin(self) -> Controller:
        return begin(self.world(), self.start, "first")

    def resume(self, holder: str = "second") -> Controller:
        self.clock.sleep(61)
        return resume(self.world(), "r1", holder)

    def run(self, controller: Controller, until: Callable[[Controller], bool] = lambda _: False) -> Controller:
        while controller.state.outcome is None and not until(controller):
            assert self.clock.now_s() < EPOCH_S + 3 * 3600, "the rollout does not end"
            controller.tick()
            self.clock.sleep(10)
        return controller

    def check_journal(self) -> None:
        lines = self.journal.lines("r1")
        assert [line.number for line in lines] == list(range(len(lines)))
        tokens = [line.token for line in lines]
        assert tokens == sorted(tokens)
        assert sum(line.kind == "finished" for line in lines) == 1
        assert fold(lines).outcome is not None


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


class CrashingJournal:
    """Kills the controller at one append: before the line is written, or right after."""

    def __init__(self, inner: MemoryJournal, at: int, after: bool) -> None:
        self._inner, self._at, self._after = inner, at, after
        self.appends = 0

    def append(self, lease: Lease, line: Line) -> None:
        mine = self.appends == self._at
        self.appends += 1
        if mine and not self._after:
            raise Killed
        self._inner.append(lease, line)
        if mine:
            raise Killed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class CrashingAlias:
    """Kills the controller right after a change that it has not written down yet."""

    def __init__(self, inner: SimulatedAlias, at: int) -> None:
        self._inner, self._at, self.calls = inner, at, 0

    def set_weight(self, weight: float, revision_id: str) -> AliasState:
        state = self._inner.set_weight(weight, revision_id)
        self.calls += 1
        if self.calls - 1 == self._at:
            raise Killed
        return state

    def roll_back(self) -> AliasState:
        state = self._inner.roll_back()
        self.calls += 1
        if self.calls - 1 == self._at:
            raise Killed
        return state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _lines_of(scenario: Scenario) -> list[int]:
    """Places of a whole run's lines; of the looks, which are all alike, only a few."""
    setup = Setup(scenario)
    setup.run(setup.begin())
    lines = setup.journal.lines("r1")
    return [line.number for line in lines if line.kind != "look" or line.number in (4, len(lines) // 2)]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("scenario", "place"), [(s, n) for s in (GOOD, BAD) for n in _lines_of(s)])
def test_killed_at_every_line_it_resumes_to_the_same_outcome(scenario, place, after):
    setup = Setup(scenario)
    whole = setup.journal
    setup.journal = CrashingJournal(whole, place, after)
    with pytest.raises(Killed):
        setup.run(setup.begin())
    setup.journal = whole
    if not whole.lines("r1"):
        # Killed before the first line: nothing was started, and the alias is untouched.
        assert setup.alias.changes == []
        return
    if fold(whole.lines("r1")).outcome is not None:
        with pytest.raises(InputError, match="it ended"):
            setup.resume()
    else:
        setup.run(setup.resume())
    setup.check_journal()
    expected = {"promoted": {"2": 1.0}, "rolled_back": {"1": 1.0}}
    outcome = fold(whole.lines("r1")).outcome
    assert outcome == ("promoted" if scenario is GOOD else "rolled_back")
    assert setup.alias.read().weights == expected[outcome]


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("scenario", [GOOD, BAD])
def test_killed_between_a_change_and_its_line(scenario, place):
    setup = Setup(scenario)
    inner = setup.alias
    setup.alias = CrashingAlias(inner, place)  # type: ignore[assignment]
    try:
        setup.run(setup.begin())
    except Killed:
        setup.alias = inner
        setup.run(setup.resume())
    setup.check_journal()
    assert inner.read().weights == ({"2": 1.0} if scenario is GOOD else {"1": 1.0})
    candidate = [weights.get("2", 0.0) for weights in inner.changes]
    # Taking over touches the alias, and a rollback may be repeated; no step is gone back to, none is left out.
    steps = [weight for weight, after in zip(candidate, [*candidate[1:], None], strict=True) if weight != after]
    assert steps == ([0.2, 0.6, 1.0] if scenario is GOOD else [0.2, 0.0])


def test_resuming_restores_the_evidence_exactly():
    one, two = Setup(seed=5), Setup(seed=5)
    uninterrupted = one.run(one.begin(), until=lambda c: c.state.lines > 20)
    interrupted = two.run(two.begin(), until=lambda c: c.state.lines > 20)
    interrupted.close()
    again = resume(two.world(), "r1", "second")
    for mine, theirs in zip(again.judge.statuses(), uninterrupted.judge.statuses(), strict=True):
        assert mine == theirs


def test_a_long_journal_is_read_back_without_a_verdict_on_each_look(monkeypatch):
    """Three days have 26,000 looks; verdicts on them, with their reasons in words, took three quarters of the time."""
    setup = Setup(plan=replace(PLAN, steps=(replace(PLAN.steps[0], at_least_s=3000), PLAN.steps[-1])))
    setup.run(setup.begin(), until=lambda c: c.state.lines > 200).close()
    given, real = [], Judge.verdict
    monkeypatch.setattr(Judge, "verdict", lambda self: given.append(self) or real(self))
    report(setup.journal, "r1", setup.clock.now_s())
    resume(setup.world(), "r1", "second")
    assert len(given) <= 2


def test_a_plan_may_ask_for_a_rollback_after_a_crash():
    setup = Setup(plan=replace(PLAN, on_crash="rollback"))
    setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    controller = setup.resume()
    assert controller.state.outcome == "rolled_back"
    assert "controller was gone" in controller.state.why
    assert setup.alias.read().weights == {"1": 1.0}


def test_two_controllers_cannot_both_act():
    setup = Setup()
    first = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    with pytest.raises(LeaseHeldError):
        resume(setup.world(), "r1", "second")
    second = setup.resume()
    changes = len(setup.alias.changes)
    with pytest.raises(LeaseLostError):
        first.tick()
    assert len(setup.alias.changes) == changes
    setup.run(second)
    assert second.state.outcome == "promoted"
    setup.check_journal()


def test_an_update_under_way_when_another_takes_over_fails_on_its_revision():
    """The old controller has written its intent and sleeps; the new one takes over; then the old update arrives."""
    setup = Setup()
    first = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    revision = first._alias_state.revision_id
    setup.resume()
    with pytest.raises(ForeignChangeError):
        setup.alias.set_weight(1.0, revision)


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


class FlakyJournal:
    """A journal that does not answer for a while."""

    def __init__(self, inner: MemoryJournal) -> None:
        self._inner, self.down = inner, False

    def __getattr__(self, name: str) -> Any:
        if self.down:

            def refuse(*_: object, **__: object) -> None:
                raise JournalDownError("journal: no answer")

            return refuse
        return getattr(self._inner, name)


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


@pytest.mark.parametrize("who", ["Lambda", "the journal"])
@pytest.mark.parametrize("by", ["evidence", "alarm"])
def test_a_step_whose_end_is_refused_is_watched_all_the_same(who, by):
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


@pytest.mark.parametrize("killed", [False, True])
def test_a_forced_promotion_whose_shift_is_refused_once_still_waits_for_no_evidence(killed):
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 4)
    setup.journal.post("r1", Command("promote", setup.clock.now_s(), "anna"))
    setup.alias.set_weight = _refused  # type: ignore[method-assign, assignment]
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
    setup.alias.roll_back = _refused  # type: ignore[method-assign]
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


def test_nothing_is_started_where_the_journal_does_not_answer():
    setup = Setup()
    setup.journal = FlakyJournal(setup.journal)
    setup.journal.down = True
    with pytest.raises(JournalDownError):
        setup.begin()
    assert setup.alias.changes == []


def _refused(*_: object) -> AliasState:
    raise CloudError("GetAlias: connect timeout")


@pytest.mark.parametrize("taking_over", [False, True])
def test_a_controller_that_did_not_come_to_be_keeps_no_lease(taking_over):
    setup = Setup()
    if taking_over:
        setup.run(setup.begin(), until=lambda c: c.state.lines > 8).close()
    setup.alias.read = _refused  # type: ignore[method-assign, assignment]
    with pytest.raises(CloudError, match="connect timeout"):
        (setup.resume if taking_over else setup.begin)()
    assert setup.journal.holder(setup.clock.now_s()) is None


@pytest.mark.parametrize("on_crash", ["resume", "rollback"])
def test_a_controller_whose_lambda_is_gone_gives_up_and_changes_nothing(on_crash):
    setup = Setup(plan=replace(PLAN, patience_s=600, on_crash=on_crash))
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    before, gone_s = setup.alias.read().weights, setup.clock.now_s()
    for name in ("read", "set_weight", "roll_back"):
        setattr(setup.alias, name, _refused)
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


def test_a_promotion_that_is_refused_for_too_long_says_so():
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


def test_a_rollback_that_is_refused_for_too_long_says_what_to_do():
    setup = Setup(BAD, plan=replace(PLAN, patience_s=60))
    setup.alias.roll_back = _refused  # type: ignore[method-assign]
    controller = setup.begin()
    with pytest.raises(GoneError, match=r"rolling back was refused for 1 min .*send the alias to version 1 by hand"):
        setup.run(controller)
    # The decision is written down: whoever resumes carries it out.
    assert fold(setup.journal.lines("r1")).decided == "rollback"


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


class StoppingClock(SimulatedClock):
    """A clock in whose next sleep somebody tells the controller to stop."""

    def sleep(self, seconds: float) -> None:
        raise StoppedError(signal.SIGTERM)


@pytest.mark.parametrize("on_crash", ["resume", "rollback"])
def test_a_controller_that_is_told_to_stop_gives_its_lease_back(on_crash):
    setup = Setup(plan=replace(PLAN, on_crash=on_crash))
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)
    before, running = setup.alias.read().weights, setup.clock
    controller.world = replace(controller.world, clock=StoppingClock(running.now_s()))
    with pytest.raises(StoppedError) as caught:
        controller.run()
    controller.stopped(caught.value)
    assert caught.value.exit_code == 128 + 15
    assert setup.journal.holder(running.now_s()) is None
    assert "SIGTERM" in setup.journal.lines("r1")[-1].data["text"]
    assert setup.alias.read().weights == before
    setup.run(resume(setup.world(), "r1", "second"))
    assert setup.alias.read().weights == {"2": 1.0}


def test_a_controller_that_fails_gives_its_lease_back():
    setup = Setup()
    controller = setup.run(setup.begin(), until=lambda c: c.state.lines > 8)

    def gone() -> AliasState:
        raise InputError("function 'f' has no alias 'live'")

    setup.alias.read = gone  # type: ignore[method-assign]
    with pytest.raises(InputError, match="no alias"):
        _run(controller, SystemClock(), as_json=True)
    assert setup.journal.holder(setup.clock.now_s()) is None


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
