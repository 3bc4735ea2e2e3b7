from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.running_sum import FEW, running_sum


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, FEW - 1, FEW, 3 * FEW]), st.sampled_from([1e-9, 1.0, 1e9]))
def test_bit_by_bit_what_numpy_gives(seed: int, size: int, scale: float) -> None:
    values = np.random.default_rng(seed).normal(size=size) * scale
    assert np.array_equal(running_sum(values), np.cumsum(values))
