r"""REPORT lines in every form that Lambda writes them, read one by one and as a column: both ways must agree."""

from __future__ import annotations

import json
from dataclasses import asdict

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.importers.report_lines import Report, is_report, parse_report, report_columns

ID = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"
WARM = (
    f"REPORT RequestId: {ID}\tDuration: 660.68 ms\tBilled Duration: 661 ms\tMemory Size: 1023 MB\t"
    "Max Memory Used: 84 MB\t"
)
COLD = WARM.replace("660.68", "619.03").replace("661", "1115") + "Init Duration: 495.16 ms\t"
TIMEOUT = WARM + "Status: timeout\t\nXRAY TraceId: 1-5e34a614-10bdxmplf1fb44f07bc535a1 SegmentId: 07f5 Sampled: true"
ERROR = WARM + "Status: error\tError Type: Runtime.ExitError"
RESTORED = WARM + "Restore Duration: 371.50 ms\tBilled Restore Duration: 41 ms\t"
WITH_TIME = f"2026-11-20T12:00:00.123Z 2026/11/20/[3]abc {COLD}"
SPACES = COLD.replace("\t", " ")


def event(status: str = "success", **metrics: float) -> str:
    record: dict[str, object] = {"requestId": ID, "status": status, "metrics": metrics}
    return json.dumps({"time": "2026-11-20T12:00:00.123Z", "type": "platform.report", "record": record})


JSON_COLD = event(
    durationMs=619.03, billedDurationMs=1115, memorySizeMB=1023, maxMemoryUsedMB=84, initDurationMs=495.16
)
NO_REPORTS = [
    "",
    f"START RequestId: {ID} Version: 3",
    f"END RequestId: {ID}",
    "INIT_REPORT Init Duration: 9999.94 ms\tPhase: init\tStatus: timeout",
    'my own line: {"type": "platform.start"}',
    "the REPORT RequestId is unknown",
    "XREPORT RequestId: 1 Duration: 1 ms",
    json.dumps({"type": "platform.initReport", "record": {"metrics": {"durationMs": 1.0}}}),
]


def column(lines: list[str]) -> list[dict[str, object]]:
    frame = pl.DataFrame({"line": lines}, schema={"line": pl.String}).lazy()
    read = frame.filter(is_report(pl.col("line"))).select(report_columns(pl.col("line")))
    return list(
        read.filter(pl.col("request_id").is_not_null() & pl.col("duration_ms").is_not_null()).collect().to_dicts()
    )


def one(line: str) -> Report:
    report = parse_report(line)
    assert report is not None
    return report


@pytest.mark.parametrize("line", [COLD, WITH_TIME, SPACES, JSON_COLD])
def test_a_cold_start_in_every_form(line: str) -> None:
    assert one(line) == Report(ID, 619.03, 1115.0, 1023, 84, 495.16, None, None, "ok", None)
    assert one(line).cold


def test_warm_restored_and_failed() -> None:
    assert one(WARM) == Report(ID, 660.68, 661.0, 1023, 84, None, None, None, "ok", None)
    assert not one(WARM).cold
    assert (one(RESTORED).restore_ms, one(RESTORED).billed_restore_ms, one(RESTORED).cold) == (371.5, 41.0, True)
    assert one(TIMEOUT).status == "timeout"
    assert (one(ERROR).status, one(ERROR).error_type) == ("error", "Runtime.ExitError")
    assert one(event("timeout", durationMs=3000)).status == "timeout"
    assert one(event("failure", durationMs=3)).status == "error"


@pytest.mark.parametrize("line", NO_REPORTS)
def test_other_lines_are_none(line: str) -> None:
    assert parse_report(line) is None
    assert column([line]) == []


@pytest.mark.parametrize("line", [f"REPORT RequestId: {ID}\tDura", f"REPORT RequestId: {ID}", event()])
def test_a_report_without_duration_is_none(line: str) -> None:
    assert parse_report(line) is None
    assert column([line]) == []


ALL = [WARM, COLD, TIMEOUT, ERROR, RESTORED, WITH_TIME, SPACES, JSON_COLD, *NO_REPORTS]


def test_a_column_reads_as_the_lines_do() -> None:
    one_by_one = [asdict(report) for line in ALL if (report := parse_report(line)) is not None]
    assert column(ALL) == one_by_one


@given(st.lists(st.sampled_from(ALL), max_size=5), st.text(max_size=20), st.integers(0, 200))
def test_both_ways_agree_on_mutilated_lines(lines: list[str], noise: str, cut: int) -> None:
    mutilated = [noise + line[:cut] for line in lines] + [line[cut:] + noise for line in lines]
    one_by_one = [asdict(report) for line in mutilated if (report := parse_report(line)) is not None]
    assert column(mutilated) == one_by_one
