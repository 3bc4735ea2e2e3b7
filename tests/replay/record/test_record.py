"""The recorder: against moto's CloudWatch Logs through the real SDK, and against late and repeated lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.errors import CloudError, InputError
from replay.record import Settle, function_log_group, join_client, record
from replay.record.collect import Collector, LogLine
from replay.record.lines import FunctionRecord, Start, read_line, version_in_stream
from simulator.trace import TraceMetadata, make_trace

GROUP = "/aws/lambda/genai"
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
BEGAN_MS = int(BEGAN.timestamp() * 1e3)
AT_ONCE = Settle(poll_s=0.0, quiet_s=0.0, timeout_s=5.0)


def text_lines(
    request_id: str,
    *,
    at_ms: int,
    duration_ms: float = 600.0,
    init_ms: float | None = None,
    version: str = "1",
    tail: str = "",
    record: dict[str, Any] | None = None,
) -> list[tuple[int, str]]:
    """What Lambda logs of one invocation that arrives at ``at_ms`` after the start: (milliseconds, message)."""
    start = BEGAN_MS + at_ms + int(init_ms or 0)
    end = start + int(duration_ms)
    billed = duration_ms + (init_ms or 0.0)
    report = (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\tBilled Duration: {billed:.0f} ms\t"
        "Memory Size: 1023 MB\tMax Memory Used: 84 MB\t"
    )
    if init_ms is not None:
        report += f"Init Duration: {init_ms:.2f} ms\t"
    own = [] if record is None else [(end, json.dumps(record))]
    return [
        (start, f"START RequestId: {request_id} Version: {version}\n"),
        *own,
        (end, f"END RequestId: {request_id}\n"),
        (end, report + tail + "\n"),
    ]


def own_record(request_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "tailcast": "inference",
        "request_id": request_id,
        "variant": "baseline",
        "model": "us.amazon.nova-lite-v1:0",
        "version": "1",
        "cold": False,
        "initialization_type": "on-demand",
        "inference_ms": 590.5,
        "total_ms": 591.0,
        "input_tokens": 12,
        "output_tokens": 34,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "status": "ok",
        "http_status": 200,
        **changes,
    }


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from moto import mock_aws

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("logs", region_name="us-east-1")
        client.create_log_group(logGroupName=GROUP)
        yield client


def put(logs: Any, stream: str, events: list[tuple[int, str]]) -> None:
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    for position in range(0, len(events), 500):
        logs.put_log_events(
            logGroupName=GROUP,
            logStreamName=stream,
            logEvents=[{"timestamp": at, "message": text} for at, text in events[position : position + 500]],
        )


def test_joins_reports_with_the_functions_own_records(logs: Any) -> None:
    cold = text_lines(
        "a", at_ms=1_000, duration_ms=619.03, init_ms=495.16, record=own_record("a", cold=True, inference_ms=616.17)
    )
    warm = text_lines("b", at_ms=3_000, duration_ms=660.68, record=own_record("b"))
    put(logs, "2026/11/21/[1]aaaa", cold + warm)
    other = text_lines("c", at_ms=1_500, version="2", record=own_record("c", variant="optimized", version="2"))
    put(logs, "2026/11/21/[2]bbbb", other)

    recording = record(logs, GROUP, start=BEGAN, end=BEGAN + timedelta(seconds=10), settle=AT_ONCE, function="genai")

    frame = recording.trace.frame
    assert frame["request_id"].to_list() == ["a", "c", "b"]
    assert frame["arrival_s"].to_list() == pytest.approx([0.0, 0.5, 2.0], abs=0.002)
    assert frame["environment_id"].to_list() == ["2026/11/21/[1]aaaa", "2026/11/21/[2]bbbb", "2026/11/21/[1]aaaa"]
    assert frame["cold"].to_list() == [True, False, False]
    assert frame["init_ms"].to_list() == [495.16, None, None]
    assert frame["duration_ms"].to_list() == [619.03, 600.0, 660.68]
    assert frame["billed_ms"][0] == 1114.0
    assert frame["inference_ms"].to_list() == [616.17, 590.5, 590.5]
    assert frame["memory_mb"].to_list() == [1023] * 3
    assert frame["variant"].to_list() == ["baseline", "optimized", "baseline"]
    assert frame["version"].to_list() == ["1", "2", "1"]
    assert frame["client_ms"].null_count() == 3
    assert recording.counts.joined == recording.counts.invocations == 3
    assert recording.warnings() == []
    metadata = recording.trace.metadata
    assert metadata.source == "cloudwatch"
    assert metadata.function == "genai"
    assert metadata.region == "us-east-1"
    assert metadata.versions == {"baseline": "1", "optimized": "2"}
    assert metadata.models["baseline"] == "us.amazon.nova-lite-v1:0"
    began_late = datetime.fromisoformat(metadata.recorded_at or "") - BEGAN
    assert began_late.total_seconds() == pytest.approx(1.0, abs=0.002)


def test_pages_and_range(logs: Any) -> None:
    """More events than one page holds; of them, only the invocations that began in the range."""
    events = [
        line
        for number in range(3_000)
        for line in text_lines(f"r{number}", at_ms=number * 20, duration_ms=15.0, record=own_record(f"r{number}"))
    ]
    put(logs, "2026/11/21/[1]aaaa", events)
    start, end = BEGAN + timedelta(seconds=10), BEGAN + timedelta(seconds=50)
    recording = record(logs, GROUP, start=start, end=end, settle=AT_ONCE)
    assert len(recording.trace) == 2_000
    assert recording.trace.frame["request_id"][0] == "r500"
    assert recording.counts.joined == 2_000


def test_an_invocation_that_began_in_the_range_and_ended_after_it_is_whole(logs: Any) -> None:
    put(logs, "2026/11/21/[1]aaaa", text_lines("long", at_ms=9_000, duration_ms=25_000.0))
    recording = record(logs, GROUP, start=BEGAN, end=BEGAN + timedelta(seconds=10), settle=AT_ONCE)
    assert recording.trace.frame["duration_ms"].to_list() == [25_000.0]


def test_what_is_missing_is_null_and_counted(logs: Any) -> None:
    put(
        logs,
        "2026/11/21/[1]aaaa",
        [
            *text_lines("no-record", at_ms=0),
            (BEGAN_MS + 2_000, json.dumps(own_record("no-report"))),
            (BEGAN_MS + 2_100, "print() of the function's"),
            (BEGAN_MS + 2_200, '{"json": "of something else"}'),
        ],
    )
    recording = record(
        logs, GROUP, start=BEGAN, end=BEGAN + timedelta(seconds=10), settle=AT_ONCE, expected=["no-record", "lost"]
    )
    rows = {row["request_id"]: row for row in recording.trace.frame.iter_rows(named=True)}
    assert rows["no-record"]["inference_ms"] is None
    assert rows["no-record"]["variant"] is None
    assert rows["no-report"]["duration_ms"] is None
    assert rows["no-report"]["inference_ms"] == 590.5
    assert (recording.counts.without_record, recording.counts.without_report, recording.missing) == (1, 1, 1)
    assert not recording.settled
    assert len(recording.warnings()) == 4


def test_variants_by_version_where_the_function_does_not_say(logs: Any) -> None:
    put(logs, "2026/11/21/[7]aaaa", text_lines("a", at_ms=0, version="7"))
    recording = record(
        logs, GROUP, start=BEGAN, end=BEGAN + timedelta(seconds=9), settle=AT_ONCE, variants={"7": "optimized"}
    )
    assert recording.trace.variants() == ["optimized"]


def test_timeouts_and_errors(logs: Any) -> None:
    put(
        logs,
        "2026/11/21/[1]aaaa",
        [
            *text_lines("t", at_ms=0, duration_ms=3_000.0, tail="Status: timeout"),
            *text_lines("e", at_ms=5_000, tail="Status: error\tError Type: Runtime.ExitError"),
            *text_lines("h", at_ms=7_000, record=own_record("h", status="throttled", http_status=429)),
        ],
    )
    recording = record(logs, GROUP, start=BEGAN, end=BEGAN + timedelta(seconds=10), settle=AT_ONCE)
    assert recording.trace.frame["status"].to_list() == ["timeout", "error", "throttled"]


def test_provisioned_environments_are_not_cold_to_the_caller(logs: Any) -> None:
    lines = text_lines(
        "p",
        at_ms=0,
        init_ms=500.0,
        record=own_record("p", cold=True, initialization_type="provisioned-concurrency"),
    )
    put(logs, "2026/11/21/[1]aaaa", lines)
    row = record(logs, GROUP, start=BEGAN, end=BEGAN + timedelta(seconds=9), settle=AT_ONCE).trace.frame.row(
        0, named=True
    )
    assert (row["provisioned"], row["cold"], row["init_ms"]) == (True, False, None)


def test_json_log_format(logs: Any) -> None:
    at = BEGAN_MS + 1_000

    def event(kind: str, after_ms: int, **fields: Any) -> tuple[int, str]:
        time = datetime.fromtimestamp((at + after_ms) / 1e3, UTC).isoformat().replace("+00:00", "Z")
        return at + after_ms, json.dumps({"time": time, "type": kind, "record": {"requestId": "j", **fields}})

    envelope = {"timestamp": "…", "level": "INFO", "requestId": "j", "message": json.dumps(own_record("j"))}
    put(
        logs,
        "2026/11/21/[3]aaaa",
        [
            event("platform.start", 0, version="3"),
            (at + 700, json.dumps(envelope)),
            event(
                "platform.report",
                700,
                status="success",
                metrics={
                    "durationMs": 700.5,
                    "billedDurationMs": 1196,
                    "initDurationMs": 495.16,
                    "memorySizeMB": 1023,
                    "maxMemoryUsedMB": 84,
                },
            ),
        ],
    )
    recording = record(logs, GROUP, start=BEGAN, end=BEGAN + timedelta(seconds=9), settle=AT_ONCE)
    row = recording.trace.frame.row(0, named=True)
    assert (row["duration_ms"], row["billed_ms"], row["init_ms"], row["cold"]) == (700.5, 1196.0, 495.16, True)
    assert (row["inference_ms"], row["output_tokens"], row["memory_mb"]) == (590.5, 34, 1023)
    assert recording.counts.joined == 1


@pytest.mark.parametrize("wrapped", ["bare", "text in envelope", "object in envelope", "metric"])
def test_the_functions_record_in_each_form(wrapped: str) -> None:
    document = own_record("x", ttft_ms=120)
    line = {
        "bare": json.dumps(document),
        "text in envelope": json.dumps({"level": "INFO", "message": json.dumps(document)}),
        "object in envelope": json.dumps({"level": "INFO", "message": document}),
        "metric": json.dumps({"_aws": {"CloudWatchMetrics": []}, **document}),
    }[wrapped]
    said = read_line(line)
    assert isinstance(said, FunctionRecord)
    assert (said.request_id, said.ttft_ms, said.input_tokens, said.provisioned) == ("x", 120.0, 12, False)


@pytest.mark.parametrize(
    "line",
    [
        "END RequestId: x",
        "INIT_START Runtime Version: python:3.12",
        '{"tailcast": broken',
        '{"tailcast": "inference"}',
        '{"message": "\\"tailcast\\" is only mentioned"}',
        '{"message": {"tailcast": "inference"}}',
        '{"type": "platform.start", "record": {}}',
        '{"type": "platform.start"}',
        "START RequestId: ",
        "",
    ],
)
def test_lines_that_say_nothing(line: str) -> None:
    assert read_line(line) is None


def test_values_that_are_no_measurements_are_null() -> None:
    said = read_line(
        json.dumps(own_record("x", inference_ms=-1, input_tokens=True, cold="yes", status="fine", version=3))
    )
    assert isinstance(said, FunctionRecord)
    assert (said.inference_ms, said.input_tokens, said.cold, said.status, said.version) == (None,) * 5


def test_streams_name_their_version() -> None:
    assert version_in_stream("2026/11/21/[7]0123") == "7"
    assert version_in_stream("2026/11/21/genai[$LATEST]0123") == "$LATEST"
    assert version_in_stream("mine") is None
    assert read_line("START RequestId: x Version: 7") == Start("x", "7")


class LateLogs:
    """CloudWatch Logs that shows one more page of events at every look."""

    def __init__(self, looks: list[list[tuple[int, str]]]) -> None:
        self.looks = looks
        self.asked = 0

    def filter_log_events(self, **request: Any) -> dict[str, Any]:
        self.asked += 1
        events = [event for look in self.looks[: self.asked] for event in look]
        return {
            "events": [
                {"eventId": f"e{number}", "logStreamName": "2026/11/21/[1]a", "timestamp": at, "message": text}
                for number, (at, text) in enumerate(events)
            ]
        }


def run_late(looks: list[list[tuple[int, str]]], settle: Settle, **options: Any) -> Any:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    return record(
        LateLogs(looks),
        GROUP,
        start=BEGAN,
        end=BEGAN + timedelta(seconds=60),
        settle=settle,
        clock=lambda: now,
        sleep=sleep,
        **options,
    )


def test_waits_until_nothing_new_comes() -> None:
    looks = [text_lines(f"r{number}", at_ms=number) for number in range(4)]
    recording = run_late([looks[0], looks[1], [], looks[2], [], [], [], looks[3]], Settle(1.0, 3.0, 60.0))
    # Quiet for 3 s after the third: the fourth, 4 s later, is too late for this setting.
    assert len(recording.trace) == 3
    assert recording.settled


def test_waits_no_longer_than_needed_for_what_the_caller_sent() -> None:
    looks = [text_lines(f"r{number}", at_ms=number) for number in range(3)]
    recording = run_late(looks, Settle(1.0, 30.0, 60.0), expected=["r0", "r1", "r2"])
    assert len(recording.trace) == 3
    assert recording.settled
    assert recording.missing == 0


def test_gives_up_and_says_so() -> None:
    looks = [text_lines(f"r{number}", at_ms=number) for number in range(100)]
    recording = run_late(looks, Settle(1.0, 3.0, 10.0))
    assert not recording.settled
    assert "still coming" in recording.warnings()[-1]


@given(st.lists(st.integers(0, 15), min_size=16, max_size=60), st.permutations(range(16)))
def test_order_and_repetition_of_lines_do_not_matter(again: list[int], order: list[int]) -> None:
    events = [
        line
        for number in range(4)
        for line in text_lines(f"r{number}", at_ms=number * 50, record=own_record(f"r{number}"))
    ]
    lines = [LogLine(f"e{number}", "2026/11/21/[1]a", at, text) for number, (at, text) in enumerate(events)]
    whole, jumbled = Collector(), Collector()
    whole.add(lines)
    jumbled.add([lines[index] for index in (*again, *order)])
    bounds = {"start_ms": BEGAN_MS, "end_ms": BEGAN_MS + 60_000.0, "variants": {}, "metadata": TraceMetadata()}
    (first, first_counts), (second, second_counts) = whole.trace(**bounds), jumbled.trace(**bounds)  # type: ignore[arg-type]
    assert first is not None
    assert second is not None
    assert first.frame.equals(second.frame)
    assert first_counts == second_counts


def test_repeated_reports_are_counted() -> None:
    lines = text_lines("a", at_ms=0)
    recording = run_late([[*lines, *lines]], AT_ONCE)
    assert recording.counts.duplicates == 2


class TestRefuses:
    def test_an_unknown_group(self, logs: Any) -> None:
        with pytest.raises(InputError, match="'/aws/lambda/none' does not exist"):
            record(logs, "/aws/lambda/none", start=BEGAN, end=BEGAN + timedelta(seconds=1), settle=AT_ONCE)

    def test_an_empty_range(self, logs: Any) -> None:
        with pytest.raises(CloudError, match="no invocation between"):
            record(logs, GROUP, start=BEGAN, end=BEGAN + timedelta(seconds=1), settle=AT_ONCE)

    def test_times_the_wrong_way_round(self, logs: Any) -> None:
        with pytest.raises(InputError, match="must lie before end"):
            record(logs, GROUP, start=BEGAN, end=BEGAN)

    def test_times_without_a_zone(self, logs: Any) -> None:
        with pytest.raises(InputError, match="time zone"):
            record(logs, GROUP, start=datetime(2026, 1, 1), end=BEGAN)

    def test_a_negative_settling_time(self) -> None:
        with pytest.raises(InputError, match="quiet_s=-1"):
            Settle(quiet_s=-1.0)

    def test_an_unknown_function(self, logs: Any) -> None:
        with pytest.raises(InputError, match="function 'none' does not exist"):
            function_log_group(boto3.client("lambda", region_name="us-east-1"), "none")


class TestJoinClient:
    RECORDED = make_trace(
        pl.DataFrame(
            {
                "arrival_s": [0.0, 1.0, 2.0],
                "variant": ["baseline"] * 3,
                "duration_ms": [600.0, 29_500.0, 5.0],
                "status": ["ok", "ok", "ok"],
                "request_id": ["a", "b", "stranger"],
            }
        ),
        TraceMetadata(source="cloudwatch", function="genai"),
    )
    DRIVEN = make_trace(
        pl.DataFrame(
            {
                "arrival_s": [0.5, 1.5, 2.5, 3.5],
                "client_ms": [650.0, 30_000.0, 3.0, 4.0],
                "attempts": [1, 1, 1, 1],
                "status": ["ok", "timeout", "throttled", "throttled"],
                "request_id": ["a", "b", None, "gateway"],
            }
        ),
        TraceMetadata(source="drive", recorded_at="2026-11-21T00:00:00+00:00", notes={"target": "t"}),
    )

    def test_keeps_every_request_of_the_callers(self) -> None:
        joined = join_client(self.RECORDED, self.DRIVEN)
        frame = joined.trace.frame
        assert frame["arrival_s"].to_list() == [0.5, 1.5, 2.5, 3.5]
        assert frame["client_ms"].to_list() == [650.0, 30_000.0, 3.0, 4.0]
        assert frame["duration_ms"].to_list() == [600.0, 29_500.0, None, None]
        assert frame["status"].to_list() == ["ok", "timeout", "throttled", "throttled"]
        assert frame["variant"].to_list() == ["baseline", "baseline", None, None]
        assert (joined.matched, joined.client_only, joined.logs_only) == (2, 2, 1)

    def test_metadata_of_both(self) -> None:
        metadata = join_client(self.RECORDED, self.DRIVEN).trace.metadata
        assert metadata.function == "genai"
        assert metadata.recorded_at == "2026-11-21T00:00:00+00:00"
        assert metadata.notes["target"] == "t"
