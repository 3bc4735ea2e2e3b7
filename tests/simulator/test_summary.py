"""What a trace says about itself, held against figures counted by hand; and what the terminal shows of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from replay.cli import main
from simulator.errors import ParameterError
from simulator.summary import summarise
from simulator.terminal import histogram, number, sparkline, timeline
from simulator.trace import Trace, TraceMetadata, make_trace, write_trace


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def trace() -> Trace:
    frame = pl.DataFrame(
        {
            "arrival_s": [10.0 + n for n in range(100)] + [110.0, 110.2, 110.4],
            "variant": ["baseline"] * 80 + ["optimized"] * 23,
            "cold": [True] + [False] * 99 + [None, None, None],
            "environment_id": ["a"] * 50 + ["b"] * 50 + [None] * 3,
            "init_ms": [500.0] + [None] * 102,
            "duration_ms": [float(n) for n in range(1, 101)] + [None] * 3,
            "client_ms": [float(n) + 10.0 for n in range(1, 101)] + [1.0] * 3,
            "input_tokens": [10, 20] + [None] * 101,
            "status": ["ok"] * 99 + ["timeout"] + ["throttled"] * 3,
        }
    )
    metadata = TraceMetadata(source="drive", function="genai", models={"baseline": "m1"}, notes={"why": "a test"})
    return make_trace(frame, metadata)


class TestSummary:
    def test_counts(self, trace: Trace) -> None:
        summary = summarise(trace)
        everything = summary.groups["all"]
        assert (summary.measure, summary.duration_s, summary.busiest_second) == ("client_ms", 100.4, 3)
        assert summary.rate_rps == pytest.approx(102 / 100.4)
        gaps = np.diff(trace.frame["arrival_s"].to_numpy())
        assert summary.interarrival_cv == pytest.approx(gaps.std() / gaps.mean())
        assert list(summary.groups) == ["all", "baseline", "optimized"]
        assert everything.statuses == {"ok": 99, "throttled": 3, "timeout": 1}
        assert (everything.cold.value, everything.cold.samples, everything.environments) == (0.01, 100, 2)
        assert everything.tokens == {"input_tokens": 15.0}

    def test_a_refusal_is_not_a_fast_answer(self, trace: Trace) -> None:
        latency = summarise(trace).groups["all"].latency
        assert {name: each.requests for name, each in latency.items()} == {"all": 100, "warm": 99, "cold": 1}
        median = latency["all"].quantiles["p50_ms"]
        assert median.value == pytest.approx(60.5)
        # the median of 100 lies between the 40th and the 61st value 95 times in 100 (binomial, exact: 96.5 %)
        assert median.low is not None
        assert median.high is not None
        assert 50.0 <= median.low < 60.5 < median.high <= 71.0
        assert latency["all"].quantiles["p99_ms"].needed == 368
        assert latency["all"].max_ms == 110.0

    def test_a_cold_start_without_init_has_no_execution_time(self, trace: Trace) -> None:
        known = summarise(trace, measure="execution_ms").groups["all"].latency
        assert known["cold"].quantiles["p50_ms"].value == 501.0
        unknown = make_trace(trace.frame.with_columns(pl.lit(None).alias("init_ms")))
        assert "cold" not in summarise(unknown, measure="execution_ms").groups["all"].latency
        assert summarise(unknown, measure="duration_ms").groups["all"].latency["cold"].max_ms == 1.0

    def test_drift_is_told(self, trace: Trace) -> None:
        assert summarise(trace).groups["all"].correlated, "latencies that only grow are not independent"
        rng = np.random.default_rng(7)
        shuffled = trace.frame.with_columns(
            pl.Series("client_ms", rng.permutation(trace.frame["client_ms"].to_numpy()))
        )
        assert not summarise(make_trace(shuffled)).groups["all"].correlated

    def test_arrivals_alone(self) -> None:
        summary = summarise(make_trace(pl.DataFrame({"arrival_s": [5.0]})))
        assert summary.measure is None
        assert math.isnan(summary.rate_rps)
        assert summary.groups["all"].latency == {}
        assert json.loads(json.dumps(summary.to_json(), allow_nan=False))["rate_rps"] is None

    def test_unrecorded_measure(self, trace: Trace) -> None:
        with pytest.raises(
            ParameterError, match="'ttft_ms' is not recorded in this trace; it has: client_ms, execution_ms"
        ):
            summarise(trace, measure="ttft_ms")


class TestTerminal:
    @pytest.mark.parametrize(
        ("value", "text"),
        [(0, "0"), (3.0, "3"), (0.4213, "0.421"), (8.117, "8.12"), (12.34, "12.3"), (1240.4, "1,240"), (None, "–")],
    )
    def test_number(self, value: float | None, text: str) -> None:
        assert number(value) == text
        assert number(math.nan) == "–"

    def test_sparkline(self) -> None:
        assert sparkline(np.asarray([0.0, math.nan, 1.0, 4.0, 8.0]), 8.0) == "  ▁▄█"
        assert sparkline(np.zeros(3), 0.0) == "   "

    def test_every_value_is_in_one_bar(self) -> None:
        rng = np.random.default_rng(1)
        for values in (rng.lognormal(6, 1, 500), rng.uniform(100, 200, 500), np.full(5, 3.0), np.asarray([0.0, 1.0])):
            table = histogram({"all": values}, {"p50": float(np.median(values))})
            counts = [int(str(cell).replace(",", "")) for cell in table.columns[1].cells]
            assert sum(counts) == values.size
            assert [str(cell) for cell in table.columns[3].cells].count("p50") == 1

    def test_timeline_is_as_wide_as_its_series(self) -> None:
        table = timeline([("requests", np.arange(20.0))], 60.0)
        assert len(str(next(iter(table.columns[1].cells)))) == 20


class TestShow:
    def test_text(self, trace: Trace, tmp_path: Path) -> None:
        path = write_trace(trace, tmp_path / "t.parquet")
        result = run("trace", "show", path)
        assert result.exit_code == 0, result.output
        for expected in (
            "drive, genai",
            "baseline: m1",
            "why: a test",
            "103 in 100 s, 1.02/s, busiest second 3",
            "99 ok, 3 throttled, 1 timeout",
            "1 of 100: 1 % [",
            "2 environments",
            "input 15",
            "client_ms: as the caller saw it",
            "(needs 368)",
            "100 of 103 requests were answered and have a client_ms",
            "too few requests for every interval: p99 from 368 on",
            "rank correlation",
            "How client_ms is spread (█ warm, ▒ cold)",
            "Over time",
            "not ok",
        ):
            assert expected in result.output

    def test_json(self, trace: Trace, tmp_path: Path) -> None:
        path = write_trace(trace, tmp_path / "t.parquet")
        document = json.loads(run("trace", "show", path, "--json").stdout)
        assert document["file"] == str(path)
        assert document["metadata"]["function"] == "genai"
        everything = document["groups"]["all"]
        assert everything["latency"]["warm"]["n"] == 99
        assert everything["latency"]["all"]["p99_ms"] == {
            "estimate": pytest.approx(109.01),
            "low": None,
            "high": None,
            "n": 100,
            "samples_needed": 368,
        }
        assert everything["statuses"] == {"ok": 99, "throttled": 3, "timeout": 1}

    def test_one_variant(self, trace: Trace, tmp_path: Path) -> None:
        path = write_trace(trace, tmp_path / "t.parquet")
        document = json.loads(run("trace", "show", path, "--variant", "optimized", "--json").stdout)
        assert list(document["groups"]) == ["all"]
        assert document["groups"]["all"]["requests"] == 23
        result = run("trace", "show", path, "--variant", "canary")
        assert result.exit_code == 2
        assert result.stderr == f"error: {path}: no variant 'canary' in it; it has: baseline, optimized\n"

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (
                {"arrival_s": [1.0, 0.5]},
                "row 2, column 'arrival_s': 0.5 lies before the row above; sort the rows by arrival",
            ),
            ({"arrival_s": [1.0], "client_ms": [-2.0]}, "row 1, column 'client_ms': -2.0 is negative"),
            ({"arrival_s": [1.0], "client_ms": [math.nan]}, "row 1, column 'client_ms': nan is not a finite number"),
            ({"client_ms": [1.0]}, "column 'arrival_s' is missing; a trace needs seconds since its start"),
            ({"arrival_s": []}, "no invocation in it; a trace needs at least one row"),
        ],
    )
    def test_bad_files_are_one_line_and_exit_2(
        self, tmp_path: Path, columns: dict[str, list[float]], message: str
    ) -> None:
        path = tmp_path / "bad.parquet"
        pl.DataFrame(columns).write_parquet(path)
        result = run("trace", "show", path)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"error: {path}: {message}\n"

    def test_no_file_and_empty_file(self, tmp_path: Path) -> None:
        path = tmp_path / "t.parquet"
        assert run("trace", "show", path).stderr == f"error: {path}: no such trace file\n"
        path.touch()
        result = run("trace", "show", path)
        assert result.exit_code == 2
        assert "the file is empty" in result.stderr
        assert run("trace", "show").exit_code == 2
        assert run("trace", "show", path, "--measure", "speed").exit_code == 2
