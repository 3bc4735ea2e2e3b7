"""A trace read lazily: what was asked for, checked as if it had been read whole."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from simulator.errors import TraceError
from simulator.trace import TraceMetadata, make_trace, sink_trace, write_trace
from simulator.trace_scan import is_remote, scan_trace

TRACE = make_trace(
    pl.DataFrame({"arrival_s": [0.0, 1.0, 2.0], "client_ms": [5.0, 6.0, 7.0], "request_id": ["a", "b", "c"]}),
    TraceMetadata(source="test"),
)


def test_all(tmp_path: Path) -> None:
    lazy = scan_trace(write_trace(TRACE, tmp_path / "t.parquet"))
    assert lazy.metadata == TRACE.metadata
    assert_frame_equal(lazy.collect().frame, TRACE.frame)


def test_some_columns_and_rows(tmp_path: Path) -> None:
    found = scan_trace(write_trace(TRACE, tmp_path / "t.parquet")).collect(["client_ms"], pl.col("arrival_s") >= 1.0)
    assert found.frame["client_ms"].to_list() == [6.0, 7.0]
    assert found.frame["request_id"].to_list() == [None, None]
    assert found.frame["status"].to_list() == ["ok", "ok"]


def test_what_is_no_trace_is_refused_when_read(tmp_path: Path) -> None:
    bad = TRACE.frame.with_columns(arrival_s=pl.lit(-1.0)).lazy()
    lazy = scan_trace(sink_trace(bad, TRACE.metadata, tmp_path / "t.parquet"))
    with pytest.raises(TraceError, match=r"row 1, column 'arrival_s': -1\.0 is negative"):
        lazy.collect()


def test_missing_and_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such trace file"):
        scan_trace(tmp_path / "nowhere")
    (tmp_path / "text").write_text("no Parquet")
    with pytest.raises(TraceError, match="not a readable Parquet trace"):
        scan_trace(tmp_path / "text")


def test_what_is_remote() -> None:
    assert is_remote("s3://bucket/key")
    assert not is_remote(Path("s3:/bucket/key"))
    assert not is_remote("traces/s3.parquet")
