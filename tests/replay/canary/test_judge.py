"""The judge: each kind of regression leads to its verdict, with a reason that names figure, interval and threshold."""

from __future__ import annotations

from dataclasses import replace

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


def test_requests_that_do_not_split_as_the_weight_says_hold_the_step():
    """Half of the candidate's records are lost: what is left may look sound, and proves nothing."""
    plan = _plan(objective("error_rate"), steps=(Step(0.1, 60, 1200), Step(1.0, 60, 60)))
    judge, rng = Judge(plan, REFERENCE), np.random.default_rng(3)
    judge.begin_step(0)
    verdict = judge.verdict()
    for look in range(1, 121):
        tallies = {
            Key(0, False, True): Tally(5, {"error_rate": (0, 5)}),
            Key(0, False, False): Tally(90, {"error_rate": (int(rng.binomial(90, 0.01)), 90)}),
        }
        verdict = judge.look(Batch(tallies), look * 10.0)
        assert verdict.decision != "advance"
    assert judge.split_is_off
    assert verdict.decision == "inconclusive"
    assert "not as the weight says" in verdict.why


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
