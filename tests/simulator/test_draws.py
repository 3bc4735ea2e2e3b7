from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.draws import Draws, Randomness, Use
from simulator.errors import ParameterError
from tests.simulator.worlds import draws


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.sampled_from(list(Use)), st.integers(0, 5))
def test_a_longer_run_starts_with_the_draws_of_the_shorter(seed: int, replication: int, use: Use, attempt: int) -> None:
    randomness = Randomness(seed, replication)
    np.testing.assert_array_equal(randomness.uniforms(use, 7, attempt), randomness.uniforms(use, 100, attempt)[:7])


@given(st.integers(0, 2**64 - 1), st.sampled_from(list(Use)), st.integers(0, 50))
def test_a_stream_can_be_entered_anywhere(seed: int, use: Use, first: int) -> None:
    randomness = Randomness(seed)
    np.testing.assert_array_equal(randomness.uniforms(use, 20, 1, first), randomness.uniforms(use, 70, 1)[first:][:20])


def test_every_address_has_numbers_of_its_own() -> None:
    streams = {
        (seed, replication, use, attempt): tuple(Randomness(seed, replication).uniforms(use, 4, attempt))
        for seed in (0, 1)
        for replication in (0, 1)
        for use in Use
        for attempt in (0, 1)
    }
    numbers = [number for stream in streams.values() for number in stream]
    assert len(set(numbers)) == len(numbers)


def test_streams_do_not_follow_one_another() -> None:
    left = Randomness(0, 0).uniforms(Use.HANDLER, 10_000)
    for other in (Randomness(0, 1).uniforms(Use.HANDLER, 10_000), Randomness(0, 0).uniforms(Use.INIT, 10_000)):
        assert abs(np.corrcoef(left, other)[0, 1]) < 0.04


def test_numbers_outside_their_range_are_refused() -> None:
    with pytest.raises(ParameterError, match="seed=-1"):
        Randomness(-1)
    with pytest.raises(ParameterError, match="replication"):
        Randomness(0, 2**32)


def test_draws_say_what_is_wrong_with_them() -> None:
    good = draws([0.0, 1.0])
    with pytest.raises(ParameterError, match="handler_ms holds a negative"):
        draws([0.0], handler_ms=-1.0)
    with pytest.raises(ParameterError, match="init_ms holds a negative or infinite value, or none"):
        draws([0.0], init_ms=np.nan)
    with pytest.raises(ParameterError, match="goes back in time"):
        draws([1.0, 0.0])
    with pytest.raises(ParameterError, match=r"route has shape \(1, 3\), not \(1, 2\)"):
        Draws(**{**vars(good), "route": np.zeros((1, 3))})
