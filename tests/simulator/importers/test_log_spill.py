"""A log imported through files gives the same trace as one imported in memory."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from simulator.errors import TraceError
from simulator.importers import ImportOptions, import_to_file, import_trace, log_batches, log_parts, log_spill
from simulator.importers.log_blocks import read_blocks
from simulator.importers.log_scan import load_scanner
from simulator.importers.log_tables import together
from simulator.trace import TraceMetadata, read_trace
from tests.bench._lambda_logs import LogFormat, sample_lines

ORDERS = ("as written", "nearly", "shuffled", "twice", "retried")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("joined", ["batch by batch", "by request"])
def test_the_same_as_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: LogFormat, order: str, joined: str
) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(_ordered(sample_lines(form, requests=400), order)) + "\n", encoding="utf-8")
    monkeypatch.setattr(log_spill, "PART_BYTES", 40_000)
    monkeypatch.setattr(log_parts, "_SPAN_ROWS", 37)
    # Some forty batches; or none that may wait for anything.
    monkeypatch.setattr(log_batches, "BLOCKS_A_BATCH", 2)
    monkeypatch.setattr(log_batches, "read_blocks", partial(read_blocks, block_bytes=6_000))
    if joined == "by request":
        monkeypatch.setattr(log_batches, "MOST_WAITING", -1)
    options = ImportOptions(function="f", models={"baseline": "mine"})
    assert log_spill.needs_spill(log)
    out = import_to_file(log, "report-log", tmp_path / "out" / "t.parquet", options)
    expected, found = import_trace(log, "report-log", options), read_trace(out)
    assert_frame_equal(found.frame, expected.frame)
    assert found.metadata == expected.metadata
    assert [file.name for file in out.parent.iterdir()] == ["t.parquet"], "a temporary file stayed behind"


def _ordered(lines: list[str], order: str) -> list[str]:
    rng = random.Random(1)
    if order == "shuffled":
        rng.shuffle(lines)
    elif order == "nearly":
        # Some lines come much later than they were written, also after their request's report.
        places = [place + (rng.random() < 0.05) * rng.uniform(0.0, 200.0) for place in range(len(lines))]
        lines = [lines[place] for place in sorted(range(len(lines)), key=places.__getitem__)]
    elif order == "twice":
        lines = lines + lines
    elif order == "retried":
        # Lambda runs some asynchronous invocations again, a minute later, under the same ids.
        again = [line.replace("T12:0", "T12:1") for line in lines if "RequestId: 2" in line or '"2' in line]
        lines = lines + again + again[:7]
    return lines


@pytest.mark.parametrize("most_waiting", [500, -1])
def test_a_name_is_no_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_waiting: int) -> None:
    log = tmp_path / "log[1]"
    log.write_text("\n".join(sample_lines("text", requests=40)), encoding="utf-8")
    monkeypatch.setattr(log_batches, "MOST_WAITING", most_waiting)
    log_spill.import_to_file(log, ImportOptions(), tmp_path / "t[1].parquet", TraceMetadata(), 10_000)
    assert pl.read_parquet(tmp_path / "t[1].parquet", glob=False).height == 40


def test_a_log_without_order_is_dealt_out_by_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(_ordered(sample_lines("text", requests=400), "shuffled")), encoding="utf-8")
    monkeypatch.setattr(log_batches, "BLOCKS_A_BATCH", 1)
    monkeypatch.setattr(log_batches, "read_blocks", partial(read_blocks, block_bytes=6_000))
    monkeypatch.setattr(log_batches, "MOST_WAITING", 50)
    assert log_batches.join_by_batch(log, tmp_path) is None
    monkeypatch.setattr(log_batches, "MOST_WAITING", 500)
    joined = log_batches.join_by_batch(log, tmp_path)
    assert joined is not None
    assert joined.counts.reports == 400


def test_a_report_without_time_whose_start_comes_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = "REPORT RequestId: {}\tDuration: 1 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 9 MB\n"
    times = [f"2026-11-20T12:00:0{second}.000Z" for second in range(5)]
    log = tmp_path / "log"
    log.write_text(
        report.format("late")
        + "".join(f"{time} {report.format(time[17:19])}" for time in times)
        + f"{times[0]} START RequestId: late Version: 7\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(log_batches, "BLOCKS_A_BATCH", 1)
    monkeypatch.setattr(log_batches, "read_blocks", partial(read_blocks, block_bytes=log.stat().st_size - 20))
    log_spill.import_to_file(log, ImportOptions(), tmp_path / "t.parquet", TraceMetadata(), 10)
    assert_frame_equal(read_trace(tmp_path / "t.parquet").frame, import_trace(log, "report-log").frame)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing\n", "no REPORT of an invocation"),
        ("REPORT RequestId: a\tDuration: 1 ms\n", "1 of 1 reports have no time"),
    ],
)
def test_what_memory_refuses(tmp_path: Path, text: str, message: str) -> None:
    log = tmp_path / "log"
    log.write_text(text, encoding="utf-8")
    with pytest.raises(TraceError, match=message):
        log_spill.import_to_file(log, ImportOptions(), tmp_path / "t.parquet", TraceMetadata(), 10)
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_blocks_that_are_scanned_and_blocks_that_are_not_say_the_same(tmp_path: Path, form: LogFormat) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(sample_lines(form, requests=600)), encoding="utf-8")
    load_scanner()
    plain, scanned = (together(list(read_blocks(log, 20_000, least))) for least in (10**9, 0))
    for kind in ("reports", "starts", "records"):
        assert getattr(plain, kind).height == 600
        assert_frame_equal(getattr(scanned, kind), getattr(plain, kind))
