"""The trace: what it takes, what it refuses and in which words, and that a file gives back what was written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from simulator.errors import TraceError
from simulator.trace import SCHEMA, STATUSES, Trace, TraceMetadata, make_trace, read_trace, write_trace

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
SMALL = st.integers(0, 2**53)
TIMES = st.floats(0, 1e9, allow_nan=False, allow_infinity=False)


def _cell(name: str) -> st.SearchStrategy[Any]:
    kind = SCHEMA[name]
    if name == "status":
        return st.sampled_from(STATUSES)
    if name == "attempts":
        return st.none() | st.integers(1, 9)
    by_kind = {pl.Float64(): TIMES, pl.Int64(): SMALL, pl.Boolean(): st.booleans(), pl.String(): TEXT}
    return by_kind[kind] if name == "arrival_s" else st.none() | by_kind[kind]


ROWS = st.lists(st.fixed_dictionaries({name: _cell(name) for name in SCHEMA}), min_size=1, max_size=20)
NAMES = st.dictionaries(TEXT, TEXT, max_size=3)
METADATA = st.builds(
    TraceMetadata,
    source=TEXT,
    recorded_at=st.none() | TEXT,
    function=st.none() | TEXT,
    region=st.none() | TEXT,
    models=NAMES,
    versions=NAMES,
    notes=NAMES,
)


@given(rows=ROWS, metadata=METADATA)
def test_a_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], metadata: TraceMetadata
) -> None:
    rows.sort(key=lambda row: row["arrival_s"])
    trace = make_trace(pl.DataFrame(rows, schema=SCHEMA), metadata)
    path = write_trace(trace, tmp_path_factory.mktemp("trace") / "t.parquet")
    again = read_trace(path)
    assert_frame_equal(again.frame, trace.frame)
    assert again.metadata == metadata
    assert [file.name for file in path.parent.iterdir()] == ["t.parquet"], "a temporary file stayed behind"


def test_missing_columns_become_null_and_status_ok() -> None:
    trace = make_trace(pl.DataFrame({"arrival_s": [0, 1], "client_ms": ["3", None], "cold": [1, 0]}))
    assert trace.frame.columns == list(SCHEMA)
    assert trace.frame["client_ms"].to_list() == [3.0, None]
    assert trace.frame["cold"].to_list() == [True, False]
    assert trace.frame["status"].to_list() == ["ok", "ok"]
    assert trace.frame["init_ms"].null_count() == 2
    assert (len(trace), trace.duration_s, trace.variants()) == (2, 1.0, [])


def test_truth_values_may_be_written_as_floats() -> None:
    # What pandas makes of truth values with gaps.
    trace = make_trace(pl.DataFrame({"arrival_s": [0, 1, 2], "cold": [1.0, 0.0, None]}))
    assert trace.frame["cold"].to_list() == [True, False, None]


NAN = float("nan")
INF = float("inf")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"arrival_s": [0.0], "latency": [1.0]}, "column 'latency' is not a trace column; rename or drop it"),
        ({"client_ms": [1.0]}, "column 'arrival_s' is missing"),
        ({"arrival_s": []}, "no invocation in it"),
        ({"arrival_s": [0.0, None]}, "row 2, column 'arrival_s': None must not be empty"),
        ({"arrival_s": [NAN]}, "row 1, column 'arrival_s': nan is not a finite number"),
        ({"arrival_s": [0.0, -1.0]}, "row 2, column 'arrival_s': -1.0 is negative"),
        (
            {"arrival_s": [0.0, 5.0, 4.0, 3.0]},
            "row 3, column 'arrival_s': 4.0 lies before the row above; sort the rows",
        ),
        ({"arrival_s": [0.0, 1.0], "client_ms": [3.0, -0.5]}, "row 2, column 'client_ms': -0.5 is negative"),
        (
            {"arrival_s": [0.0, 1.0], "duration_ms": [NAN, NAN]},
            "row 1, column 'duration_ms': nan is not a finite number (and 1 more)",
        ),
        ({"arrival_s": [0.0], "init_ms": [INF]}, "row 1, column 'init_ms': inf is not a finite number"),
        ({"arrival_s": [0.0], "client_ms": ["fast"]}, "row 1, column 'client_ms': 'fast' is not a number"),
        ({"arrival_s": [0.0], "input_tokens": [1.5]}, "row 1, column 'input_tokens': 1.5 is not a whole number"),
        ({"arrival_s": [0.0], "input_tokens": [-1]}, "row 1, column 'input_tokens': -1 is negative"),
        ({"arrival_s": [0.0], "cold": [2]}, "row 1, column 'cold': 2 is not a truth value"),
        ({"arrival_s": [0.0], "cold": [1.5]}, "row 1, column 'cold': 1.5 is not a truth value"),
        ({"arrival_s": [0.0], "client_ms": [True]}, "column 'client_ms' holds Boolean, not numbers"),
        ({"arrival_s": [0.0], "client_ms": [[1.0]]}, "column 'client_ms' holds List(Float64), not numbers"),
        ({"arrival_s": [0.0], "attempts": [0]}, "row 1, column 'attempts': 0 must be at least 1"),
        ({"arrival_s": [0.0], "status": ["fine"]}, "row 1, column 'status': 'fine' is not one of ok, throttled"),
        ({"arrival_s": [0.0], "status": [None]}, "row 1, column 'status': None must not be empty"),
    ],
)
def test_what_a_trace_cannot_hold_is_named(tmp_path: Path, columns: dict[str, list[Any]], message: str) -> None:
    frame = pl.DataFrame(columns)
    with pytest.raises(TraceError) as caught:
        make_trace(frame, origin="here.parquet")
    assert message in str(caught.value)
    assert str(caught.value).startswith("here.parquet: ")
    assert "\n" not in str(caught.value)
    # and the same words for a file that someone else wrote
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert f"{path}: " in str(caught.value)
    assert message in str(caught.value)


class TestFile:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(TraceError, match=r"nowhere\.parquet: no such trace file"):
            read_trace(tmp_path / "nowhere.parquet")

    def test_empty(self, tmp_path: Path) -> None:
        path = tmp_path / "t.parquet"
        path.touch()
        with pytest.raises(TraceError, match=r"t\.parquet: the file is empty"):
            read_trace(path)

    @pytest.mark.parametrize("content", [b"arrival_s,client_ms\n0,1\n", b"PAR1", b"PAR1 half of a file PAR1"])
    def test_not_parquet(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "t.parquet"
        path.write_bytes(content)
        with pytest.raises(
            TraceError, match=r"t\.parquet: not a readable Parquet trace \(.*see `tailcast trace import`"
        ) as caught:
            read_trace(path)
        assert "\n" not in str(caught.value)

    def test_cut_off(self, tmp_path: Path) -> None:
        path = write_trace(
            make_trace(pl.DataFrame({"arrival_s": [float(n) for n in range(99)]})), tmp_path / "t.parquet"
        )
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(TraceError, match="not a readable Parquet trace"):
            read_trace(path)

    def test_a_name_is_no_pattern(self, tmp_path: Path) -> None:
        written = write_trace(make_trace(pl.DataFrame({"arrival_s": [0.0]})), tmp_path / "run[1]*.parquet")
        assert len(read_trace(written)) == 1

    def test_parquet_of_others_has_no_metadata(self, tmp_path: Path) -> None:
        path = tmp_path / "t.parquet"
        pl.DataFrame({"arrival_s": [0.0]}).write_parquet(path)
        assert read_trace(path).metadata == TraceMetadata(source="parquet")

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ("{", "its tailcast metadata is not JSON"),
            ("[1]", "its tailcast metadata is '[1]', not an object"),
            ('{"format": 2}', "trace format 2 is not 1; upgrade tailcast"),
            ("{}", "trace format None is not 1"),
            ('{"format": 1, "models": 3}', "metadata field 'models' is 3, not an object"),
            ('{"format": 1, "region": 3}', "metadata field 'region' is 3, not text"),
        ],
    )
    def test_bad_metadata(self, tmp_path: Path, document: str, message: str) -> None:
        path = tmp_path / "t.parquet"
        pl.DataFrame({"arrival_s": [0.0]}).write_parquet(path, metadata={"tailcast": document})
        with pytest.raises(TraceError) as caught:
            read_trace(path)
        assert message in str(caught.value)

    def test_fields_of_a_later_minor_version_are_passed_over(self, tmp_path: Path) -> None:
        path = tmp_path / "t.parquet"
        document = json.dumps({"format": 1, "source": "x", "weather": "mild"})
        pl.DataFrame({"arrival_s": [0.0]}).write_parquet(path, metadata={"tailcast": document})
        assert read_trace(path).metadata == TraceMetadata(source="x")

    def test_a_failed_write_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_trace(make_trace(pl.DataFrame({"arrival_s": [0.0]})), tmp_path / "t.parquet")
        before = path.read_bytes()

        def half(self: pl.DataFrame, file: Path, **_: object) -> None:
            Path(file).write_bytes(b"PAR1 half")
            raise OSError("disk full")

        monkeypatch.setattr(pl.DataFrame, "write_parquet", half)
        with pytest.raises(OSError, match="disk full"):
            write_trace(make_trace(pl.DataFrame({"arrival_s": [1.0]})), path)
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_select_keeps_time_and_metadata() -> None:
    frame = pl.DataFrame({"arrival_s": [0.0, 1.0, 2.0], "variant": ["b", "a", "a"]})
    trace = make_trace(frame, TraceMetadata(source="x"))
    part = trace.select(pl.col("variant") == "a")
    assert part.frame["arrival_s"].to_list() == [1.0, 2.0]
    assert part.metadata is trace.metadata
    assert (trace.variants(), part.variants(), part.duration_s) == (["a", "b"], ["a"], 1.0)
    assert isinstance(part, Trace)
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.frame = frame  # type: ignore[misc]
