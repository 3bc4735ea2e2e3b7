"""The intervals against known truth, and against the textbook where it has closed answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulator.errors import ParameterError
from simulator.intervals import (
    Estimate,
    autocorrelation,
    difference_estimate,
    mean_estimate,
    quantile_estimate,
    share_estimate,
    standard_deviation_estimate,
)

TRUTH = stats.lognorm(0.5, scale=400.0)


@pytest.mark.parametrize(("level", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_a_quantile_is_refused_below_the_samples_it_needs_and_given_from_there_on(level: float, needed: int) -> None:
    values = np.linspace(1.0, 2.0, needed)
    refused = quantile_estimate(values[:-1], level)
    assert refused.refused
    assert refused.needed == needed
    assert math.isfinite(refused.value)
    assert not quantile_estimate(values, level).refused


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [40, 400])
def test_quantile_intervals_cover_the_truth_as_often_as_they_say(level: float, n: int) -> None:
    rng = np.random.default_rng(7)
    truth = TRUTH.ppf(level)
    found = [quantile_estimate(TRUTH.rvs(n, random_state=rng), level).holds(truth) for _ in range(1500)]
    if found[0] is None:
        assert n == 40
        assert level > 0.9
        return
    assert 0.93 <= np.mean([bool(inside) for inside in found]) <= 0.97


def test_mean_intervals_of_skewed_latencies_cover_better_than_students() -> None:
    rng = np.random.default_rng(8)
    skewed = stats.lognorm(1.0)
    ours, students = [], []
    for _ in range(1500):
        sample = skewed.rvs(60, random_state=rng)
        ours.append(mean_estimate(sample).holds(skewed.mean()))
        half = sample.std(ddof=1) / math.sqrt(60) * stats.t.ppf(0.975, 59)
        students.append(abs(sample.mean() - skewed.mean()) <= half)
    assert np.mean(ours) > np.mean(students) + 0.01
    assert np.mean(ours) > 0.92


def test_the_mean_interval_is_students_where_there_is_no_skewness() -> None:
    sample = np.concatenate([np.arange(-10.0, 0.0), np.arange(1.0, 11.0)])
    estimate = mean_estimate(sample)
    low, high = stats.t.interval(0.95, 19, loc=sample.mean(), scale=stats.sem(sample))
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))


def test_bonetts_interval_on_his_own_scale() -> None:
    rng = np.random.default_rng(9)
    found = [standard_deviation_estimate(rng.normal(100.0, 15.0, 50)).holds(15.0) for _ in range(1500)]
    assert 0.93 <= np.mean(found) <= 0.97


@pytest.mark.parametrize("hits", [0, 3, 10])
def test_a_share_agrees_with_jeffreys(hits: int) -> None:
    estimate = share_estimate(hits, 10)
    posterior = stats.beta(hits + 0.5, 10.5 - hits)
    assert estimate.low == pytest.approx(posterior.ppf(0.025) if hits else 0.0)
    assert estimate.high == pytest.approx(posterior.ppf(0.975) if hits < 10 else 1.0)


def test_a_difference_of_medians_covers_the_truth() -> None:
    rng = np.random.default_rng(10)
    truth = stats.lognorm(0.5).median() - stats.gamma(2).median()
    found = []
    for _ in range(1500):
        first = quantile_estimate(stats.lognorm(0.5).rvs(60, random_state=rng), 0.5)
        second = quantile_estimate(stats.gamma(2).rvs(90, random_state=rng), 0.5)
        found.append(difference_estimate(first, second).holds(truth))
    assert 0.93 <= np.mean(found) <= 0.97


def test_a_difference_without_an_interval_says_how_many_samples_it_needs() -> None:
    few, many = quantile_estimate([1.0, 2.0], 0.5), quantile_estimate(np.arange(50.0), 0.5)
    assert difference_estimate(few, many) == Estimate(1.5 - 24.5, None, None, 2, 6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=60), st.sampled_from([0.5, 0.7]))
def test_an_interval_lies_within_the_sample_and_holds_its_own_middle(values: list[float], level: float) -> None:
    estimate = quantile_estimate(values, level)
    if estimate.low is not None and estimate.high is not None:
        assert min(values) <= estimate.low <= estimate.high <= max(values)
        # Interpolated bounds and the interpolated figure may differ within one gap, never more.
        assert estimate.low <= sorted(values)[min(math.ceil(level * len(values)), len(values) - 1)]


def test_autocorrelation_tells_drift_from_chance() -> None:
    rng = np.random.default_rng(11)
    assert abs(autocorrelation(rng.random(400))) < 0.12
    assert abs(autocorrelation(rng.integers(1, 3, 400))) < 0.12, "whole milliseconds, most of them equal"
    assert autocorrelation(np.cumsum(rng.normal(size=400))) > 0.8
    assert math.isnan(autocorrelation([1.0, 2.0]))


def test_what_was_not_measured_is_refused() -> None:
    with pytest.raises(ParameterError, match="leave out what was not measured"):
        mean_estimate([1.0, math.nan])
