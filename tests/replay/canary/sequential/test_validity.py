"""Anytime validity, by exact sums and by Monte Carlo: the promises that everything else rests on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.canary.sequential import (
    LimitTest,
    MeanTest,
    Mixture,
    OddsTest,
    RateTest,
    Share,
    better_than,
    combined_log_e,
    hypergeometric_log_ratio,
    worse_than,
)
from simulator.errors import ParameterError

ALPHA = 0.01


def _law(candidate: int, baseline: int, events: int, odds: float) -> tuple[np.ndarray, np.ndarray]:
    """Fisher's noncentral hypergeometric law by direct summation with whole-number binomials."""
    support = np.arange(max(0, events - baseline), min(events, candidate) + 1)
    ways = np.array([math.comb(candidate, int(x)) * math.comb(baseline, events - int(x)) for x in support], float)
    mass = ways * odds**support
    return support, mass / mass.sum()


@given(
    candidate=st.integers(1, 25),
    baseline=st.integers(1, 60),
    events_share=st.floats(0, 1),
    null=st.sampled_from([0.5, 1.0, 1.5]),
    truth=st.floats(0.05, 1.0),
    effect=st.floats(1.1, 20),
)
def test_one_batch_is_an_e_value_under_every_null(candidate, baseline, events_share, null, truth, effect):
    """E[ratio] = 1 at the null's edge, ≤ 1 inside it: the sum over the whole law, no simulation."""
    events = round(events_share * (candidate + baseline))
    for odds, direction in ((null * truth, effect), (null / truth, 1 / effect)):
        support, mass = _law(candidate, baseline, events, odds)
        ratios = [
            math.exp(
                hypergeometric_log_ratio(
                    int(x), candidate, events - int(x), baseline, np.log([null * direction]), math.log(null)
                )[0]
            )
            for x in support
        ]
        assert float(np.dot(mass, ratios)) <= 1 + 1e-9


@given(candidate=st.integers(1, 20), baseline=st.integers(1, 40), events=st.integers(0, 60), odds=st.floats(0.1, 9))
def test_ratio_agrees_with_the_law_written_out(candidate, baseline, events, odds):
    events = min(events, candidate + baseline)
    support, mass = _law(candidate, baseline, events, odds)
    _, null = _law(candidate, baseline, events, 1.0)
    for x, expected in zip(support, np.log(mass) - np.log(null), strict=True):
        got = hypergeometric_log_ratio(int(x), candidate, events - int(x), baseline, np.log([odds]))[0]
        assert got == pytest.approx(expected, abs=1e-9)


@given(
    batches=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3), st.integers(0, 9)), max_size=20)
)
def test_waiting_batches_lose_nothing(batches):
    """A stratum whose arms never meet never bets; when they meet, all that waited counts."""
    test = OddsTest(worse_than(2.0))
    seen = [0, 0, 0, 0]
    merged = OddsTest(worse_than(2.0))
    for events_c, more_c, events_b, more_b in batches:
        batch = (events_c, events_c + more_c, events_b, events_b + more_b)
        test.update(*batch, stratum="cold")
        seen = [a + b for a, b in zip(seen, batch, strict=True)]
        if seen[1] and seen[3]:
            merged.update(*seen)
            seen = [0, 0, 0, 0]
    assert test.log_e == pytest.approx(merged.log_e, abs=1e-12)


@given(share=st.floats(0, 1), counts=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=10))
def test_betting_anew_keeps_the_wealth(share, counts):
    test = OddsTest(worse_than(2.0), reserve=0.3)
    for events, rest in counts:
        test.update(events, events + 5, rest // 10, rest + 1)
        before = test.log_e
        test.bet_anew(share)
        assert test.log_e == pytest.approx(before, abs=1e-9)


def _crossings(make, looks, runs, seed, *, odds=1.0):
    """Share of runs in which an e-process ever reaches 1/ALPHA; the base rate drifts and jumps, the weight changes."""
    rng = np.random.default_rng(seed)
    crossed = 0
    for _ in range(runs):
        test = make()
        phase = rng.uniform(0, 6)
        for look in range(looks):
            weight = 0.1 if look < looks / 2 else 0.5
            rate = 0.02 + 0.015 * math.sin(phase + look / 20) + (0.2 if look % 97 == 0 else 0)
            baseline, candidate = rng.poisson(40 * (1 - weight)), rng.poisson(40 * weight)
            tilted = rate * odds / (1 - rate + rate * odds)
            test.update(rng.binomial(candidate, tilted), candidate, rng.binomial(baseline, rate), baseline)
            if look == looks // 2:
                test.bet_anew(0.5)
            if test.log_e >= -math.log(ALPHA):
                crossed += 1
                break
    return crossed / runs


def test_false_alarms_stay_under_alpha_however_often_one_looks():
    """400 looks, a drifting base rate with storms, a weight that changes: Ville's inequality must hold."""
    share = _crossings(lambda: OddsTest(worse_than(2.0), reserve=0.2), looks=400, runs=600, seed=1)
    # 99.9 % binomial bound around α = 1 % for 600 runs.
    assert share <= ALPHA + 3.1 * math.sqrt(ALPHA * (1 - ALPHA) / 600)


def test_a_real_regression_is_found():
    """The same test is not merely silent."""
    assert _crossings(lambda: OddsTest(worse_than(2.0)), looks=400, runs=60, seed=2, odds=3.0) >= 0.95


def test_a_regression_that_begins_late_is_found():
    """After 2,000 sound requests of the candidate an old bet is worthless; what was kept back finds the change."""
    rng = np.random.default_rng(10)

    def looks_to_find(reserve: float) -> float:
        test = OddsTest(worse_than(2.0), reserve=reserve)
        for look in range(600):
            if look == 200:
                test.bet_anew(1 / 3)
            rate = 0.01 if look < 200 else 0.04
            test.update(int(rng.binomial(10, rate)), 10, int(rng.binomial(90, 0.01)), 90)
            if test.log_e >= -math.log(ALPHA):
                return look - 200
        return math.inf

    with_reserve = [looks_to_find(0.2) for _ in range(30)]
    without = [looks_to_find(0.0) for _ in range(30)]
    assert np.median(with_reserve) < 60
    assert np.median(with_reserve) < 0.7 * np.median(without)


def test_non_inferiority_is_seldom_claimed_wrongly():
    """A candidate at the margin itself must not pass as better than it."""
    wrong = _crossings(lambda: OddsTest(better_than(0.5), limit=2.0), looks=400, runs=300, seed=3, odds=2.0)
    right = _crossings(lambda: OddsTest(better_than(0.5), limit=2.0), looks=400, runs=60, seed=4, odds=1.0)
    assert wrong <= ALPHA + 3.1 * math.sqrt(ALPHA / 300)
    assert right >= 0.9


@given(limit=st.floats(0.001, 0.9), truth=st.floats(0, 1), odds=st.floats(1.1, 30))
def test_rate_bet_is_fair(limit, truth, odds):
    """One request: E[bet] ≤ 1 for every rate on the null's side, by summing the two outcomes."""
    for direction, rate in ((odds, limit * truth), (1 / odds, limit + (1 - limit) * truth)):
        hit, miss = RateTest(Mixture((direction,), (1.0,)), limit), RateTest(Mixture((direction,), (1.0,)), limit)
        expected = rate * math.exp(hit.update(1, 1)) + (1 - rate) * math.exp(miss.update(0, 1))
        assert expected <= 1 + 1e-9


def test_rate_test_finds_what_is_over_the_limit_and_only_that():
    rng = np.random.default_rng(5)
    over = [RateTest(worse_than(2.0), 0.01) for _ in range(2)]
    for _ in range(3000):
        over[0].update(int(rng.random() < 0.03), 1)
        over[1].update(int(rng.random() < 0.01), 1)
    assert over[0].log_e > -math.log(ALPHA) > over[1].log_e


@given(limit=st.floats(0.5, 2), split=st.floats(0, 1), cap=st.floats(0.1, 100))
def test_mean_bet_is_fair_at_the_edge(limit, split, cap):
    """Two-point laws on [0, cap] with E[c] = limit · E[b]: the expected wealth of one batch is at most 1."""
    chance_b = min(split, 1 / limit)
    chance_c = min(1.0, limit * chance_b)
    for worse in (True, False):
        expected = 0.0
        for c, pc in ((cap, chance_c), (0.0, 1 - chance_c)):
            for b, pb in ((cap, chance_b), (0.0, 1 - chance_b)):
                expected += pc * pb * math.exp(MeanTest(limit, cap, worse=worse).update(c, 1, b, 1))
        assert expected <= 1 + 1e-9


def test_mean_test_finds_a_dearer_candidate():
    rng = np.random.default_rng(6)
    dearer, same = MeanTest(1.1, 10.0), MeanTest(1.1, 10.0)
    for _ in range(400):
        baseline = rng.gamma(4, 0.5, 90).clip(max=10)
        dearer.update(float((1.5 * rng.gamma(4, 0.5, 10)).clip(max=10).sum()), 10, float(baseline.sum()), 90)
        same.update(float(rng.gamma(4, 0.5, 10).clip(max=10).sum()), 10, float(baseline.sum()), 90)
    assert dearer.log_e > -math.log(ALPHA) > same.log_e


@given(logs=st.lists(st.floats(-20, 20), min_size=1, max_size=5), total=st.floats(0.1, 1))
def test_combination_is_the_weighted_mean(logs, total):
    weight = total / len(logs)
    shares = [Share(str(i), weight, log) for i, log in enumerate(logs)]
    mean = sum(weight * math.exp(log) for log in logs) + 1 - total
    assert combined_log_e(shares) == pytest.approx(math.log(mean), abs=1e-9)


def test_what_is_refused():
    for wrong in (
        lambda: Mixture((2.0, 0.5), (0.5, 0.5)),
        lambda: Mixture((2.0,), (0.9,)),
        lambda: worse_than(1.0),
        lambda: better_than(1.5),
        lambda: OddsTest(worse_than(2), limit=0),
        lambda: RateTest(worse_than(2), 1.0),
        lambda: RateTest(worse_than(2), 0.1).update(3, 2),
        lambda: OddsTest(worse_than(2)).update(3, 2, 0, 1),
        lambda: MeanTest(1.0, 1.0).update(5.0, 1, 0.0, 1),
        lambda: combined_log_e([Share("a", 0.8, 0.0), Share("b", 0.8, 0.0)]),
    ):
        with pytest.raises(ParameterError):
            wrong()


@pytest.mark.parametrize(
    ("mean", "worse", "found"), [(1.0, True, False), (1.0, False, False), (1.4, True, True), (0.5, False, True)]
)
def test_a_mean_against_a_limit(mean, worse, found):
    """At the limit itself neither side may be shown, in more than ALPHA of runs; well beyond it, it is."""
    rng = np.random.default_rng(6)
    crossed = 0
    for _ in range(100):
        test = LimitTest(1.0, 8.0, worse=worse)
        for _ in range(400):
            n = int(rng.poisson(10))
            # Bounded by 8 with this mean: a scaled beta law, skewed as costs are.
            if test.update(float(8 * rng.beta(1.0, 8 / mean - 1.0, n).sum()), n) >= -math.log(ALPHA):
                crossed += 1
                break
    assert crossed >= 95 if found else crossed <= 5


def test_a_limit_must_lie_under_the_cap():
    with pytest.raises(ParameterError, match="between 0 and cap"):
        LimitTest(2.0, 1.0)
    with pytest.raises(ParameterError, match="sum"):
        LimitTest(1.0, 2.0).update(5.0, 2)
