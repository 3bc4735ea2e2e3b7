"""The platform's lines, letter by letter."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from replay.cloud.lambda_plane.platform_log import PlatformLog, Report
from tests.replay.cloud.lambda_plane.support import Catalog

REQUEST = "8f507cfc-0000-4697-b07a-ac58fc914c95"
AT_S = 1_767_100_000.25


@pytest.fixture
def text() -> PlatformLog:
    return PlatformLog(Catalog().deploy("f", "", version="7", timeout_s=3.0), "eu-west-1")


def report(**changes: object) -> Report:
    return replace(Report(REQUEST, 619.03, 1023, 84), **changes)  # type: ignore[arg-type]


def test_the_recorded_cold_start_is_billed_as_aws_billed_it(text: PlatformLog) -> None:
    """Duration 619.03 ms and Init 495.16 ms were billed as 1115 ms on AWS (2025-12-30)."""
    end, line = text.end(AT_S, report(init_ms=495.16))
    assert end == f"END RequestId: {REQUEST}\n"
    assert line == (
        f"REPORT RequestId: {REQUEST}\tDuration: 619.03 ms\tBilled Duration: 1115 ms\tMemory Size: 1023 MB\t"
        "Max Memory Used: 84 MB\tInit Duration: 495.16 ms\t\n"
    )


def test_a_warm_report_has_no_init(text: PlatformLog) -> None:
    assert text.end(AT_S, report(duration_ms=2.0))[1] == (
        f"REPORT RequestId: {REQUEST}\tDuration: 2.00 ms\tBilled Duration: 2 ms\tMemory Size: 1023 MB\t"
        "Max Memory Used: 84 MB\t\n"
    )


def test_failures_show_their_status(text: PlatformLog) -> None:
    assert text.end(AT_S, report(status="timeout"))[1].endswith("Max Memory Used: 84 MB\tStatus: timeout\t\n")
    failed = report(status="error", error_type="Runtime.ExitError")
    assert text.end(AT_S, failed)[1].endswith("\tStatus: error\tError Type: Runtime.ExitError\t\n")
    assert text.init_report(AT_S, 12.345, "init", "error", "Runtime.ExitError") == (
        "INIT_REPORT Init Duration: 12.35 ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError\n"
    )
    assert text.timed_out(AT_S, REQUEST) == f"2025-12-30T13:06:40.250Z {REQUEST} Task timed out after 3.00 seconds\n\n"
    assert text.start(AT_S, REQUEST) == f"START RequestId: {REQUEST} Version: 7\n"


def test_json_events_have_the_schema_of_the_telemetry_api() -> None:
    log = PlatformLog(Catalog().deploy("f", "", version="7", log_format="JSON"), "eu-west-1")
    done, event = (json.loads(line) for line in log.end(AT_S, report(init_ms=495.16)))
    assert (done["type"], done["record"]["status"]) == ("platform.runtimeDone", "success")
    assert event == {
        "time": "2025-12-30T13:06:40.250Z",
        "type": "platform.report",
        "record": {
            "requestId": REQUEST,
            "status": "success",
            "metrics": {
                "durationMs": 619.03,
                "billedDurationMs": 1115,
                "memorySizeMB": 1023,
                "maxMemoryUsedMB": 84,
                "initDurationMs": 495.16,
            },
        },
    }
    assert log.timed_out(AT_S, REQUEST) is None
