"""Controllers that are killed, replaced or told to stop: nothing is lost, nothing done twice."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest

from replay.canary.errors import (
    ForeignChangeError,
    LeaseHeldError,
    LeaseLostError,
    StoppedError,
)
from replay.canary.journal import Lease, Line, MemoryJournal
from replay.canary.judge import Judge
from replay.canary.live import SystemClock
from replay.canary.rehearse.scenario import Scenario
from replay.canary.rehearse.world import SimulatedAlias, SimulatedClock
from replay.canary.report import report
from replay.canary.state import fold
from replay.canary.takeover import resume
from replay.cli.canary import _run
from replay.errors import CloudError, InputError
from replay.shift import AliasState
from tests.replay.canary.simulated import BAD, GOOD, PLAN, Killed, Setup, refused


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


@pytest.mark.parametrize("taking_over", [False, True])
def test_a_controller_that_did_not_come_to_be_keeps_no_lease(taking_over):
    setup = Setup()
    if taking_over:
        setup.run(setup.begin(), until=lambda c: c.state.lines > 8).close()
    setup.alias.read = refused  # type: ignore[method-assign, assignment]
    with pytest.raises(CloudError, match="connect timeout"):
        (setup.resume if taking_over else setup.begin)()
    assert setup.journal.holder(setup.clock.now_s()) is None


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
