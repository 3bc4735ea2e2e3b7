"""Statistics of metrics, held against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.cloud.control_plane.metric_series import (
    MetricSeries,
    Observation,
    by_period,
    is_statistic,
    metric_key,
    percentile,
    statistic,
)

KEY = metric_key("AWS/Lambda", "Duration", {"FunctionName": "f", "Resource": "f:live"})
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


def observed(*values: float) -> list[Observation]:
    return [Observation.single(0.0, value) for value in values]


@given(VALUES, st.floats(0, 100))
def test_percentiles_agree_with_numpy(values: list[float], percent: float) -> None:
    weighted = sorted((value, 1.0) for value in values)

    assert percentile(weighted, percent) == pytest.approx(np.percentile(values, percent), rel=1e-9, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 5)), min_size=1, max_size=12), st.floats(0, 100))
def test_a_value_seen_n_times_counts_n_times(values: list[tuple[float, int]], percent: float) -> None:
    flat = [value for value, count in values for _ in range(count)]
    weighted = sorted((value, float(count)) for value, count in values)

    assert percentile(weighted, percent) == pytest.approx(np.percentile(flat, percent), rel=1e-9, abs=1e-6)


@given(VALUES)
def test_simple_statistics(values: list[float]) -> None:
    found = observed(*values)

    assert statistic("SampleCount", found) == len(values)
    assert statistic("Sum", found) == pytest.approx(sum(values), rel=1e-9, abs=1e-6)
    assert statistic("Average", found) == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert (statistic("Minimum", found), statistic("Maximum", found)) == (min(values), max(values))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p50", 5.5),
        ("p100", 10.0),
        ("p99.9", 9.991),
        ("tm80", 4.5),  # mean of 1..8
        ("tc80", 8.0),
        ("ts80", 36.0),
        ("wm80", 5.24),  # 9 and 10 count as p80 = 8.2
        ("TM(10%:90%)", 5.5),  # 2..9
        ("TC(:5)", 5.0),
        ("TC(3:)", 7.0),
        ("TS(2:4)", 7.0),  # 3 + 4: the lower bound is outside
        ("PR(:3)", 30.0),
        ("PR(3:5)", 20.0),
        ("IQM", 5.5),
    ],
)
def test_extended_statistics_of_one_to_ten(name: str, expected: float) -> None:
    assert is_statistic(name)
    assert statistic(name, observed(*range(1, 11))) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["p", "p101", "median", "TM(1)", "pp99", ""])
def test_unknown_statistics(name: str) -> None:
    assert not is_statistic(name)


def test_a_statistic_set_has_no_percentile_but_the_rest() -> None:
    found = [Observation(0.0, total=30.0, low=1.0, high=9.0, count=10.0), *observed(20.0)]

    assert (statistic("Sum", found), statistic("SampleCount", found)) == (50.0, 11.0)
    assert (statistic("Minimum", found), statistic("Maximum", found)) == (1.0, 20.0)
    assert statistic("p50", found) is None


@given(st.lists(st.floats(0, 1000), max_size=60), st.floats(0, 500), st.floats(0, 500), st.sampled_from([1, 60, 300]))
def test_every_observation_of_a_range_is_in_exactly_one_period(
    times_s: list[float], start_s: float, length_s: float, period_s: int
) -> None:
    series = MetricSeries()
    for time_s in times_s:
        series.add(KEY, Observation.single(time_s, 1.0))

    found = series.between(KEY, start_s, start_s + length_s)
    periods = by_period(found, period_s)

    assert len(found) == sum(start_s <= time_s < start_s + length_s for time_s in times_s)
    assert sum(len(inside) for _, inside in periods) == len(found)
    for begin_s, inside in periods:
        assert begin_s % period_s == 0
        assert all(begin_s <= known.timestamp_s < begin_s + period_s for known in inside)


def test_the_order_of_dimensions_does_not_matter() -> None:
    assert metric_key("n", "m", {"a": "1", "b": "2"}) == metric_key("n", "m", {"b": "2", "a": "1"})
