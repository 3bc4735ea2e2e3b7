"""The exact forms and the general expressions must read one line alike, whatever is done to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from simulator.importers.function_records import is_record, read_record, record_columns
from simulator.importers.log_forms import JSON_REPORT, JSON_START, RECORD, TEXT_REPORT, TEXT_START
from simulator.importers.log_scan import scan_block
from simulator.importers.log_tables import (
    LogTables,
    event_columns,
    tables_of_block,
    tables_of_events,
    tables_of_lines,
)
from tests.bench._lambda_logs import LogFormat, sample_lines

BEFORE = "2026-11-20T12:00:00.123Z 2026/11/20/[7]3c1e "
LINES = [*sample_lines("text"), *sample_lines("json")]
BARE = [line.split(" ", 2)[2] for line in LINES]
S3 = [line.split(" ", 2)[0] + " " + line.split(" ", 2)[2] for line in LINES]
ODD = [
    f"{BEFORE}REPORT RequestId: a\tDuration: 1.5e3 ms\tBilled Duration: 4 ms\tMemory Size: 1 MB\tMax Memory Used: 9 MB",
    f"{BEFORE}REPORT RequestId: a\tDuration: 1 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 9 MB\t"
    "Status: timeout",
    f"{BEFORE}START RequestId: a Version: $LATEST",
    f"{BEFORE}START RequestId: a",
    "1795176000123 START RequestId: a Version: 3",
    '{"tailcast":"inference","request_id":"a","variant":null,"cold":false,"inference_ms":1.5}',
    json.dumps({"level": "INFO", "message": '{"tailcast": "inference", "request_id": "b", "status": "ok"}'}),
    '{"tailcast":"stream","request_id":"s","cold":true,"inference_ms":812.5,"ttft_ms":301,"output_tokens":80}',
    '{"type": "platform.start", "time": "2026-11-20T12:00:00Z", "record": {"version": "3", "requestId": "c"}}',
]
ALL = [*LINES, *BARE, *S3, *ODD]


def frame(lines: list[str]) -> pl.DataFrame:
    table = pl.DataFrame({"line": lines}, schema={"line": pl.String})
    return table.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))


def generally(lines: list[str]) -> LogTables:
    events = frame(lines).with_columns(event_columns(pl.col("line")))
    return tables_of_events(events, events, events)


def assert_alike(lines: list[str]) -> None:
    fast, general = tables_of_lines(frame(lines)), generally(lines)
    scanned = tables_of_block(scan_block("".join(f"{line}\n" for line in lines).encode(), 0))
    for kind in ("reports", "starts", "records"):
        assert_frame_equal(getattr(fast, kind), getattr(general, kind))
        assert_frame_equal(getattr(scanned, kind), getattr(general, kind))


def test_every_line_alike() -> None:
    assert_alike(ALL)


def test_the_scanner_reads_all_but_the_odd_lines_itself() -> None:
    lines = sample_lines("text", requests=200)
    found = scan_block("\n".join(lines).encode(), 7)
    odd = [index for index, line in enumerate(lines) if "INIT_START" in line]
    assert found.other_rows.tolist() == [7 + index for index in odd]
    assert found.others.decode().splitlines() == [lines[index] for index in odd]
    assert (found.lines, found.reports.height, found.starts.height, found.records.height) == (len(lines), 200, 200, 200)
    assert scan_block(b"", 0).lines == 0
    assert scan_block("\n".join(sample_lines("json", requests=50)).encode(), 0).other_rows.size == 0


@pytest.mark.parametrize(
    "clock",
    [
        "2024-02-29T23:59:59.5Z", "2026-02-29T00:00:00Z", "2026-12-31T00:00:00.123456+00:00", "2026-13-01T00:00:00Z",
        "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00.1234567Z",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+01:00", "2000-03-01T00:00:00Z", "1969-12-31T23:59:59Z",
        "2026-1-01T00:00:00Z", "2100-02-28T12:34:56.000001Z",
    ],
)  # fmt: skip
def test_times_alike(clock: str) -> None:
    # Of text lines: a JSON event has a time of its own, which the general expressions do not fall back to.
    assert_alike([f"{clock} {line}" for line in BARE if not line.startswith('{"t')])


@given(st.lists(st.sampled_from(ALL), max_size=4), st.text(max_size=12), st.integers(0, 700), st.integers(0, 700))
def test_mutilated_lines_alike(lines: list[str], noise: str, cut: int, to: int) -> None:
    noise = noise.translate({ord("\n"): None, ord("\r"): None})
    assert_alike([line[:cut] + noise + line[to:] for line in lines] + [line[:cut] for line in lines])


@pytest.mark.parametrize(
    ("form", "log"),
    [
        *((TEXT_REPORT, "text"), (TEXT_START, "text"), (RECORD, "text")),
        *((JSON_REPORT, "json"), (JSON_START, "json"), (RECORD, "json")),
    ],
)
def test_the_forms_match_what_lambda_writes(form: object, log: LogFormat) -> None:
    """Else a log would silently be read at a fraction of the speed."""
    assert isinstance(form, type(RECORD))
    holding = frame([line for line in sample_lines(log) if form.literal in line])
    read, left = form.read(holding)
    assert (read.height, left.height) == (holding.height, 0)
    assert read.height > 0


def test_the_record_form_matches_what_the_function_writes() -> None:
    from functions.common.record import Record, to_line

    known = Record("inference", "r-1", "f", "baseline", "m", "7", "2026/11/20/[7]ab", True, "on-demand", "ok", 200, 9.5,
                   inference_ms=8.25, input_tokens=3, output_tokens=4)  # fmt: skip
    read, left = RECORD.read(frame([to_line(known, 1), BEFORE + to_line(known, 1)]))
    assert left.height == 0
    assert read["inference_ms"].to_list() == ["8.25"] * 2
    assert read["cache_read_tokens"].to_list() == [None] * 2


def test_blocks_give_what_the_whole_gives(tmp_path: Path) -> None:
    from simulator.importers.log_blocks import read_blocks
    from simulator.importers.log_tables import together

    log = tmp_path / "log"
    log.write_text("\n".join(ALL), encoding="utf-8")  # no newline at the end
    expected = generally(ALL)
    sort: Callable[[pl.DataFrame], pl.DataFrame] = lambda table: table.drop("row")  # noqa: E731
    for size in (1, 100, 5000, 10**7):
        found = together(list(read_blocks(log, size)))
        for kind in ("reports", "starts", "records"):
            assert_frame_equal(sort(getattr(found, kind)), sort(getattr(expected, kind)))


@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=4), st.text(max_size=12), st.integers(0, 700))
def test_a_record_says_the_same_in_a_column_and_line_by_line(lines: list[str], noise: str, cut: int) -> None:
    lines = [line[:cut] + noise.replace("\n", "") + line[cut:] for line in lines]
    column = frame(lines).filter(is_record(pl.col("line"))).select(*record_columns(pl.col("line")))
    alone = [found for line in lines if (found := read_record(line)) is not None]
    # An empty text is nothing in either.
    assert [{name: value or None for name, value in row.items()} for row in column.to_dicts()] == [
        {name: value or None for name, value in row.items()} for row in alone
    ]
