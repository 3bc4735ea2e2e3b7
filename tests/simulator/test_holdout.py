from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from replay.cli import main
from simulator.errors import ParameterError
from simulator.holdout import FIGURES, backtest, summarise_backtests
from simulator.importers import import_trace
from simulator.trace import Trace, make_trace, write_trace
from tests.simulator.worlds import World


def steady(requests: int, seed: int, **columns: object) -> Trace:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "arrival_s": np.cumsum(rng.exponential(1.0, requests)),
            "client_ms": 300.0 * np.exp(0.2 * rng.standard_normal(requests)),
        }
    )
    return make_trace(frame.with_columns(**columns))  # type: ignore[arg-type]


def test_what_was_observed_is_the_second_part_alone() -> None:
    recorded = World().record(5).baseline
    found = backtest(recorded, split=0.6, replications=40)
    assert found.n_train == round(0.6 * len(recorded))
    assert found.n_train + found.n_test == len(recorded)
    assert tuple(found.figures) == FIGURES
    test = recorded.frame[found.n_train :]
    assert found.figures["p95_ms"].observed == pytest.approx(float(np.quantile(test["client_ms"].to_numpy(), 0.95)))
    assert found.figures["cold_count"].observed == test["cold"].sum()
    for figure in found.figures.values():
        assert figure.lo <= figure.median <= figure.hi
        assert figure.inside == (figure.lo <= figure.observed <= figure.hi)


def test_the_forecast_has_not_seen_the_second_part() -> None:
    recorded = steady(200, 1)
    slower = Trace(
        recorded.frame.with_columns(
            pl.when(pl.int_range(pl.len()) < 100)
            .then("client_ms")
            .otherwise(pl.col("client_ms") * 3)
            .alias("client_ms")
        ),
        recorded.metadata,
    )
    plain, changed = (backtest(one, replications=40) for one in (recorded, slower))
    for name, figure in plain.figures.items():
        assert changed.figures[name].median == figure.median
    assert not changed.figures["p50_ms"].inside
    assert changed.figures["p50_ms"].error_pct == pytest.approx(-67, abs=4)


@pytest.mark.slow
def test_the_intervals_hold_and_the_errors_are_small_where_nothing_changes() -> None:
    summary = summarise_backtests([backtest(steady(400, seed), replications=80, seed=seed) for seed in range(25)])
    assert summary.checked == 75
    assert 0.88 <= summary.coverage <= 1.0
    assert summary.mean_abs_error_pct["p50_ms"] < 3.0
    # The chance of 200 requests alone makes 2 × 1.96 × 1.25 × 0.2 / √200 = 6.9 % for the median, and the doubt of the
    # other 200 as much again: 9.8 %. What is more allows for a drift that 200 requests cannot rule out.
    assert 9.8 < summary.mean_width_pct["p50_ms"] < 1.6 * 9.8


def test_a_service_without_starts_is_forecast_without_them() -> None:
    found = backtest(steady(150, 2), replications=40)
    assert "cold_count" not in found.figures
    assert not any("cold start" in text for text in found.warnings)
    assert any("its p99 is extrapolated" in text for text in found.warnings)
    # No published INIT of half a second got into it.
    assert found.figures["p99_ms"].hi < 1_000


def test_another_measure_and_one_of_several_variants() -> None:
    both = steady(120, 3, ttft_ms=pl.col("client_ms") / 3, variant=pl.Series(["a", "b"] * 60))
    assert backtest(both, variant="a", measure="ttft_ms", replications=40).figures["p50_ms"].observed < 150
    with pytest.raises(ParameterError, match="holds the variants a, b; say which with --variant"):
        backtest(both)
    with pytest.raises(ParameterError, match="no variant 'c'; it has: a, b"):
        backtest(both, variant="c")
    with pytest.raises(ParameterError, match="'inference_ms' is not recorded"):
        backtest(both, variant="a", measure="inference_ms")


@pytest.mark.parametrize(("split", "message"), [(1.0, "must lie between 0 and 1"), (0.999, "leaves 150 to fit and 0")])
def test_a_split_that_leaves_nothing_is_refused(split: float, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        backtest(steady(150, 4), split=split)


@pytest.mark.parametrize("run", ["2020-05-26_01-31-35", "2020-06-04_23-02-14"])
def test_a_real_function_of_which_the_second_day_was_not_seen(shared_data: Path, run: str) -> None:
    found = backtest(import_trace(shared_data / f"pacslab_lambda_{run}.csv", "pacslab"), replications=200)
    worst = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 8.0, "cold_count": 20.0}
    for name, figure in found.figures.items():
        assert abs(figure.error_pct or 0.0) < worst[name]
    assert sum(figure.inside for figure in found.figures.values()) >= 3
    assert (found.figures["p50_ms"].width_pct or 9.0) < 2.0
    assert (found.figures["p99_ms"].width_pct or 99.0) < 25.0


def test_the_command(tmp_path: Path) -> None:
    files = [str(write_trace(steady(160, seed), tmp_path / f"{seed}.parquet")) for seed in (1, 2)]
    one = CliRunner().invoke(main, ["backtest", files[0], "--json", "--replications", "40"], catch_exceptions=False)
    document = json.loads(one.stdout)
    assert (document["n_train"], document["n_test"]) == (80, 80)
    assert set(document["figures"]["p50_ms"]) == {"observed", "median", "lo", "hi", "error_pct", "inside"}
    assert one.exit_code == (0 if all(each["inside"] for each in document["figures"].values()) else 1)
    two = CliRunner().invoke(main, ["backtest", *files, "--replications", "40"], catch_exceptions=False)
    assert "mean absolute error" in two.stdout
    assert "figures inside their intervals" in two.stdout
    summary = json.loads(CliRunner().invoke(main, ["backtest", *files, "--replications", "40", "--json"]).stdout)
    assert summary["summary"]["checked"] == 6
    bad = CliRunner().invoke(main, ["backtest", files[0], "--split", "2"])
    assert (bad.exit_code, bad.stderr.count("\n")) == (2, 1)


def test_a_tail_without_end_stops_where_lambda_does() -> None:
    """One request in a hundred takes ten times as long: the fitted tail must not run past what a clock can count."""
    rng = np.random.default_rng(1)
    recorded = steady(1_600, 3)
    slow = pl.Series(rng.random(len(recorded)) < 0.01)
    spiky = recorded.frame.with_columns(client_ms=pl.col("client_ms") * pl.when(slow).then(10.0).otherwise(1.0))
    found = backtest(make_trace(spiky), replications=80)
    assert all(0.0 < figure.hi <= 900_000.0 for figure in found.figures.values())
    assert found.figures["p50_ms"].inside
