"""One rehearsed rollout, and many: false alarms, detection, time to it, requests harmed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from replay.canary.controller import World
from replay.canary.journal import MemoryJournal
from replay.canary.plan import Plan
from replay.canary.rehearse.scenario import Scenario
from replay.canary.rehearse.world import (
    EPOCH_S,
    Nobody,
    SimulatedAlias,
    SimulatedClock,
    SimulatedEvidence,
    Traffic,
    TrafficSource,
)
from replay.canary.sequential import rate_interval
from replay.canary.state import Start
from replay.canary.takeover import begin

MakeTraffic = Callable[[Scenario, int], TrafficSource]


@dataclass(frozen=True)
class Rehearsal:
    """One rehearsed rollout.

    Parameters
    ----------
    outcome
        ``promoted``, ``rolled_back``, or ``undecided`` where the time was up first.
    after_s
        When, since the first shift.
    weight
        The candidate's weight then.
    harmed
        Requests that the candidate answered while it was bad.
    why
        The reason that was journaled.
    """

    outcome: str
    after_s: float
    weight: float
    harmed: int
    why: str


def rehearse(
    plan: Plan,
    scenario: Scenario,
    *,
    seed: int,
    at_most_s: float,
    make_traffic: MakeTraffic = Traffic,
) -> Rehearsal:
    """Run one rollout in simulated time, with the controller that runs live ones.

    Parameters
    ----------
    plan
        The plan.
    scenario
        Traffic and what is wrong with the candidate.
    seed
        Of the traffic.
    at_most_s
        End of the rehearsal, simulated seconds.
    make_traffic
        Makes the requests of a scenario and a seed.
    """
    clock, alias, nobody = SimulatedClock(), SimulatedAlias(), Nobody()
    traffic = make_traffic(scenario, seed)
    evidence = SimulatedEvidence(traffic, plan)
    world = World(alias, evidence, MemoryJournal(keep_looks=False), nobody, nobody, nobody, clock)
    start = Start(f"rehearsal-{seed}", plan, "rehearsed", "live", "1", "2", evidence.reference(clock.now_s()))
    controller = begin(world, start, "rehearsal")
    while controller.state.outcome is None and clock.now_s() - EPOCH_S < at_most_s:
        controller.tick()
        if controller.state.outcome is None:
            clock.sleep(plan.look_every_s)
    weight = (
        controller.state.weight
        if controller.state.outcome != "rolled_back"
        else plan.steps[max(controller.state.step, 0)].weight
    )
    bad_from_s = EPOCH_S + scenario.from_s
    harmed = (
        sum(batch.requests(candidate=True) for at_s, batch in evidence.looked if at_s >= bad_from_s)
        if scenario.harmful
        else 0
    )
    return Rehearsal(
        controller.state.outcome or "undecided",
        clock.now_s() - EPOCH_S,
        weight,
        harmed,
        controller.state.why,
    )


@dataclass(frozen=True)
class Summary:
    """What many rehearsals of one scenario say.

    Parameters
    ----------
    rolled_back, promoted, undecided
        Shares of the runs.
    rolled_back_low, rolled_back_high
        95 % interval of the share that was rolled back.
    before_full
        Share of the runs rolled back before the candidate had all of the traffic.
    median_s, p90_s
        Time from the regression's begin to the rollback, over *all* runs: infinite (None) where fewer were found.
    harmed_median
        Requests that a bad candidate answered, in the median run.
    """

    scenario: str
    runs: int
    rolled_back: float
    rolled_back_low: float
    rolled_back_high: float
    promoted: float
    undecided: float
    before_full: float
    median_s: float | None
    p90_s: float | None
    harmed_median: float

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return asdict(self)


def summarise(scenario: Scenario, rehearsals: Sequence[Rehearsal]) -> Summary:
    """Summarise rehearsals of one scenario."""
    n = len(rehearsals)
    back = [each for each in rehearsals if each.outcome == "rolled_back"]
    times = np.array(
        [each.after_s - scenario.from_s if each.outcome == "rolled_back" else math.inf for each in rehearsals]
    )
    low, high = rate_interval(len(back), n, 0.05)
    return Summary(
        scenario.name,
        n,
        len(back) / n,
        low,
        high,
        sum(each.outcome == "promoted" for each in rehearsals) / n,
        sum(each.outcome == "undecided" for each in rehearsals) / n,
        sum(each.weight < 1 for each in back) / n,
        _finite(np.quantile(times, 0.5, method="higher")),
        _finite(np.quantile(times, 0.9, method="higher")),
        float(np.median([each.harmed for each in rehearsals])),
    )


def rehearse_many(
    plan: Plan,
    scenario: Scenario,
    *,
    runs: int,
    seed: int,
    at_most_s: float,
    progress: Callable[[str], None] | None = None,
    make_traffic: MakeTraffic = Traffic,
) -> Summary:
    """Rehearse a scenario ``runs`` times, each with its own traffic."""
    done = []
    for index in range(runs):
        done.append(rehearse(plan, scenario, seed=seed + index, at_most_s=at_most_s, make_traffic=make_traffic))
        if progress is not None:
            progress(scenario.name)
    return summarise(scenario, done)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
