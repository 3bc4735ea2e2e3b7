"""Lambda's logs in every shape that AWS hands them out: the same requests must come out of each."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.errors import TraceError
from simulator.importers import ImportOptions, import_trace
from simulator.trace import Trace

T0_MS = 1_795_176_000_000  # 2026-11-20T12:00:00Z
STREAM = "2026/11/20/[7]3c1e0a5b9d1f4b7c8d2e6f5a4b3c2d1e"
COLD, WARM, LATE = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002", "late-3"


def report(request_id: str, duration: float, billed: int, extra: str = "") -> str:
    return (
        f"REPORT RequestId: {request_id}\tDuration: {duration} ms\tBilled Duration: {billed} ms\t"
        f"Memory Size: 1024 MB\tMax Memory Used: 84 MB\t{extra}"
    )


def record(request_id: str, **more: object) -> str:
    return json.dumps(
        {"tailcast": "inference", "request_id": request_id, "variant": "baseline", "model": "us.amazon.nova-lite-v1:0",
         "version": "7", "environment_id": STREAM, "status": "ok", "http_status": 200, **more}
    )  # fmt: skip


# (milliseconds after T0, message): a cold start of 500 + 600 ms that arrives at 0, a warm request at 2 s that the
# function refused for a throttled model, and one at 5 s that the platform timed out.
EVENTS = [
    (500, f"START RequestId: {COLD} Version: 7"),
    (
        1099,
        record(
            COLD, cold=True, initialization_type="on-demand", inference_ms=590.5, input_tokens=40, output_tokens=100
        ),
    ),
    (1100, f"END RequestId: {COLD}"),
    (1100, report(COLD, 600.0, 1100, "Init Duration: 500.0 ms\t")),
    (2000, f"START RequestId: {WARM} Version: 7"),
    (2080, record(WARM, cold=False, inference_ms=70, status="throttled", http_status=429)),
    (2090, report(WARM, 90.0, 90)),
    (2500, "some other line, REPORT of nothing"),
    (5000, f"START RequestId: {LATE} Version: 7"),
    (8000, report(LATE, 3000.0, 3000, "Status: timeout")),
]


def iso(offset_ms: int) -> str:
    return f"2026-11-20T12:00:{offset_ms // 1000:02d}.{offset_ms % 1000:03d}Z"


def check(trace: Trace, *, own: bool = True) -> None:
    rows = trace.frame.to_dicts()
    assert [row["arrival_s"] for row in rows] == [0.0, 2.0, 5.0]
    assert trace.metadata.recorded_at == "2026-11-20T12:00:00+00:00"
    assert [row["cold"] for row in rows] == [True, False, False]
    assert [row["init_ms"] for row in rows] == [500.0, None, None]
    assert [row["duration_ms"] for row in rows] == [600.0, 90.0, 3000.0]
    assert [row["billed_ms"] for row in rows] == [1100.0, 90.0, 3000.0]
    assert [row["memory_mb"] for row in rows] == [1024] * 3
    assert [row["max_memory_mb"] for row in rows] == [84] * 3
    assert [row["request_id"] for row in rows] == [COLD, WARM, LATE]
    assert [row["version"] for row in rows] == ["7"] * 3
    if own:
        assert [row["status"] for row in rows] == ["ok", "throttled", "timeout"]
        assert [row["inference_ms"] for row in rows] == [590.5, 70.0, None]
        assert [row["input_tokens"] for row in rows] == [40, None, None]
        assert [row["variant"] for row in rows] == ["baseline", "baseline", None]
        assert trace.metadata.models == {"baseline": "us.amazon.nova-lite-v1:0"}
    else:
        assert [row["status"] for row in rows] == ["ok", "ok", "timeout"]


def write(tmp_path: Path, text: str, name: str = "log") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


class TestReportLog:
    @pytest.mark.parametrize(
        "line",
        [
            "{iso} {stream} {message}",  # aws logs tail
            "{offset} {stream} {message}",  # the same with a zone in figures
            "{iso} {message}",  # export to S3
            "{epoch} {message}",
        ],
    )
    def test_with_times(self, tmp_path: Path, line: str) -> None:
        text = "".join(
            line.format(
                iso=iso(at), offset=iso(at)[:-1] + "000+00:00", epoch=T0_MS + at, stream=STREAM, message=message
            )
            + "\n"
            for at, message in EVENTS
        )
        trace = import_trace(write(tmp_path, text), "report-log")
        check(trace)
        assert trace.metadata.source == "report-log"
        assert trace.metadata.notes == {"reports": "3", "records": "2 of the function's own records joined"}
        if "stream" in line:
            assert trace.frame["environment_id"].to_list() == [STREAM] * 3

    def test_gzipped(self, tmp_path: Path) -> None:
        path = tmp_path / "000000.gz"
        path.write_bytes(gzip.compress("".join(f"{iso(at)} {message}\n" for at, message in EVENTS).encode()))
        check(import_trace(path, "report-log"))

    @pytest.mark.parametrize("harm", [lambda whole: whole[:-20], lambda whole: whole[:14] + b"\xff" * 9 + whole[23:]])
    def test_a_gzipped_log_that_is_cut_or_damaged(self, tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
        path = tmp_path / "000000.gz"
        path.write_bytes(harm(gzip.compress("".join(f"{iso(at)} {message}\n" for at, message in EVENTS).encode())))
        with pytest.raises(TraceError, match=r"000000\.gz: not a readable text log \("):
            import_trace(path, "report-log")

    def test_json_log_format(self, tmp_path: Path) -> None:
        events: list[dict[str, object]] = []
        for request_id, start, end, metrics, status in (
            (COLD, 500, 1100, {"durationMs": 600.0, "billedDurationMs": 1100, "initDurationMs": 500.0}, "success"),
            (WARM, 2000, 2090, {"durationMs": 90.0, "billedDurationMs": 90}, "success"),
            (LATE, 5000, 8000, {"durationMs": 3000.0, "billedDurationMs": 3000}, "timeout"),
        ):
            metrics = {**metrics, "memorySizeMB": 1024, "maxMemoryUsedMB": 84}
            events.append(
                {"time": iso(start), "type": "platform.start", "record": {"requestId": request_id, "version": "7"}}
            )
            events.append({"time": iso(end), "type": "platform.report",
                           "record": {"requestId": request_id, "metrics": metrics, "status": status}})  # fmt: skip
        # the function's record as an object in Lambda's envelope, and as text in it
        events.insert(1, {"timestamp": iso(1099), "level": "INFO", "requestId": COLD,
                          "message": json.loads(record(COLD, inference_ms=590.5, input_tokens=40))})  # fmt: skip
        events.insert(4, {"timestamp": iso(2080), "level": "INFO", "requestId": WARM,
                          "message": record(WARM, inference_ms=70, status="throttled")})  # fmt: skip
        text = "".join(json.dumps(event) + "\n" for event in events)
        for format_name in ("report-log", "json-log"):
            check(import_trace(write(tmp_path, text), format_name))

    def test_provisioned_concurrency_reports_an_init_that_nobody_waited_for(self, tmp_path: Path) -> None:
        lines = [
            f"{iso(1000)} {record(COLD, inference_ms=1, initialization_type='provisioned-concurrency')}",
            f"{iso(1600)} {report(COLD, 600.0, 600, 'Init Duration: 500.0 ms')}",
        ]
        row = import_trace(write(tmp_path, "\n".join(lines)), "report-log").frame.to_dicts()[0]
        assert (row["cold"], row["init_ms"], row["provisioned"]) == (False, None, True)

    def test_without_times_rows_need_a_distance(self, tmp_path: Path) -> None:
        path = write(tmp_path, "".join(f"{message}\n" for _, message in EVENTS))
        with pytest.raises(TraceError, match=r"3 of 3 reports have no time; .*--spacing 1"):
            import_trace(path, "report-log")
        trace = import_trace(path, "report-log", ImportOptions(spacing_s=2.5))
        assert trace.frame["arrival_s"].to_list() == [0.0, 2.5, 5.0]
        assert trace.metadata.recorded_at is None

    def test_a_log_exported_twice_counts_once(self, tmp_path: Path) -> None:
        text = "".join(f"{iso(at)} {message}\n" for at, message in EVENTS)
        trace = import_trace(write(tmp_path, text + text), "report-log")
        check(trace)
        assert trace.metadata.notes["dropped"] == "3 reports that stood twice in the log"

    def test_noise_is_passed_over(self, tmp_path: Path) -> None:
        text = "".join(f'{iso(at)} {message}\n"unbalanced, quote\x01 and more\n\n' for at, message in EVENTS)
        path = tmp_path / "log"
        path.write_bytes(text.encode() + b"\xff\xfe not utf-8\n")
        check(import_trace(path, "report-log"))

    def test_noise_may_come_first(self, tmp_path: Path) -> None:
        text = "".join(f"{iso(at)} {message}\n" for at, message in EVENTS)
        check(import_trace(write(tmp_path, f"a\x01b\x01\x01c\n{text}"), "report-log"))

    @pytest.mark.parametrize("text", ["nothing of Lambda's\n", "START RequestId: 1 Version: 2\n", "\n\n"])
    def test_no_report(self, tmp_path: Path, text: str) -> None:
        path = write(tmp_path, text)
        with pytest.raises(TraceError) as caught:
            import_trace(path, "report-log")
        assert str(caught.value).startswith(f"{path}: no REPORT of an invocation in it")

    def test_empty_and_missing(self, tmp_path: Path) -> None:
        with pytest.raises(TraceError, match="the file is empty"):
            import_trace(write(tmp_path, ""), "report-log")
        with pytest.raises(TraceError, match="no such file"):
            import_trace(tmp_path / "nowhere", "report-log")


class TestJsonLog:
    def documents(self) -> dict[str, str]:
        events = [{"timestamp": T0_MS + at, "message": message, "logStreamName": STREAM} for at, message in EVENTS]
        payload = {"logStream": STREAM, "logEvents": [{k: e[k] for k in ("timestamp", "message")} for e in events]}
        bare = [{"timestamp": e["timestamp"], "message": e["message"], "logStream": STREAM} for e in events]
        return {
            "filter-log-events": json.dumps({"events": events, "searchedLogStreams": []}, indent=4),
            "subscription": json.dumps(payload) + "\n" + json.dumps({"logStream": STREAM, "logEvents": []}) + "\n",
            "array": json.dumps(bare),
            "lines": "".join(json.dumps(event) + "\n" for event in bare),
        }

    @pytest.mark.parametrize("shape", ["filter-log-events", "subscription", "array", "lines"])
    def test_every_shape(self, tmp_path: Path, shape: str) -> None:
        trace = import_trace(write(tmp_path, self.documents()[shape]), "json-log")
        check(trace)
        assert trace.frame["environment_id"].to_list() == [STREAM] * 3

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"events": []}', "no REPORT of an invocation"),
            ('{"events": [1]}', "document 1: the event 1 is not an object"),
            ('{"a": 1}\n{"b": \n', "line 2, character 7: not JSON"),
            ("[1, 2]", "row 1: 1 is not an object"),
            ('{"a": 1}\n"text"\n', "line 2: 'text' is not an object"),
            ("hello", "line 1, character 1: not JSON"),
            ("[" * 100_000, "line 1: no JSON that can be read (maximum recursion depth"),
            ('{"a": %s}' % ("9" * 5000), "line 1: no JSON that can be read (Exceeds the limit"),
        ],
    )
    def test_bad(self, tmp_path: Path, text: str, message: str) -> None:
        path = write(tmp_path, text)
        with pytest.raises(TraceError) as caught:
            import_trace(path, "json-log")
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("odd", ["NaN", "Infinity", "1e300", "-1", "17951760000001230", "9" * 30])
    def test_what_is_no_date_is_no_time(self, tmp_path: Path, odd: str) -> None:
        # A function's own line, with a time of its own kind, beside CloudWatch's events.
        own = f'{{"timestamp": {odd}, "message": "half a character: \\ud83d", "logStream": ["x"]}}\n'
        check(import_trace(write(tmp_path, own + self.documents()["lines"]), "json-log"))
        untimed = f'{{"timestamp": {odd}, "message": {json.dumps(report(WARM, 90.0, 90))}}}'
        with pytest.raises(TraceError, match="1 of 1 reports have no time"):
            import_trace(write(tmp_path, untimed), "json-log")


INSIGHTS = [
    # end, request id, duration, billed, init, memory and used in bytes
    (1100, COLD, "600.0", "1100.0", "500.0"),
    (2090, WARM, "90.0", "90.0", ""),
    (8000, LATE, "3000.0", "3000.0", ""),
]


class TestInsights:
    def export(self, header: list[str], rows: list[list[str]]) -> str:
        out = io.StringIO()
        csv.writer(out).writerows([header, *rows])
        return out.getvalue()

    def test_fields(self, tmp_path: Path) -> None:
        header = ["@timestamp", "@requestId", "@duration", "@billedDuration", "@initDuration", "@memorySize",
                  "@maxMemoryUsed", "@logStream"]  # fmt: skip
        rows = [
            [iso(end).replace("T", " ")[:-1], request_id, duration, billed, init, "1024000000", "84000000", STREAM]
            for end, request_id, duration, billed, init in reversed(INSIGHTS)
        ]
        rows.insert(1, [iso(500), COLD, "", "", "", "", "", STREAM])  # a row that is no REPORT
        trace = import_trace(write(tmp_path, self.export(header, rows)), "insights-csv")
        frame = trace.frame
        assert frame["arrival_s"].to_list() == [0.0, 2.0, 5.0]
        assert frame["request_id"].to_list() == [COLD, WARM, LATE]
        assert frame["cold"].to_list() == [True, False, False]
        assert frame["memory_mb"].to_list() == [1024] * 3
        assert frame["max_memory_mb"].to_list() == [84] * 3
        assert frame["version"].to_list() == ["7"] * 3

    def test_messages(self, tmp_path: Path) -> None:
        rows = [[iso(at).replace("T", " ")[:-1], message] for at, message in EVENTS]
        check(import_trace(write(tmp_path, self.export(["@timestamp", "@message"], rows)), "insights-csv"))

    def test_without_the_init_column_nobody_knows_what_was_cold(self, tmp_path: Path) -> None:
        text = self.export(["@timestamp", "@duration"], [[iso(1000), "5.5"]])
        assert import_trace(write(tmp_path, text), "insights-csv").frame["cold"].to_list() == [None]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "@timestamp,@requestId\n2026-11-20,1\n",
                "column 'duration' is missing; an Insights export over REPORT lines",
            ),
            ("@timestamp,@duration\nyesterday,1\n", "row 1, column 'timestamp': 'yesterday' is not a time"),
            ("@timestamp,@duration\n2026-11-20 12:00:00,-4\n", "row 1, column 'duration': '-4' is negative"),
            ("@timestamp,@duration\n2026-11-20 12:00:00,\n", "no row has a @duration"),
        ],
    )
    def test_bad(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(TraceError) as caught:
            import_trace(write(tmp_path, text), "insights-csv")
        assert message in str(caught.value)
