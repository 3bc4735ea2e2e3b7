from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.lookup import FEW, interpolate


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.sampled_from([1, FEW - 1, FEW, 2 * FEW]), st.booleans())
def test_bit_by_bit_what_numpy_gives(seed: int, size: int, count: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    positions = np.sort(rng.random(size) ** rng.choice([1, 8]))
    if ties:
        positions = np.sort(rng.choice(positions, size))
    values = np.sort(rng.normal(size=size))
    uniforms = rng.random(count)
    uniforms[: min(count, size)] = positions[: min(count, size)]  # the places themselves
    uniforms[uniforms >= 1.0] = 0.5
    found, index = interpolate(uniforms, positions, values)
    assert np.array_equal(found, np.interp(uniforms, positions, values))
    assert np.array_equal(index, np.minimum(np.searchsorted(positions, uniforms), size - 1))


@pytest.mark.parametrize("uniform", [0.0, 5e-324, 0.5, np.nextafter(1.0, 0.0)])
def test_ends(uniform: float) -> None:
    positions, values = np.array([0.0, 0.5, 1.0]), np.array([1.0, 2.0, 4.0])
    uniforms = np.full(FEW, uniform)
    found, index = interpolate(uniforms, positions, values)
    assert np.array_equal(found, np.interp(uniforms, positions, values))
    assert np.array_equal(index, np.searchsorted(positions, uniforms))
