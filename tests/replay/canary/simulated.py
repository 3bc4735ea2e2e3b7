"""A rollout in a simulated world, and ways to break it: what the tests of the controller share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from replay.canary.controller import Controller, World
from replay.canary.errors import (
    JournalDownError,
)
from replay.canary.journal import MemoryJournal
from replay.canary.plan import Plan, Step, objective
from replay.canary.rehearse.scenario import Scenario
from replay.canary.rehearse.world import EPOCH_S, Nobody, SimulatedAlias, SimulatedClock, SimulatedEvidence, Traffic
from replay.canary.state import Start, fold
from replay.canary.takeover import begin, resume
from replay.errors import CloudError
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


def refused(*_: object) -> AliasState:
    raise CloudError("GetAlias: connect timeout")
