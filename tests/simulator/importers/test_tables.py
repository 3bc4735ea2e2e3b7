"""Tables: what the importers refuse, in which words, and the mapping of any CSV."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ParameterError, SimulatorError, TraceError
from simulator.importers import FORMATS, ImportOptions, import_to_file, import_trace
from simulator.importers.closed_loop import closed_loop_arrivals_us


def write(tmp_path: Path, text: str, name: str = "in.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


PACSLAB = "is_cold,exist_id,aws_duration,aws_billed_duration,client_start_time,client_elapsed_time\n"


class TestRefusals:
    @pytest.mark.parametrize(
        ("format_name", "text", "message"),
        [
            ("pacslab", "is_cold,exist_id\nTrue,a\n", "column 'aws_duration' is missing; a pacslab run has is_cold, "),
            ("pacslab", PACSLAB, "a header and no row"),
            (
                "pacslab",
                PACSLAB + "True,a,1,1,100,1\nmaybe,a,1,1,101,1\n",
                "row 2, column 'is_cold': 'maybe' is neither true nor",
            ),
            ("pacslab", PACSLAB + "True,a,fast,1,100,1\n", "row 1, column 'aws_duration': 'fast' is not a number"),
            (
                "pacslab",
                PACSLAB + "True,a,1,1,100,-1\nTrue,a,1,1,100,-2\n",
                "row 1, column 'client_elapsed_time': '-1' is negative (and 1 more)",
            ),
            ("pacslab", PACSLAB + "True,a,nan,1,100,1\n", "row 1, column 'aws_duration': 'nan' is not a finite number"),
            ("pacslab", PACSLAB + "True,a,1,1,,1\n", "row 1, column 'client_start_time': None must not be empty"),
            ("pacslab", PACSLAB + "True,a,1,1,100,1,extra\n", "row 1 has 7 cells, the header 6; quote the cell"),
            ("pacslab", "a,a\n1,2\n", "column 'is_cold' is missing"),
            (
                "azure-llm",
                "TIMESTAMP,ContextTokens,GeneratedTokens\nnoon,1,1\n",
                "row 1, column 'TIMESTAMP': 'noon' is not a time such as",
            ),
            (
                "azure-llm",
                "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1.5,1\n",
                "column 'ContextTokens': '1.5' is not a whole number",
            ),
            (
                "lambda-perf",
                "day,runtime,pkg,arch,mem_mb,init_ms\n2026-13-01,a,b,c,1,1\n",
                "row 1, column 'day': '2026-13-01T00:00:00Z' is not a time",
            ),
            (
                "azure-llm",
                "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1e19,1\n",
                "row 1, column 'ContextTokens': '1e19' is above 1e+12",
            ),
            (
                "pacslab",
                PACSLAB + "True,a,1,1,1795176000000,1\n",
                "row 1, column 'client_start_time': '1795176000000' is no number of seconds since 1970; divide milli",
            ),
            (
                "mooncake",
                '{"timestamp": 1e300, "input_length": 1, "output_length": 1}\n',
                "row 1, column 'timestamp': '1e+300' is above 1e+15",
            ),
            ("llmeter", "ttft_s,ttlt_s\n1,1e300\n", "row 1, column 'ttlt_s': '1e300' is above 1e+12"),
            ("insights-csv", "@timestamp,@duration\n2026-01-01 00:00:00,1e300\n", "column 'duration': '1e300' is"),
            (
                "csv",
                "arrival_s, arrival_s\n1,2\n",
                "columns 'arrival_s' and ' arrival_s' both give 'arrival_s'; drop one",
            ),
            (
                "insights-csv",
                "@timestamp,@duration,duration\n2026-01-01 00:00:00,1,1\n",
                "columns '@duration' and 'duration' both give 'duration'; drop one",
            ),
            (
                "llmeter",
                "ttft_s,time_to_first_token\n1,1\n",
                "columns 'ttft_s' and 'time_to_first_token' both give 'ttft_s'; drop one",
            ),
            ("xray", "function,timestamp\na,b\n", "column 'total' is missing; an X-Ray table has"),
            ("llmperf", "ttft_s,e2e_s\n1,1\n", "column 'input_tokens' is missing; an llmperf recording has"),
            ("llmperf", '[{"ttft_s": 1}]', "column 'e2e_s' is missing"),
            (
                "llmperf",
                '[{"ttft_s": "x", "end_to_end_latency_s": 1, "number_input_tokens": 1, "number_output_tokens": 1}]',
                "row 1, column 'ttft_s': 'x' is not a number",
            ),
            ("llmeter", "clients\n1\n", "column 'time_to_first_token' is missing; an LLMeter recording has"),
            ("llmeter", "arm,ttft_s\na,1\n,1\n", "row 2, column 'arm': None must not be empty"),
            ("mooncake", '{"timestamp": 0}\n', "column 'input_length' is missing; a Mooncake trace has"),
            (
                "mooncake",
                '{"timestamp": -1, "input_length": 1, "output_length": 1}\n',
                "row 1, column 'timestamp': '-1' is negative",
            ),
            (
                "mooncake",
                '{"timestamp": "\\ud83d", "input_length": 1, "output_length": 1}\n',
                "row 1, column 'timestamp': '?' is not a number",
            ),
            ("mooncake", "timestamp\n", "line 1, character 1: not JSON"),
        ],
    )
    def test_the_cell_is_named(self, tmp_path: Path, format_name: str, text: str, message: str) -> None:
        path = write(tmp_path, text)
        with pytest.raises(TraceError) as caught:
            import_trace(path, format_name)
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("format_name", list(FORMATS))
    def test_missing_empty_and_binary(self, tmp_path: Path, format_name: str) -> None:
        for path in (tmp_path / "nowhere", write(tmp_path, "")):
            with pytest.raises(TraceError, match=r"no such file|the file is empty"):
                import_trace(path, format_name)
        binary = tmp_path / "binary"
        binary.write_bytes(bytes(range(256)) * 4)
        with pytest.raises(SimulatorError) as caught:
            import_trace(binary, format_name)
        assert str(caught.value).startswith(f"{binary}: ")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("format_name", list(FORMATS))
    def test_a_file_that_may_not_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
    ) -> None:
        def refuse(path: Path, *_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        path = write(tmp_path, "a\n1\n")
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(TraceError, match=r"in\.csv: the file cannot be read \(Permission denied\)"):
            import_to_file(path, format_name, tmp_path / "t.parquet")

    def test_the_byte_that_is_not_utf_8(self, tmp_path: Path) -> None:
        path = tmp_path / "in.csv"
        path.write_bytes(b"arrival_s\n" + b"1.5\n" * 20_000 + b"\xe9\n")
        with pytest.raises(TraceError, match=r"not UTF-8 text \(byte 80010\); convert it first"):
            import_trace(path, "csv")

    def test_options_of_other_formats(self, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="--map does not apply to format 'xray'; it is for csv"):
            import_trace(tmp_path / "x", "xray", ImportOptions(mapping={"client_ms": "a"}))
        with pytest.raises(
            ParameterError, match="--clients does not apply to format 'csv'; it is for llmperf, llmeter"
        ):
            import_trace(tmp_path / "x", "csv", ImportOptions(clients=2))
        with pytest.raises(ParameterError, match="format 'excel' is not one of report-log"):
            import_trace(tmp_path / "x", "excel")


class TestJsonRecordings:
    def test_llmperf_json(self, tmp_path: Path) -> None:
        row = {
            "error_code": None,
            "ttft_s": 0.5,
            "end_to_end_latency_s": 2.0,
            "number_input_tokens": 9,
            "number_output_tokens": 8,
        }
        failed = {**row, "error_code": 429, "ttft_s": 0, "end_to_end_latency_s": 0, "number_output_tokens": 0}
        odd = {**failed, "error_code": "ReadTimeout"}
        trace = import_trace(write(tmp_path, json.dumps([row, failed, odd, row])), "llmperf")
        assert trace.frame["status"].to_list() == ["ok", "throttled", "error", "ok"]
        assert trace.frame["client_ms"].to_list() == [2000.0, None, None, 2000.0]
        assert trace.frame["arrival_s"].to_list() == [0.0, 2.0, 2.0, 2.0]

    def test_llmeter_json_lines(self, tmp_path: Path) -> None:
        rows = [
            {"response_text": "x", "time_to_first_token": 0.1, "time_to_last_token": 0.4, "num_tokens_input": 5,
             "num_tokens_output": 6, "num_tokens_input_cached": 2,
             "error": None, "request_time": "2026-11-20T12:00:01.5+00:00"},
            {"response_text": None, "time_to_first_token": None, "time_to_last_token": None,
             "error": "ThrottlingException: Too many requests", "request_time": "2026-11-20T12:00:00+00:00"},
        ]  # fmt: skip
        trace = import_trace(
            write(tmp_path, "\n".join(map(json.dumps, rows))), "llmeter", ImportOptions(variant="v", models={"v": "m"})
        )
        assert trace.frame["arrival_s"].to_list() == [0.0, 1.5]
        assert trace.frame["status"].to_list() == ["throttled", "ok"]
        assert trace.frame["client_ms"].to_list() == [None, 400.0]
        assert trace.frame["cache_read_tokens"].to_list() == [None, 2]
        assert trace.metadata.recorded_at == "2026-11-20T12:00:00+00:00"
        assert (trace.variants(), trace.metadata.models) == (["v"], {"v": "m"})

    def test_unicodes_line_ends_within_a_text(self, tmp_path: Path) -> None:
        row = {"response_text": "a\u2028b\x85c", "time_to_first_token": 0.1, "time_to_last_token": 0.4}
        text = f"{json.dumps(row, ensure_ascii=False)}\r\n" * 2
        assert len(import_trace(write(tmp_path, text), "llmeter")) == 2

    def test_mooncake(self, tmp_path: Path) -> None:
        text = (
            '{"timestamp": 0, "input_length": 6755, "output_length": 500, "hash_ids": [0, 1]}\n'
            '{"timestamp": 3052, "input_length": 7234, "output_length": 794, "hash_ids": [0, 28]}\n\n'
        )
        trace = import_trace(write(tmp_path, text), "mooncake")
        assert trace.frame.select("arrival_s", "input_tokens", "output_tokens").rows() == [
            (0.0, 6755, 500),
            (3.052, 7234, 794),
        ]
        assert trace.metadata.recorded_at is None


@given(
    latencies=st.lists(st.none() | st.floats(0.0, 1e4), min_size=1, max_size=60),
    clients=st.integers(1, 8),
)
def test_a_closed_loop_never_has_more_requests_than_clients(latencies: list[float | None], clients: int) -> None:
    starts = closed_loop_arrivals_us(latencies, clients).to_list()
    assert starts == sorted(starts)
    ends = [start + round((latency or 0.0) * 1000) for start, latency in zip(starts, latencies, strict=True)]
    for index, at in enumerate(starts):
        # those sent before it and not answered by then, with itself
        assert sum(end > at for end in ends[:index]) < clients
        # and it was not sent later than it could be
        assert index < clients or at == 0 or at in ends[:index]


class TestCsv:
    def test_names_mappings_and_order(self, tmp_path: Path) -> None:
        text = "ts,elapsed,code,client_ms,Region Name,cold\n5.5,1.5,200,7,us,true\n2,0.25,429,8,eu,False\n"
        mapping = {
            "arrival_s": "ts",
            "client_ms": "elapsed*1000",
            "status": "CASE WHEN code = 429 THEN 'throttled' ELSE 'ok' END",
            "variant": '"Region Name"',
            "attempts": "1 + 1",
            "version": "'7'",
        }
        trace = import_trace(write(tmp_path, text), "csv", ImportOptions(mapping=mapping, memory_mb=512))
        wanted = ("arrival_s", "client_ms", "status", "variant", "attempts", "version", "cold", "memory_mb")
        assert trace.frame.select(wanted).rows() == [
            (2.0, 250.0, "throttled", "eu", 2, "7", False, 512),
            (5.5, 1500.0, "ok", "us", 2, "7", True, 512),
        ]
        assert trace.metadata.recorded_at is None

    @pytest.mark.parametrize("cell", ["2026-11-20T12:00:00Z", "2026-11-20 12:00:00", "1795176000", "1795176000.0"])
    def test_dates_become_seconds_since_the_first(self, tmp_path: Path, cell: str) -> None:
        later = cell.replace("12:00:00", "12:00:02").replace("1795176000", "1795176002")
        trace = import_trace(
            write(tmp_path, f"when\n{later}\n{cell}\n"), "csv", ImportOptions(mapping={"arrival_s": '"when"'})
        )
        assert trace.frame["arrival_s"].to_list() == [0.0, 2.0]
        assert trace.metadata.recorded_at == "2026-11-20T12:00:00+00:00"

    def test_dates_that_sql_reads(self, tmp_path: Path) -> None:
        mapping = {"arrival_s": "STRPTIME(at, '%d/%m/%Y %H:%M')"}
        trace = import_trace(
            write(tmp_path, "at\n20/11/2026 12:01\n20/11/2026 12:00\n"), "csv", ImportOptions(mapping=mapping)
        )
        assert trace.frame["arrival_s"].to_list() == [0.0, 60.0]
        assert trace.metadata.recorded_at == "2026-11-20T12:00:00+00:00"

    def test_empty_cells_are_null(self, tmp_path: Path) -> None:
        trace = import_trace(write(tmp_path, "arrival_s,client_ms\n0,\n1,5\n"), "csv")
        assert trace.frame["client_ms"].to_list() == [None, 5.0]

    @pytest.mark.parametrize("name", ["export[1].csv", "export*.csv"])
    def test_a_name_is_no_pattern(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, "arrival_s\n7\n8\n", "export1.csv")
        assert len(import_trace(write(tmp_path, "arrival_s\n5\n", name), "csv")) == 1

    @pytest.mark.parametrize(
        ("text", "mapping", "message"),
        [
            ("a\n1\n", {}, "no arrival times; map a column (--map arrival_s=...)"),
            ("a\n1\n", {"arrival_s": "b"}, "--map arrival_s=b: no column 'b' in "),
            ("a\n1\n", {"latency": "a"}, "--map latency=a: 'latency' is not a trace column"),
            ("a\n1\n", {"arrival_s": "a *"}, "--map arrival_s=a *: not a SQL expression that fits"),
            ("a\n1\n", {"arrival_s": "__import__('os')"}, "--map arrival_s=__import__('os'): not a SQL expression"),
            ("a\n1\n", {"arrival_s": "(SELECT a FROM b)"}, "not a SQL expression that fits"),
            ("a\n1\n2\nx\n", {"arrival_s": "a"}, "row 3, column 'a': 'x' is not a number"),
            ("a\n1\n2\nx\n", {"arrival_s": "a * 2"}, "row 3, column 'a': 'x' is not a number"),
            ("arrival_s,b\n1,x\n", {"client_ms": "b"}, "--map client_ms=b: gives text such as 'x', not a number"),
            ("arrival_s,b\n1,x\n", {"cold": "b"}, "--map cold=b: gives text such as 'x', not true or false"),
            ("arrival_s,b\n5,1\n1,-2\n", {"client_ms": "b"}, "row 2, column 'client_ms': -2.0 is negative"),
            (
                "arrival_s,b\n5,1\n1,0\n",
                {"client_ms": "1 / b - 1 / b"},
                "row 2, column 'client_ms': nan is not a finite number",
            ),
            (
                "when\nnoon\n",
                {"arrival_s": '"when"'},
                "row 1, --map arrival_s=\"when\": 'noon' is neither a number of seconds nor",
            ),
            ("t\n1795176000123\n", {"arrival_s": "t"}, "1795176000123.0 is no number of seconds since 1970; divide"),
            ("arrival_s,client_ms\n,1\n,2\n", {}, "row 1, column 'arrival_s': None must not be empty"),
            ("a\n1\n", {"arrival_s": "NULL"}, "column 'arrival_s' holds Null, not numbers of seconds or times"),
            ("a\n1\n", {"arrival_s": "ARRAY[1, 2]"}, "column 'arrival_s' holds List(Int64), not numbers"),
            ("arrival_s,status\n1,fine\n", {}, "row 1, column 'status': 'fine' is not one of ok"),
        ],
    )
    def test_bad(self, tmp_path: Path, text: str, mapping: dict[str, str], message: str) -> None:
        with pytest.raises(SimulatorError) as caught:
            import_trace(write(tmp_path, text), "csv", ImportOptions(mapping=mapping))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
