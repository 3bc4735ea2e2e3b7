from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ParameterError
from simulator.quantiles import interval, quantile, samples_to_bound


def test_the_quantile_interpolates_between_order_statistics() -> None:
    assert quantile([10.0, 20.0, 30.0, 40.0], 0.5) == 25.0
    assert quantile([10.0, 20.0], 0.99) == pytest.approx(19.9)
    assert math.isnan(quantile([], 0.5))


def test_the_interval_leaves_out_what_is_unknown() -> None:
    low, high = interval([*range(101), math.nan])
    assert (low, high) == (pytest.approx(2.5), pytest.approx(97.5))
    assert all(math.isnan(end) for end in interval([math.nan]))


@given(st.floats(0.5, 0.999), st.floats(0.5, 0.99))
def test_samples_to_bound_is_the_smallest_number_that_does(level: float, confidence: float) -> None:
    n = samples_to_bound(level, confidence)
    assert 1.0 - level**n >= 1.0 - (1.0 - confidence) / 2.0 - 1e-12
    assert 1.0 - level ** (n - 1) < 1.0 - (1.0 - confidence) / 2.0 + 1e-12


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_lies_within_its_sample_and_is_monotone(values: list[float], level: float) -> None:
    found = quantile(values, level)
    assert min(values) <= found <= max(values)
    assert found <= quantile(values, min(1.0, level + 0.1))
    assert found == pytest.approx(float(np.quantile(values, level)))


def test_a_level_outside_its_range_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"99 is outside 0 to 1; 0\.99 means the p99"):
        quantile([1.0], 99)
    with pytest.raises(ParameterError, match="95 is outside"):
        interval([1.0], 95)


@pytest.mark.parametrize("arguments", [(0.0,), (1.0,), (0.5, 1.0), (0.5, 0.0)])
def test_no_number_of_samples_bounds_an_extreme_or_makes_sure(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ParameterError, match="is outside 0 to 1"):
        samples_to_bound(*arguments)
