"""What the forecast says of a plan before its first step."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from replay.canary.expectation import expect
from replay.canary.plan import ObjectiveSpec, Plan, Step, objective
from simulator.platform import Platform
from simulator.trace import Trace, TraceMetadata, make_trace

STEPS = (Step(0.5, 60, 600), Step(1.0, 60, 600))


def _recorded(variant: str, output_tokens: int) -> Trace:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "arrival_s": np.arange(120) * 0.5,
            "variant": variant,
            "cold": np.arange(120) % 40 == 0,
            "init_ms": np.where(np.arange(120) % 40 == 0, 500.0, np.nan),
            "duration_ms": 100.0 * np.exp(0.1 * rng.standard_normal(120)),
            "memory_mb": 1024,
            "input_tokens": 100,
            "output_tokens": output_tokens,
        }
    ).with_columns(pl.col("init_ms").fill_nan(None))
    return make_trace(frame, TraceMetadata(models={variant: "us.amazon.nova-lite-v1:0"}))


def test_a_candidate_that_would_cost_too_much_is_seen_before_it_gets_traffic() -> None:
    baseline = _recorded("baseline", 100)
    for spec, why in (
        (objective("cost_usd_per_1000"), "the baseline's, beyond the margin of 1.25"),
        (ObjectiveSpec("cost_usd_per_1000", max=0.1), "over the maximum of 0.1"),
    ):
        plan = Plan("p", STEPS, (spec,))
        dear = expect(plan, baseline, _recorded("optimized", 600), Platform(), rate_rps=2.0, seed=1, replications=40)
        assert any("50%: cost_usd_per_1000 forecast" in text and why in text for text in dear.failures)
        same = expect(plan, baseline, _recorded("optimized", 100), Platform(), rate_rps=2.0, seed=1, replications=40)
        assert same.failures == ()
        # Tokens of 100 × 0.06 and 100 × 0.24 USD a million, a tenth of a GB-second, and 1.2e-6 for the request.
        assert same.intervals["100%", "cost_usd_per_1000"] == pytest.approx([0.0330, 0.0330], rel=0.03)
