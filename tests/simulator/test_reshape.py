"""Merging, cutting and sampling traces, in Python and on the command line; and `trace import` as a user meets it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from replay.cli import main
from simulator.errors import ParameterError
from simulator.reshape import cut, merge, sample
from simulator.trace import Trace, TraceMetadata, make_trace, read_trace, write_trace


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def trace(arrivals_s: list[float], ids: list[str] | None = None, **metadata: object) -> Trace:
    frame = pl.DataFrame({"arrival_s": arrivals_s, "request_id": ids or [None] * len(arrivals_s)})
    return make_trace(frame, TraceMetadata(**metadata))  # type: ignore[arg-type]


class TestMerge:
    def test_by_date(self) -> None:
        late = trace([0.0, 1.0], ["c", "d"], recorded_at="2026-11-20T12:00:10Z", source="drive", region="us-east-1")
        early = trace(
            [0.0, 10.5], ["a", "c"], recorded_at="2026-11-20T13:00:00+01:00", source="csv", region="us-east-1"
        )
        merged = merge([late, early])
        assert (merged.alignment, merged.duplicates) == ("recorded", 1)
        assert merged.trace.frame.select("arrival_s", "request_id").rows() == [(0.0, "a"), (10.0, "c"), (11.0, "d")]
        assert merged.trace.metadata.recorded_at == "2026-11-20T13:00:00+01:00"
        assert merged.trace.metadata.source == "csv, drive"
        assert merged.trace.metadata.region == "us-east-1"

    def test_a_date_without_time_or_zone_is_a_day_of_utc(self) -> None:
        merged = merge([trace([0.0], recorded_at="2026-11-20"), trace([0.0], recorded_at="2026-11-20T01:00:00+01:00")])
        assert merged.trace.frame["arrival_s"].to_list() == [0.0, 0.0]

    def test_from_the_start_and_one_after_the_other(self) -> None:
        parts = [trace([0.0, 2.0], function="f"), trace([1.0, 3.0], function="g")]
        assert merge(parts).alignment == "start"
        assert merge(parts).trace.frame["arrival_s"].to_list() == [0.0, 1.0, 2.0, 3.0]
        assert merge(parts, "append").trace.frame["arrival_s"].to_list() == [0.0, 2.0, 3.0, 5.0]
        assert merge(parts).trace.metadata.function is None, "two functions have no one name"

    def test_refusals(self) -> None:
        with pytest.raises(ParameterError, match="trace 2 does not say when it was recorded; align by start"):
            merge([trace([0.0], recorded_at="2026-11-20T12:00:00Z"), trace([0.0])], "recorded")
        with pytest.raises(ParameterError, match="recorded_at is 'noon', not an ISO 8601 time"):
            merge([trace([0.0], recorded_at="noon")])
        with pytest.raises(ParameterError, match="variant 'baseline' is a in one trace and b in another"):
            merge([trace([0.0], models={"baseline": model}) for model in ("a", "b")])
        with pytest.raises(ParameterError, match="at least one"):
            merge([])


class TestCut:
    def test_half_open_and_from_zero(self) -> None:
        part = cut(trace([0.0, 1.0, 2.0, 3.0], recorded_at="2026-11-20T12:00:00+00:00"), 1.0, 3.0)
        assert part.frame["arrival_s"].to_list() == [0.0, 1.0]
        assert part.metadata.recorded_at == "2026-11-20T12:00:01+00:00"

    @pytest.mark.parametrize(("start", "end"), [(-1.0, 2.0), (2.0, 2.0), (math.nan, 1.0), (3.0, 1.0)])
    def test_bad_spans(self, start: float, end: float) -> None:
        with pytest.raises(ParameterError, match="give 0 ≤ from < to"):
            cut(trace([0.0, 1.0]), start, end)

    def test_an_empty_span_says_where_the_trace_ends(self) -> None:
        with pytest.raises(ParameterError, match="no request arrives there; the last comes at 1 s"):
            cut(trace([0.0, 1.0]), 5.0)

    @given(st.lists(st.floats(0, 100), min_size=2, max_size=30), st.floats(1, 99))
    def test_both_sides_of_a_cut_are_the_whole(self, arrivals: list[float], at: float) -> None:
        arrivals = [0.0, *sorted(arrivals), 100.0]
        whole = trace(arrivals)
        left, right = cut(whole, 0.0, at), cut(whole, at)
        assert left.frame["arrival_s"].to_list() == [each for each in arrivals if each < at]
        assert (right.frame["arrival_s"] + at).to_list() == pytest.approx([each for each in arrivals if each >= at])


class TestSample:
    def test_rows_and_order(self) -> None:
        whole = trace([float(second) for second in range(100)])
        part = sample(whole, seed=3, rows=20)
        assert len(part) == 20
        assert part.frame["arrival_s"].is_sorted()
        assert part.frame["arrival_s"].is_unique().all()
        assert part.frame.equals(sample(whole, seed=3, rows=20).frame)
        assert not part.frame.equals(sample(whole, seed=4, rows=20).frame)

    def test_thinning_keeps_each_request_alike(self) -> None:
        whole = trace([float(second) for second in range(20_000)])
        kept = sample(whole, seed=1, share=0.25).frame["arrival_s"].to_numpy()
        # 99.99 % of binomial samples lie within 4 standard deviations
        assert abs(kept.size - 5000) < 4 * math.sqrt(20_000 * 0.25 * 0.75)
        gaps = np.diff(kept)
        assert gaps.std() / gaps.mean() == pytest.approx(math.sqrt(0.75), abs=0.05), "gaps are geometric"

    @pytest.mark.parametrize(
        ("rows", "share", "message"),
        [
            (None, None, "either a number of rows or a share"),
            (1, 0.5, "either a number of rows or a share"),
            (4, None, "sample of 4 rows: the trace has 3"),
            (0, None, "sample of 0 rows"),
            (None, 1.5, "share 1.5 is outside"),
            (None, math.nan, "share nan is outside"),
            (None, 1e-9, "kept none"),
        ],
    )
    def test_refusals(self, rows: int | None, share: float | None, message: str) -> None:
        with pytest.raises(ParameterError, match=message):
            sample(trace([0.0, 1.0, 2.0]), seed=1, rows=rows, share=share)


class TestCommands:
    def test_import_cut_sample_merge(self, tmp_path: Path) -> None:
        table = tmp_path / "load.csv"
        table.write_text("t,elapsed\n" + "".join(f"{n},{n / 100 + 0.5}\n" for n in range(50)), encoding="utf-8")
        maps = ("--map", "arrival_s=t", "--map", "client_ms=elapsed*1000")
        said = ("--variant", "baseline", "--model", "baseline=m", "--memory", "512")
        imported = run("trace", "import", table, "--format", "csv", *maps, *said)
        assert imported.exit_code == 0, imported.output
        whole = tmp_path / "load.parquet"
        assert imported.output.startswith(f"{whole}: 50 requests in 49.0 s; recorded: arrival_s, variant, client_ms")
        assert read_trace(whole).metadata == TraceMetadata(source="csv", models={"baseline": "m"})
        first, second = tmp_path / "first.parquet", tmp_path / "sub" / "second.parquet"
        assert run("trace", "cut", whole, "--to", "20", "-o", first).exit_code == 0
        assert run("trace", "cut", whole, "--from", "20", "-o", second, "--variant", "baseline").exit_code == 0
        assert (len(read_trace(first)), len(read_trace(second))) == (20, 30)
        joined = run("trace", "merge", first, second, "--align", "append", "-o", tmp_path / "m.parquet", "--json")
        document = json.loads(joined.stdout)
        assert (document["requests"], document["aligned_by"], document["duplicates_dropped"]) == (50, "append", 0)
        assert run("trace", "sample", whole, "--rows", "7", "-o", tmp_path / "s.parquet").exit_code == 0
        assert len(read_trace(tmp_path / "s.parquet")) == 7

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["import", "{bad}", "--format", "csv"], "row 2, column 'client_ms': nan is not a finite number"),
            (["import", "{bad}", "--format", "csv", "--map", "client_ms"], "--map client_ms: give NAME=VALUE"),
            (["import", "{bad}", "--format", "xray"], "column 'function' is missing; an X-Ray table has"),
            (["import", "{bad}", "--format", "report-log"], "no REPORT of an invocation in it"),
            (["cut", "{bad}", "-o", "{out}"], "not a readable Parquet trace"),
            (["cut", "{good}", "--from", "9", "-o", "{out}"], "no request arrives there"),
            (["cut", "{good}", "--variant", "x", "-o", "{out}"], "no variant 'x' in it; it has: none named"),
            (["sample", "{good}", "--share", "2", "-o", "{out}"], "share 2.0 is outside (0, 1]"),
            (["sample", "{good}", "--rows", "1", "--seed", "-1", "-o", "{out}"], "seed=-1 must be 0 or more"),
            (["merge", "{good}", "{bad}", "-o", "{out}"], "not a readable Parquet trace"),
            (["import", "{fine}", "--format", "csv", "-o", "/proc/nowhere/t.parquet"], "cannot write the trace"),
        ],
    )
    def test_mistakes_are_one_line_exit_2_and_leave_nothing(
        self, tmp_path: Path, arguments: list[str], message: str
    ) -> None:
        places = {name: tmp_path / name for name in ("bad", "good", "fine")}
        places["bad"].write_text("arrival_s,client_ms\n0,1\n1,nan\n", encoding="utf-8")
        places["fine"].write_text("arrival_s,client_ms\n0,1\n", encoding="utf-8")
        write_trace(trace([0.0, 1.0]), places["good"])
        out = tmp_path / "out.parquet"
        before = sorted(tmp_path.iterdir())
        result = run("trace", *(each.format(**places, out=out) for each in arguments))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert message in result.stderr
        assert sorted(tmp_path.iterdir()) == before

    def test_usage(self, tmp_path: Path) -> None:
        assert run("trace", "import", tmp_path / "x").exit_code == 2
        assert run("trace", "import", tmp_path / "x", "--format", "excel").exit_code == 2
        assert run("trace", "merge", "-o", tmp_path / "x").exit_code == 2
        help_text = run("trace", "import", "--help").output
        assert "  report-log    text log of a Lambda function" in help_text
        assert "\n    aws logs tail /aws/lambda/genai > log.txt\n" in help_text
