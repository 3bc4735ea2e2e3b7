from __future__ import annotations

import polars as pl
import pytest

from simulator.cost import load_prices
from simulator.replication import CostModel
from simulator.trace import TraceMetadata, make_trace


@pytest.mark.parametrize(("input_tokens", "mean_usd"), [([1000, None], 60e-6), ([None, None], float("nan"))])
def test_unknown_tokens_stand_for_those_of_answered_requests(input_tokens: list[int | None], mean_usd: float) -> None:
    frame = pl.DataFrame(
        {
            "arrival_s": [0.0, 1.0, 2.0],
            "status": ["ok", "ok", "throttled"],
            "input_tokens": [*input_tokens, None],
            "memory_mb": [1024, 1024, None],
            "billed_ms": [100.0, 100.0, None],
        }
    )
    trace = make_trace(frame, TraceMetadata(models={"": "amazon.nova-lite-v1:0"}))
    costs = CostModel.fit({"baseline": trace}, load_prices(), "x86_64")
    assert costs.token_usd["baseline"][1] == pytest.approx(mean_usd, nan_ok=True)


@pytest.mark.parametrize("both", [False, True])
def test_a_variant_without_tokens_beside_one_with_them_is_no_cheap_one(both: bool) -> None:
    frame = pl.DataFrame({"arrival_s": [0.0], "memory_mb": [1024], "billed_ms": [100.0]})
    plain = make_trace(frame)
    asking = make_trace(
        frame.with_columns(input_tokens=1000, output_tokens=10), TraceMetadata(models={"": "amazon.nova-lite-v1:0"})
    )
    costs = CostModel.fit({"baseline": plain if both else asking, "optimized": plain}, load_prices(), "x86_64")
    assert ("optimized" in costs.reasons) is not both
    if not both:
        assert costs.reasons["optimized"] == (
            "optimized: no tokens and no model are recorded; its cost is without them"
        )
