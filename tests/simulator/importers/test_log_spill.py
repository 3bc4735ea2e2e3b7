"""A log imported through files gives the same trace as one imported in memory."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from simulator.errors import TraceError
from simulator.importers import ImportOptions, import_to_file, import_trace, log_spill
from simulator.importers.log_blocks import read_blocks
from simulator.importers.log_scan import load_scanner
from simulator.importers.log_tables import together
from simulator.trace import TraceMetadata, read_trace
from tests.bench._lambda_logs import LogFormat, sample_lines


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("order", ["as written", "shuffled", "twice"])
def test_the_same_as_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: LogFormat, order: str) -> None:
    lines = sample_lines(form, requests=400)
    if order == "shuffled":
        random.Random(1).shuffle(lines)
    elif order == "twice":
        lines += lines
    log = tmp_path / "log"
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(log_spill, "PART_BYTES", 40_000)
    monkeypatch.setattr(log_spill, "_SPAN_ROWS", 37)
    options = ImportOptions(function="f", models={"baseline": "mine"})
    assert log_spill.needs_spill(log)
    out = import_to_file(log, "report-log", tmp_path / "out" / "t.parquet", options)
    expected, found = import_trace(log, "report-log", options), read_trace(out)
    assert_frame_equal(found.frame, expected.frame)
    assert found.metadata == expected.metadata
    assert [file.name for file in out.parent.iterdir()] == ["t.parquet"], "a temporary file stayed behind"


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
