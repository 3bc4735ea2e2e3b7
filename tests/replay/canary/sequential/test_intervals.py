"""Confidence sequences hold at all times at once, and the planner's figures agree with what happens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.canary.sequential import OddsTest, quantile_ranks, rate_interval, requests_to_decide, worse_than
from simulator.errors import ParameterError


@given(requests=st.integers(0, 3000), share=st.floats(0, 1), alpha=st.sampled_from([0.01, 0.05]))
def test_rate_interval_holds_the_observed_rate_and_narrows(requests, share, alpha):
    events = round(share * requests)
    low, high = rate_interval(events, requests, alpha)
    assert 0 <= low <= high <= 1
    if requests:
        assert low <= events / requests <= high
        wider = rate_interval(events, requests, alpha / 10)
        assert wider[0] <= low
        assert wider[1] >= high


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_rate_interval_covers_at_every_look(rate):
    rng = np.random.default_rng(7)
    left_out = 0
    for _ in range(200):
        events = np.cumsum(rng.random(2000) < rate)
        looks = np.arange(20, 2001, 20)
        left_out += any(
            not (lambda interval: interval[0] <= rate <= interval[1])(rate_interval(int(events[n - 1]), int(n), 0.05))
            for n in looks
        )
    assert left_out / 200 <= 0.05 + 3.1 * math.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize("probability", [0.5, 0.95, 0.99])
def test_quantile_ranks_cover_at_every_look(probability):
    """The true quantile of a uniform law is the probability itself."""
    rng = np.random.default_rng(8)
    looks = list(range(25, 2001, 25))
    ranks = {n: quantile_ranks(probability, n, 0.05) for n in looks}
    left_out = 0
    for _ in range(300):
        sample = rng.random(2000)
        for n in looks:
            ordered = np.sort(sample[:n])
            low, high = ranks[n]
            if (low is not None and ordered[low - 1] > probability) or (
                high is not None and ordered[high - 1] < probability
            ):
                left_out += 1
                break
    assert left_out / 300 <= 0.05 + 3.1 * math.sqrt(0.05 * 0.95 / 300)


def test_a_small_sample_does_not_bound_a_p99_from_above():
    low, high = quantile_ranks(0.99, 50, 0.05)
    assert low is not None
    assert high is None
    assert quantile_ranks(0.99, 5000, 0.05)[1] is not None
    assert quantile_ranks(0.99, 0, 0.05) == (None, None)


def test_quantile_ranks_tighten():
    widths = []
    for n in (1000, 10_000, 100_000):
        low, high = quantile_ranks(0.95, n, 0.05)
        assert low is not None
        assert high is not None
        assert low <= 0.95 * n <= high
        widths.append((high - low) / n)
    assert widths[0] > widths[1] > widths[2]


def test_planned_requests_agree_with_simulated_ones():
    """Doubled errors at 1 % and weight 0.1: the expected number of requests is right within a quarter."""
    threshold = math.log(100)
    expected = requests_to_decide(0.01, 2.0, 1.0, 0.1, threshold - math.log(0.75))
    rng = np.random.default_rng(9)
    needed = []
    for _ in range(150):
        test, requests = OddsTest(worse_than(2.0)), 0
        while test.log_e < threshold:
            candidate, baseline = int(rng.poisson(10)), int(rng.poisson(90))
            test.update(int(rng.binomial(candidate, 0.02)), candidate, int(rng.binomial(baseline, 0.01)), baseline)
            requests += candidate + baseline
        needed.append(requests)
    assert 0.75 <= np.mean(needed) / expected <= 1.35


def test_no_difference_takes_for_ever_and_bad_parameters_are_refused():
    assert requests_to_decide(0.01, 1.0, 1.0, 0.1, 4.6) == math.inf
    for wrong in (
        lambda: rate_interval(3, 2, 0.05),
        lambda: rate_interval(1, 2, 1.5),
        lambda: quantile_ranks(1.0, 10, 0.05),
        lambda: requests_to_decide(0.0, 2.0, 1.0, 0.1, 4.6),
    ):
        with pytest.raises(ParameterError):
            wrong()
