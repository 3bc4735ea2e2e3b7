from __future__ import annotations

import json

import polars as pl
import pytest

from simulator.backtest import compare
from simulator.cost import load_prices
from simulator.figures import METRICS, Figure, observe
from simulator.trace import TraceMetadata, make_trace


def by_key(figures: list[Figure]) -> dict[tuple[str, str], Figure]:
    return {(figure.variant, figure.metric): figure for figure in figures}


TRACE = make_trace(
    pl.DataFrame(
        {
            "arrival_s": [0.0, 1.0, 2.0, 3.0, 4.0],
            "variant": ["baseline", "baseline", "optimized", "optimized", None],
            "cold": [True, False, False, False, None],
            "init_ms": [500.0, None, None, None, None],
            "duration_ms": [100.0, 100.0, 50.0, 3000.0, None],
            "client_ms": [610.0, 110.0, 60.0, 3010.0, 5.0],
            "status": ["ok", "ok", "ok", "timeout", "throttled"],
            "memory_mb": [1024, 1024, 1024, 1024, None],
        }
    )
)


def test_observed_figures_by_hand() -> None:
    figures = by_key(observe(TRACE, step="10%", prices=load_prices()))
    assert list(dict.fromkeys(variant for variant, _ in figures)) == ["all", "baseline", "optimized"]
    # A refusal in 5 ms is no fast answer; a time-out is a latency that a caller waited out.
    assert figures["all", "p50_ms"].estimate == pytest.approx((110 + 610) / 2)
    assert figures["all", "p50_ms"].requests == 4
    assert figures["baseline", "cold_share"].estimate == 0.5
    assert figures["all", "cold_share"].estimate == 0.25
    assert figures["optimized", "p99_ms"].estimate == pytest.approx(60 + 0.99 * 2950)
    gb_second, request = 0.0000166667, 0.2e-6 + 1e-6
    assert figures["baseline", "cost_usd_per_1000"].estimate == pytest.approx(1000 * (0.35 * gb_second + request))
    assert figures["all", "p50_ms"].low is None
    assert "368 are needed" in str(figures["all", "p99_ms"].note)


def test_execution_is_init_and_handler() -> None:
    figures = by_key(observe(TRACE, step="s", latency="execution_ms"))
    assert figures["baseline", "p50_ms"].estimate == pytest.approx(350.0)
    assert figures["baseline", "cost_usd_per_1000"].estimate is None
    without_init = make_trace(TRACE.frame.with_columns(init_ms=pl.lit(None, dtype=pl.Float64)), TRACE.metadata)
    unknown = by_key(observe(without_init, step="s", latency="execution_ms"))["baseline", "p50_ms"]
    assert (unknown.estimate, unknown.requests) == (100.0, 1), "the handler alone would pass for a fast cold start"


def test_what_was_not_recorded_is_not_told() -> None:
    bare = make_trace(pl.DataFrame({"arrival_s": [0.0]}), TraceMetadata(models={"baseline": "m"}))
    figures = by_key(observe(bare, step="s", prices=load_prices()))
    assert all(figures["all", metric].estimate is None for metric in METRICS)
    assert figures["all", "p50_ms"].note == "no latency was recorded"
    assert figures["all", "cost_usd_per_1000"].note == "1 of 1 requests could not be priced"


def test_a_figure_survives_json() -> None:
    figure = Figure("10%", "all", "p99_ms", 1.5, 1.0, 2.0, 25, "note")
    assert Figure.from_json(json.loads(json.dumps(figure.to_json()))) == figure


def _figure(
    metric: str, estimate: float | None, low: float | None = None, high: float | None = None, **more: object
) -> Figure:
    return Figure("10%", "all", metric, estimate, low, high, **{"requests": 10, **more})  # type: ignore[arg-type]


def test_a_row_says_how_far_off_the_forecast_was_and_in_which_direction() -> None:
    forecast = [_figure("p50_ms", 90.0, 80.0, 100.0, requests=12, note="extrapolated")]
    (row,) = compare(forecast, [_figure("p50_ms", 120.0, requests=9, note="9 requests")]).rows
    assert (row.error_share, row.inside) == (pytest.approx(-0.25), False)
    assert (row.width, row.width_share) == (pytest.approx(20.0), pytest.approx(20 / 90))
    assert (row.requests_forecast, row.requests_observed) == (12, 9)
    assert row.note == "extrapolated; 9 requests"
    (alone,) = compare(forecast, []).rows
    assert (alone.requests_forecast, alone.requests_observed, alone.note) == (12, 0, "extrapolated")


def test_a_comparison_counts_what_both_sides_know() -> None:
    forecast = [
        _figure("p50_ms", 100.0, 90.0, 110.0),
        _figure("p95_ms", 200.0, 190.0, 210.0),
        _figure("p99_ms", 300.0, 250.0, 400.0),
        _figure("cold_share", 0.0, 0.0, 0.0),
    ]
    observed = [
        _figure("p50_ms", 110.0),
        _figure("p95_ms", 211.0),
        _figure("cold_share", 0.0),
        _figure("cost_usd_per_1000", 1.0),
    ]
    found = compare(forecast, observed)
    assert [row.inside for row in found.rows] == [True, False, None, True, None]
    assert (found.checked, found.inside, found.coverage) == (3, 2, pytest.approx(2 / 3))
    assert found.mean_width_share == {"p50_ms": pytest.approx(0.2), "p95_ms": pytest.approx(0.1)}
    assert found.mean_error_share == {"p50_ms": pytest.approx(10 / 110), "p95_ms": pytest.approx(11 / 211)}
    assert found.rows[4].estimate is None
    assert json.loads(json.dumps(found.to_json()))["inside"] == 2


def test_nothing_to_compare_has_no_coverage() -> None:
    assert compare([], []).coverage is None
