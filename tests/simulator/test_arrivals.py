from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.arrivals import (
    PoissonArrivals,
    ReplayedArrivals,
    Segment,
    concatenate,
    poisson,
    poisson_with_burst,
    replay,
)
from simulator.draws import Randomness, Use
from simulator.errors import ParameterError
from simulator.trace import make_trace

SEGMENTS = st.lists(
    st.builds(Segment, st.floats(0.01, 50), st.one_of(st.just(0.0), st.floats(0.01, 50))), min_size=1, max_size=5
)


@given(SEGMENTS, st.integers(0, 2**32))
def test_arrivals_lie_in_order_inside_segments_that_bring_any(segments: list[Segment], seed: int) -> None:
    plan = PoissonArrivals(tuple(segments))
    arrival_s = plan.draw(np.random.default_rng(seed))
    assert (np.diff(arrival_s) >= 0).all()
    assert ((arrival_s >= 0) & (arrival_s < plan.duration_s)).all()
    ends_s = np.cumsum([segment.duration_s for segment in segments])
    index = np.minimum(np.searchsorted(ends_s, arrival_s, side="right"), len(segments) - 1)
    for each in np.unique(index):
        lies_on_the_edge = np.isclose(arrival_s[index == each], ends_s[each] - segments[each].duration_s)
        assert segments[each].rate_rps > 0 or lies_on_the_edge.all()


def test_counts_are_poisson_in_each_segment() -> None:
    plan = poisson_with_burst(10.0, 30.0, factor=4.0, burst_start_s=10.0, burst_duration_s=5.0)
    assert plan.expected_requests == 450.0
    runs = [plan.draw(np.random.default_rng(seed)) for seed in range(400)]
    burst = np.array([((run >= 10.0) & (run < 15.0)).sum() for run in runs])
    quiet = np.array([(run < 10.0).sum() for run in runs])
    for counts, mean in ((burst, 200.0), (quiet, 100.0)):
        assert counts.mean() == pytest.approx(mean, abs=4.0 * np.sqrt(mean / 400))
        assert counts.var() == pytest.approx(mean, rel=0.3)
    assert abs(np.corrcoef(burst, quiet)[0, 1]) < 0.2


def test_twice_the_rate_brings_the_same_requests_earlier() -> None:
    slow = poisson(5.0, 100.0).draw(Randomness(3).generator(Use.ARRIVAL))
    fast = poisson(10.0, 100.0).draw(Randomness(3).generator(Use.ARRIVAL))
    np.testing.assert_allclose(fast[: slow.size] * 2.0, slow)


def test_a_replay_keeps_the_recorded_times_and_rate() -> None:
    trace = make_trace(pl.DataFrame({"arrival_s": [5.0, 6.0, 9.0]}))
    plan = replay(trace)
    np.testing.assert_array_equal(plan.draw(np.random.default_rng(0)), [0.0, 1.0, 4.0])
    assert (plan.duration_s, plan.expected_requests) == (6.0, 3.0)
    faster = replay(trace, speed=2.0)
    np.testing.assert_array_equal(faster.draw(np.random.default_rng(0)), [0.0, 0.5, 2.0])
    assert faster.duration_s == 3.0


def test_a_single_arrival_can_be_replayed() -> None:
    plan = replay(make_trace(pl.DataFrame({"arrival_s": [7.0]})))
    assert (plan.draw(np.random.default_rng(0)).tolist(), plan.duration_s) == ([0.0], 1.0)


def test_plans_in_a_row_follow_each_other() -> None:
    one = ReplayedArrivals(np.array([0.0, 1.0]), 2.0)
    np.testing.assert_array_equal(concatenate([one, one], np.random.default_rng(0)), [0.0, 1.0, 2.0, 3.0])
    assert concatenate([], np.random.default_rng(0)).size == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Segment(0.0, 1.0), "duration_s=0.0 must be above 0"),
        (lambda: Segment(1.0, -2.0), "rate_rps=-2.0 must be 0 or more"),
        (lambda: Segment(1.0, float("nan")), "rate_rps=nan"),
        (lambda: PoissonArrivals(()), "at least one segment"),
        (lambda: poisson_with_burst(1, 10, factor=2, burst_start_s=8, burst_duration_s=5), "outside the plan of 10 s"),
        (lambda: replay(make_trace(pl.DataFrame({"arrival_s": [0.0]})), speed=0.0), "speed=0.0 must be above 0"),
        (lambda: ReplayedArrivals(np.array([1.0, 0.5]), 2.0), "must be ascending"),
    ],
)
def test_impossible_plans_are_refused(make: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make()  # type: ignore[operator]
