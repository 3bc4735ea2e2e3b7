"""The judge: each kind of regression leads to its verdict, with a reason that names figure, interval and threshold."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

import numpy as np
import pytest

from replay.canary.batch import Batch, Key, Tally
from replay.canary.expectation import durations
from replay.canary.judge import Judge
from replay.canary.plan import ObjectiveSpec, Plan, Step, objective
from replay.canary.reference import Reference, reference_of

REFERENCE = Reference(5000, {"p99": 1000.0}, {"p99": 2.5}, {"p99": 0.3}, {"error_rate": 0.01}, 0.01, 10.0)


def _plan(*objectives: ObjectiveSpec, steps: tuple[Step, ...] | None = None, **more: object) -> Plan:
    found = steps or (Step(0.1, 60, 3600, 100), Step(1.0, 60, 3600))
    return Plan("p", found, objectives, **more)  # type: ignore[arg-type]


def _batch(
    rng: np.random.Generator, step: int, candidate: dict[str, float], baseline: dict[str, float], n: int
) -> Batch:
    """One look: n requests at the step's weight, each counter binomial with its rate."""
    tallies = {}
    for arm, rates, size in (
        (True, candidate, n // 10 if step == 0 else n),
        (False, baseline, n - n // 10 if step == 0 else 0),
    ):
        if size:
            counts = {name: (int(rng.binomial(size, rate)), size) for name, rate in rates.items()}
            tallies[Key(step, False, arm)] = Tally(size, counts)
    return Batch(tallies)


def _run(plan: Plan, candidate: dict[str, float], baseline: dict[str, float], *, looks: int = 360, seed: int = 0):
    judge, rng = Judge(plan, REFERENCE), np.random.default_rng(seed)
    judge.begin_step(0)
    for look in range(1, looks + 1):
        verdict = judge.look(_batch(rng, 0, candidate, baseline, 100), look * 10.0)
        if verdict.decision != "hold":
            return verdict, look, judge
    return judge.verdict(), looks, judge


def test_more_errors_are_rolled_back_and_the_reason_says_how_many():
    verdict, look, _ = _run(_plan(objective("error_rate")), {"error_rate": 0.05}, {"error_rate": 0.01})
    assert verdict.decision == "rollback"
    assert look < 60
    for part in ("at 10%", "error_rate", "against", "e = ", "suffices", "["):
        assert part in verdict.why
    assert "\n" not in verdict.why


def test_a_sound_candidate_advances_and_not_before_its_time():
    verdict, look, judge = _run(_plan(objective("error_rate")), {"error_rate": 0.01}, {"error_rate": 0.01})
    assert verdict.decision == "advance"
    assert look * 10 >= 60
    assert "shown sound" in verdict.why
    assert all(status.kept for status in judge.statuses())


def test_two_versions_that_never_fail_advance_by_the_negligible_rate():
    """No event on either arm: the comparison alone could never end."""
    verdict, _, _ = _run(_plan(objective("error_rate")), {"error_rate": 0.0}, {"error_rate": 0.0}, looks=1000)
    assert verdict.decision == "advance"


def test_a_negligible_rate_is_not_rolled_back_however_it_compares():
    spec = objective("error_rate", tolerance=0.0, margin=1.0, negligible=0.02)
    verdict, _, _ = _run(_plan(spec), {"error_rate": 0.01}, {"error_rate": 0.0001}, looks=1000)
    assert verdict.decision != "rollback"
    strict = objective("error_rate", tolerance=0.0, margin=1.0, negligible=0.001)
    assert _run(_plan(strict), {"error_rate": 0.01}, {"error_rate": 0.0001}, looks=1000)[0].decision == "rollback"


def test_a_slower_tail_is_rolled_back():
    slow = {"p99>base": 0.04, "p99>tolerance": 0.035, "p99>margin": 0.02}
    same = {"p99>base": 0.01, "p99>tolerance": 0.006, "p99>margin": 0.002}
    assert _run(_plan(objective("p99")), slow, same)[0].decision == "rollback"
    assert _run(_plan(objective("p99")), same, same, looks=1500)[0].decision == "advance"


@pytest.mark.parametrize(("over_tolerance", "over_margin", "decision"), [(30, 5, "rollback"), (12, 2, "advance")])
def test_a_tail_is_broken_over_its_tolerance_and_kept_under_its_margin(over_tolerance, over_margin, decision):
    judge = Judge(_plan(objective("p99"), steps=(Step(0.5, 10, 1e6), Step(1.0, 10, 1e6))), REFERENCE)
    judge.begin_step(0)
    candidate = {"p99>base": 40, "p99>tolerance": over_tolerance, "p99>margin": over_margin}
    decisions = (_counts(judge, look, candidate, {"p99>base": 10}) for look in range(1, 200))
    assert next(one for one in decisions if one != "hold") == decision


def _counts(judge: Judge, look: int, candidate: dict[str, int], baseline: dict[str, int], size: int = 1000):
    """One look with ``size`` requests of each arm, and so many of them beyond each counter's limit."""
    tallies = {
        Key(judge.step, False, arm): Tally(size, {name: (events, size) for name, events in counts.items()})
        for arm, counts in ((True, candidate), (False, baseline))
        if counts
    }
    return judge.look(Batch(tallies), look * 10.0).decision


@pytest.mark.parametrize(("errors", "decision"), [(36, "hold"), (120, "rollback")])
def test_what_is_tolerated_is_tolerated_beside_the_baseline_and_at_full_weight(errors, decision):
    """Four times the baseline's 10 in 1,000 are allowed."""
    spec = objective("error_rate", tolerance=3.0, margin=9.0)
    plan = _plan(spec, steps=(Step(0.5, 60, 1e6, 10**9), Step(1.0, 60, 1e6, 10**9)))
    judge = Judge(plan, REFERENCE)
    judge.begin_step(0)
    beside = {_counts(judge, look, {"error_rate": errors}, {"error_rate": 10}) for look in range(1, 100)}
    assert ("rollback" in beside) == (decision == "rollback")
    judge = Judge(plan, REFERENCE)
    judge.begin_step(0)
    for look in range(1, 100):
        _counts(judge, look, {"error_rate": 10}, {"error_rate": 10})
    judge.begin_step(1)
    alone = {_counts(judge, look, {"error_rate": errors}, {}) for look in range(1, 100)}
    assert ("rollback" in alone) == (decision == "rollback")


def test_kept_is_inside_the_margin_and_below_the_limit():
    judge = Judge(_plan(objective("error_rate"), steps=(Step(0.5, 10, 1e6), Step(1.0, 10, 1e6))), REFERENCE)
    limited = Judge(_plan(replace(objective("error_rate"), max=0.0101), steps=judge.plan.steps), REFERENCE)
    for one in (judge, limited):
        one.begin_step(0)
    counts = {"error_rate": 10}
    assert "advance" in {_counts(judge, look, counts, counts) for look in range(1, 50)}
    assert {_counts(limited, look, counts, counts) for look in range(1, 50)} == {"hold"}


def test_margin_and_limit_share_the_evidence_that_an_objective_needs():
    """Either may be what is broken: the bets on both are paid from one stake."""
    specs = [objective("error_rate"), ObjectiveSpec("error_rate", max=0.012)]
    specs.append(replace(specs[0], max=0.012))
    found = []
    for spec in specs:
        judge = Judge(_plan(spec, steps=(Step(0.5, 10, 1e6), Step(1.0, 10, 1e6))), REFERENCE)
        judge.begin_step(0)
        for look in range(1, 5):
            _counts(judge, look, {"error_rate": 18}, {"error_rate": 10})
        found.append(judge.statuses()[0].e_broken)
    assert found[2] == pytest.approx((found[0] + found[1]) / 2)


def test_an_absolute_limit_needs_no_baseline():
    spec = ObjectiveSpec("error_rate", max=0.02)
    assert _run(_plan(spec), {"error_rate": 0.06}, {"error_rate": 0.06})[0].decision == "rollback"
    assert _run(_plan(spec), {"error_rate": 0.003}, {"error_rate": 0.003})[0].decision == "advance"
    p99 = ObjectiveSpec("p99", max=1500.0)
    assert _run(_plan(p99), {"p99>max": 0.05}, {"p99>max": 0.05})[0].decision == "rollback"


def test_cost_is_compared_by_its_mean():
    spec = objective("cost_usd_per_1000")
    judge, rng = Judge(_plan(spec), REFERENCE), np.random.default_rng(1)
    judge.begin_step(0)
    for look in range(1, 2000):
        tallies = {
            Key(0, False, arm): Tally(
                n, {}, {"cost_usd_per_1000": (float(rng.gamma(4, mean / 4, n).clip(max=0.01).sum()), n)}
            )
            for arm, n, mean in ((True, 10, 0.002), (False, 90, 0.001))
        }
        verdict = judge.look(Batch(tallies), look * 10.0)
        if verdict.decision != "hold":
            break
    assert verdict.decision == "rollback"
    assert "USD" in verdict.why


def test_time_alone_advances_codedeploys_plans_but_a_regression_still_rolls_back():
    plan = _plan(objective("error_rate"), advance="time", steps=(Step(0.1, 300, 300), Step(1.0, 60, 60)))
    verdict, look, _ = _run(plan, {"error_rate": 0.01}, {"error_rate": 0.01})
    assert verdict.decision == "advance"
    assert look == 30
    assert "nothing was shown to be wrong" in verdict.why
    assert _run(plan, {"error_rate": 0.3}, {"error_rate": 0.01})[0].decision == "rollback"


def test_at_full_weight_the_baselines_past_is_the_limit():
    plan = _plan(objective("error_rate"))
    for rate, decision in ((0.01, "advance"), (0.08, "rollback")):
        judge, rng = Judge(plan, REFERENCE), np.random.default_rng(2)
        judge.begin_step(0)
        for look in range(1, 200):
            judge.look(_batch(rng, 0, {"error_rate": 0.01}, {"error_rate": 0.01}, 100), look * 10.0)
        judge.begin_step(1)
        for look in range(1, 300):
            verdict = judge.look(_batch(rng, 1, {"error_rate": rate}, {}, 100), look * 10.0)
            if verdict.decision != "hold":
                break
        assert verdict.decision == decision


def _look(judge: Judge, look: int, candidate: int, baseline: int, errors: int = 0):
    """One look, ten seconds after the last, with so many requests of each arm; ``errors`` of the candidate's failed."""
    tallies = {
        Key(judge.step, False, arm): Tally(size, {"error_rate": (errors if arm else 0, size)})
        for arm, size in ((True, candidate), (False, baseline))
        if size
    }
    return judge.look(Batch(tallies), look * 10.0)


def test_a_step_needs_its_requests_of_each_arm_that_gets_traffic():
    steps = (Step(0.8, 10, 3600, 30), Step(1.0, 10, 3600, 50))
    judge = Judge(_plan(objective("error_rate"), advance="time", steps=steps), REFERENCE)
    for step, candidate, baseline, needed in ((0, 8, 2, 15), (1, 10, 0, 5)):
        judge.begin_step(step)
        decisions = [_look(judge, look, candidate, baseline).decision for look in range(1, needed + 1)]
        assert decisions == ["hold"] * (needed - 1) + ["advance"]


@pytest.mark.parametrize("candidate", [5, 20], ids=["records are lost", "the weight is another"])
def test_requests_that_do_not_split_as_the_weight_says_hold_the_step(candidate):
    """Half of the candidate's records are lost: what is left may look sound, and proves nothing."""
    plan = _plan(objective("error_rate"), steps=(Step(0.1, 60, 1200), Step(1.0, 60, 60)))
    judge, rng = Judge(plan, REFERENCE), np.random.default_rng(3)
    judge.begin_step(0)
    verdict = judge.verdict()
    for look in range(1, 121):
        tallies = {
            Key(0, False, True): Tally(candidate, {"error_rate": (0, candidate)}),
            Key(0, False, False): Tally(90, {"error_rate": (int(rng.binomial(90, 0.01)), 90)}),
        }
        verdict = judge.look(Batch(tallies), look * 10.0)
        assert verdict.decision != "advance"
    assert judge.split_is_off
    assert verdict.decision == "inconclusive"
    assert "not as the weight says" in verdict.why


def test_a_shift_may_take_a_moment_to_reach_the_requests():
    plan = _plan(objective("error_rate"), advance="time", steps=(Step(0.1, 60, 1200), Step(1.0, 60, 60)))
    judge = Judge(plan, REFERENCE)
    judge.begin_step(0)
    for look in (1, 2, 3):
        _look(judge, look, 0, 300)
    assert [_look(judge, look, 10, 90).decision for look in (4, 5, 6)] == ["hold", "hold", "advance"]


@pytest.mark.parametrize(("new_step", "most"), [(True, 35), (False, 120)], ids=["with a step", "within a step"])
def test_a_regression_that_begins_late_is_found_soon(new_step, most):
    """Hours of sound requests lose most of the bets; some are placed anew at each step, and every half hour of one."""
    steps = (Step(0.4, 10, 1e9, 10**9), Step(0.5, 10, 1e9, 10**9), Step(1.0, 60, 1e9))
    judge = Judge(_plan(objective("error_rate"), steps=steps), REFERENCE)
    judge.begin_step(0)
    for look in range(1, 1001):
        _counts(judge, look, {"error_rate": 1}, {"error_rate": 1}, 100)
    if new_step:
        judge.begin_step(1)
    first = 1 if new_step else 1001
    decisions = [_counts(judge, first + n, {"error_rate": 3}, {"error_rate": 1}, 100) for n in range(most)]
    assert "rollback" in decisions


def test_each_step_needs_evidence_of_its_own():
    steps = (Step(0.4, 10, 1e6), Step(0.5, 10, 1e6), Step(1.0, 10, 1e6))
    judge = Judge(_plan(objective("error_rate"), steps=steps), REFERENCE)
    needed = []
    for step, candidate, baseline in ((0, 40, 60), (1, 50, 50)):
        judge.begin_step(step)
        decisions = (_look(judge, look, candidate, baseline).decision for look in range(1, 1000))
        needed.append(candidate * (1 + list(takewhile(lambda one: one == "hold", decisions)).count("hold")))
    # As many requests as the first step took, to a look.
    assert needed[1] == pytest.approx(needed[0], abs=50)
    assert needed[0] > 500


def test_the_figures_are_those_of_the_step_so_far():
    judge = Judge(_plan(objective("error_rate")), REFERENCE)
    judge.begin_step(0)
    for look in (1, 2, 3):
        _look(judge, look, 10, 90, errors=1)
    (status,) = judge.statuses()
    assert (status.candidate.requests, status.candidate.estimate, status.baseline.requests) == (30, 0.1, 270)
    judge.begin_step(1)
    _look(judge, 1, 100, 0)
    (status,) = judge.statuses()
    assert (status.candidate.requests, status.candidate.estimate, status.baseline) == (100, 0.0, None)


def test_an_objective_with_half_of_the_budget_has_to_show_twice_as_much():
    (alone,) = Judge(_plan(objective("error_rate")), REFERENCE).statuses()
    first, _ = Judge(_plan(objective("error_rate", share=1.0), objective("p99", share=1.0)), REFERENCE).statuses()
    assert alone.broken_at == pytest.approx(1 / 0.01, rel=0.1)
    assert first.broken_at == pytest.approx(2 * alone.broken_at)


def test_a_rollout_of_one_step_has_nobody_to_compare_with_and_can_end():
    judge = Judge(_plan(objective("error_rate"), steps=(Step(1.0, 60, 600),)), REFERENCE)
    judge.begin_step(0)
    assert [_look(judge, look, 100, 0).decision for look in range(1, 7)] == ["hold"] * 5 + ["advance"]


def test_surprise_is_a_signal_of_its_own():
    judge = Judge(_plan(objective("error_rate")), REFERENCE, {("10%", "error_rate"): (0.0, 0.005)})
    judge.begin_step(0)
    rng = np.random.default_rng(4)
    for look in range(1, 5):
        judge.look(_batch(rng, 0, {"error_rate": 0.03}, {"error_rate": 0.03}, 1000), look * 10.0)
    assert judge.verdict().decision == "hold"
    assert "lies outside the forecast" in judge.surprises()[0]


def test_a_share_over_a_limit_is_not_held_beside_milliseconds():
    """Metrics keep counts over a limit and no histogram: then a quantile's figure is a share."""
    judge = Judge(_plan(replace(objective("p99"), max=1500.0)), REFERENCE, {("10%", "p99"): (800.0, 1200.0)})
    judge.begin_step(0)
    slow = {"p99>base": 0.5, "p99>tolerance": 0.5, "p99>margin": 0.5, "p99>max": 0.5}
    verdict = judge.look(_batch(np.random.default_rng(6), 0, slow, dict.fromkeys(slow, 0.01), 1000), 10.0)
    assert verdict.decision == "rollback"
    assert "p99 54 % [" in verdict.why
    assert "forecast" not in verdict.why
    assert "max" not in verdict.why
    assert judge.surprises() == []


def test_what_the_history_does_not_show_is_not_judged_and_does_not_block():
    reference = replace(REFERENCE, unseen=("ttft_p95",))
    judge = Judge(_plan(objective("error_rate"), objective("ttft_p95", max=800.0)), reference)
    judge.begin_step(0)
    rng = np.random.default_rng(5)
    decisions = {
        judge.look(_batch(rng, 0, {"error_rate": 0.01}, {"error_rate": 0.01}, 100), look * 10.0).decision
        for look in range(1, 400)
    }
    assert "advance" in decisions


def test_how_long_a_step_must_last():
    plan = _plan(objective("error_rate"), objective("p99"))
    found = {each.metric: each for each in durations(plan, REFERENCE)}
    # Doubled errors at 1 %, 10 requests/s and 10 %: some twenty minutes (facts: 23); a rarer base takes longer.
    assert 900 <= found["error_rate"].find_s <= 2400
    rarer = durations(plan, replace(REFERENCE, rates={"error_rate": 0.001}))[0]
    assert rarer.find_s == pytest.approx(10 * found["error_rate"].find_s, rel=0.1)
    slower = durations(plan, replace(REFERENCE, requests_per_s=1.0))[0]
    assert slower.find_s == pytest.approx(10 * found["error_rate"].find_s, rel=1e-6)


@pytest.mark.parametrize(("mean_usd", "decision"), [(0.003, "rollback"), (0.0008, "advance")])
@pytest.mark.parametrize("step", [0, 1], ids=["beside the baseline", "at 100 %"])
def test_an_absolute_limit_on_cost_is_held_against_the_candidates_mean(mean_usd, decision, step):
    judge, rng = Judge(_plan(ObjectiveSpec("cost_usd_per_1000", max=2.0)), REFERENCE), np.random.default_rng(1)
    judge.begin_step(step)
    for look in range(1, 400):
        arms = ((True, 10, mean_usd), (False, 90, 0.001)) if step == 0 else ((True, 100, mean_usd),)
        costs = {
            Key(step, False, arm): Tally(
                n, {}, {"cost_usd_per_1000": (float(rng.gamma(4, mean / 4, n).clip(max=0.01).sum()), n)}
            )
            for arm, n, mean in arms
        }
        verdict = judge.look(Batch(costs), look * 10.0)
        if verdict.decision != "hold":
            break
    assert verdict.decision == decision
    assert "max 2 USD" in verdict.why


def test_the_cost_cap_leaves_room_above_the_limit():
    """Costs are cut to a multiple of what they were; a mean over a limit far above that must still show."""
    spec = ObjectiveSpec("cost_usd_per_1000", max=50.0)
    found = reference_of([spec], {}, {}, requests=100, requests_per_s=1.0, cost_usd=np.full(100, 0.001))
    assert found.cost_cap_usd == pytest.approx(5 * 0.05)
