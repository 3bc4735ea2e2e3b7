"""The compiled client of the SDK rounds as the reference's does, over thousands of answers and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.compiled import layout
from simulator.engine.compiled import sdk as compiled
from simulator.engine.sdk import SdkClient
from simulator.model_policy import RetryMode, SdkRetries


@pytest.mark.parametrize("mode", ["standard", "adaptive", "legacy"])
def test_every_wait_is_the_same_to_the_last_bit(mode: RetryMode) -> None:
    policy = SdkRetries(mode, 6)
    run, own, client = (np.zeros(1, dtype=dtype) for dtype in (layout.RUN, layout.VERSION, layout.SDK))
    run["cube"], run["cube_root"] = 3.0, 1 / 3.0
    own["attempts"], own["legacy"], own["adaptive"] = policy.attempts, mode == "legacy", mode == "adaptive"
    rng = np.random.default_rng(5)
    now_s, attempt = 0.3, 1
    expected = SdkClient(policy, now_s)
    compiled.begin(client[0], now_s)
    waits = 0
    for _ in range(6000):
        now_s += float(rng.choice([0.0, 1e-6, rng.exponential(0.2), rng.exponential(30.0)], p=[0.1, 0.1, 0.7, 0.1]))
        hold_s = expected.hold_s(now_s)
        assert (compiled.hold_s(client[0], now_s) if mode == "adaptive" else 0.0) == hold_s
        now_s += hold_s
        if rng.random() < 0.4:
            uniform = float(rng.random())
            wait_s = expected.throttled(attempt, now_s, uniform)
            found_s = compiled.throttled(run[0], own[0], client[0], attempt, now_s, uniform)
            assert found_s == (-1.0 if wait_s is None else wait_s)
            attempt = 1 if wait_s is None else attempt + 1
            waits += wait_s is not None
        else:
            expected.answered(now_s)
            compiled.answered(run[0], own[0], client[0], now_s)
            attempt = 1
    assert waits > 300
