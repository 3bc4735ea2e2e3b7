from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from simulator.client_policy import ClientPolicy
from simulator.cost import load_prices
from simulator.engine.reference import simulate
from simulator.errors import ParameterError
from simulator.platform import Platform
from simulator.provisioned import ProvisionedChange
from simulator.replication import CostModel, group_figures, metrics_for
from simulator.trace import TraceMetadata, make_trace
from tests.simulator.engine.stories import STABLE, platform
from tests.simulator.worlds import draws

GB_SECOND_USD, PROVISIONED_USD, READY_USD = 0.0000166667, 0.0000097222, 0.0000041667
INVOCATION_USD, GATEWAY_USD = 0.2e-6, 1e-6


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


def _costs(memory_mb: int | None) -> CostModel:
    return CostModel(load_prices(), "x86_64", {}, {"baseline": memory_mb}, {})


def test_a_request_pays_for_all_of_its_attempts_and_a_refused_one_the_gateway_only() -> None:
    """The second request is refused once, then served; the third is refused for good."""
    one_at_a_time = platform(limit=1, client=ClientPolicy(max_attempts=2, backoff_base_s=0.3, jitter="none"))
    run = simulate(
        draws([0.0, 0.1, 0.15], handler_ms=100, init_ms=200, attempts=2, overhead_ms=0), one_at_a_time, STABLE
    )
    assert run.attempts.tolist() == [1, 2, 2]
    usd = _costs(2048).of(run, np.array([[1e-3, 2e-3, 4e-3]]), one_at_a_time)
    served = INVOCATION_USD + GATEWAY_USD
    assert usd == pytest.approx(
        [
            0.3 * 2 * GB_SECOND_USD + served + 1e-3,
            0.1 * 2 * GB_SECOND_USD + served + GATEWAY_USD + 2e-3,
            2 * GATEWAY_USD,
        ]
    )


@pytest.mark.parametrize(("recorded_mb", "gb"), [(None, 0.5), (1024, 1.0)])
def test_the_recorded_memory_counts_and_else_the_platforms(recorded_mb: int | None, gb: float) -> None:
    alone = platform(memory_mb=512, provisioned=1)
    run = simulate(draws([0.0], handler_ms=1000, overhead_ms=0), alone, STABLE)
    usd = _costs(recorded_mb).of(run, np.zeros((1, 1)), alone)
    assert usd == pytest.approx([gb * PROVISIONED_USD + INVOCATION_USD + GATEWAY_USD])
    assert _costs(recorded_mb).ready(run, alone)(0, 10.0, 20.0) == pytest.approx(10 * gb * READY_USD)


def test_what_is_kept_ready_is_paid_as_its_number_changes() -> None:
    growing = platform(memory_mb=1024, provisioned=1, provisioned_changes=(ProvisionedChange(15.0, 3),))
    run = simulate(draws([0.0], overhead_ms=0), growing, STABLE)
    assert _costs(None).ready(run, growing)(0, 10.0, 20.0) == pytest.approx((5 * 1 + 5 * 3) * READY_USD)


def _figures(names: list[str], settings: Platform, *, ready_usd: float = math.nan) -> dict[str, tuple[float, int]]:
    """Three at once: as many as the limit are served, the first of them cold, the others refused."""
    run = simulate(draws([0.0, 0.01, 5.0, 5.01], handler_ms=100, init_ms=500, overhead_ms=2), settings, STABLE)
    usd = np.array([1.0, 2.0, 3.0, 4.0]) * 1e-6
    metrics = metrics_for(names)
    return group_figures(
        run, slice(0, None), ["baseline"], [True], usd, metrics, dict.fromkeys(("all", "baseline"), ready_usd)
    )["all"]


def test_the_figures_of_a_run_by_hand() -> None:
    names = [
        "p50_ms",
        "p99_ms",
        "mean_ms",
        "cold_share",
        "cold_count",
        "error_rate",
        "throttled_share",
        "throttled_count",
    ]
    names += ["timeout_share", "retry_amplification", "cost_usd_per_1000"]
    found = _figures(names, platform(limit=1))
    # Served: 602 ms cold and 102 ms warm. A refusal is no fast answer and no start, but a request and a cost.
    assert found["p50_ms"] == (pytest.approx(352.0), 2)
    assert found["p99_ms"] == (pytest.approx(102 + 0.99 * 500), 2)
    assert found["mean_ms"] == (pytest.approx(352.0), 2)
    assert found["cold_share"] == (0.5, 2)
    assert found["cold_count"] == (1.0, 2)
    assert found["error_rate"] == found["throttled_share"] == (0.5, 4)
    assert found["throttled_count"] == (2.0, 4)
    assert found["timeout_share"] == (0.0, 4)
    assert found["retry_amplification"] == (1.0, 4)
    assert found["cost_usd_per_1000"] == (pytest.approx(2.5e-3), 4)


def test_what_is_kept_ready_is_spread_over_the_requests() -> None:
    names = ["provisioned_usd_per_1000", "total_usd_per_1000"]
    found = _figures(names, platform(limit=1), ready_usd=0.02)
    assert found["provisioned_usd_per_1000"] == (pytest.approx(5.0), 4)
    assert found["total_usd_per_1000"] == (pytest.approx(5.0 + 2.5e-3), 4)


@pytest.mark.parametrize("name", ["median_ms", "p99", "cost"])
def test_what_is_no_figure_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=f"'{name}' is no figure; known are p50_ms"):
        metrics_for(["p50_ms", name])
