"""``tailcast drive``, ``record`` and ``shift`` as a user runs them, against functions on the local cloud."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from replay.cli import main
from replay.cloud import LocalCloud
from replay.errors import InputError
from replay.testing import TraceReplayer
from replay.timespan import parse_time
from simulator.trace import TraceMetadata, make_trace, read_trace, write_trace

SOURCE = """
import json, os, time

COLD = True

def handle(event, context):
    global COLD
    started = time.perf_counter()
    time.sleep(0.02)
    record = {
        "tailcast": "inference", "request_id": context.aws_request_id, "variant": "baseline",
        "version": context.function_version, "cold": COLD,
        "initialization_type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "inference_ms": (time.perf_counter() - started) * 1e3, "input_tokens": len(event["prompt"]), "status": "ok",
    }
    COLD = False
    print(json.dumps(record))
    return {"statusCode": 200, "body": "{}"}
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def function(new_function: Callable[[str], str]) -> str:
    return new_function(SOURCE)


@pytest.mark.usefixtures("in_local_cloud")
def test_drive_then_record_then_shift(function: str, tmp_path: Path) -> None:
    seen, joined = tmp_path / "seen.parquet", tmp_path / "joined.parquet"
    driven = run("drive", f"lambda:{function}:live", "--rate", "20", "--duration", "2", "--out", seen, "--json")
    assert driven.exit_code == 0, driven.output
    told = json.loads(driven.stdout)
    assert told["status"] == {"ok": told["measured"]}
    assert told["lateness_ms"]["p99"] >= 0.0

    recorded = run("record", "--function", function, "--client", seen, "--out", joined, "--settle", "1", "--json")
    assert recorded.exit_code == 0, recorded.output
    counts = json.loads(recorded.stdout)
    assert counts["joined"] == counts["invocations"] == told["measured"]
    assert counts["client"] == {"matched": told["measured"], "client_only": 0, "logs_only": 0}
    assert counts["settled"]
    frame = read_trace(joined).frame
    assert frame["arrival_s"].to_list() == read_trace(seen).frame["arrival_s"].to_list()
    assert (frame["client_ms"] > frame["duration_ms"]).all()
    assert (frame["duration_ms"] > frame["inference_ms"]).all()
    assert frame["cold"].sum() >= 1
    assert frame.filter("cold")["init_ms"].null_count() == 0
    assert frame["version"].unique().to_list() == ["1"]

    moved = run("shift", "--function", function, "--weight", "10%", "--to-version", "1")
    assert moved.exit_code == 2
    assert moved.stderr == f"error: alias {function}:live: baseline and 1 are both version 1; nothing to shift\n"


@pytest.mark.usefixtures("in_local_cloud")
def test_recording_a_stretch_of_time_by_itself(function: str, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    assert (
        run(
            "drive", f"lambda:{function}", "--rate", "20", "--duration", "1", "--out", tmp_path / "seen.parquet"
        ).exit_code
        == 0
    )
    recorded = run("record", "--function", function, "--start", "-1m", "--out", out, "--settle", "1")
    assert recorded.exit_code == 0, recorded.output
    assert "with REPORT and the function's own record" in recorded.stdout
    trace = read_trace(out)
    assert trace.metadata.function == function
    assert trace.frame["client_ms"].null_count() == len(trace)


@pytest.mark.usefixtures("in_local_cloud")
def test_a_recording_with_a_client_ends_with_it_whatever_its_start(function: str, tmp_path: Path) -> None:
    """What came an hour after the client's last request is not of its drive, and is not read."""
    seen, out = tmp_path / "seen.parquet", tmp_path / "a.parquet"
    driven = run("drive", f"lambda:{function}:live", "--rate", "20", "--duration", "1", "--out", seen)
    assert driven.exit_code == 0, driven.output
    trace = read_trace(seen)
    assert trace.metadata.recorded_at is not None
    began = datetime.fromisoformat(trace.metadata.recorded_at)
    earlier = replace(trace.metadata, recorded_at=(began - timedelta(hours=1)).isoformat())
    write_trace(make_trace(trace.frame, earlier), seen)
    recorded = run("record", "--function", function, "--client", seen, "--start", "-2h", "--out", out, "--settle", "0")
    assert recorded.exit_code == 4, recorded.output
    assert "no invocation between" in recorded.stderr


def test_a_client_that_does_not_say_when_it_began_is_one_line(tmp_path: Path) -> None:
    seen, out = tmp_path / "seen.parquet", tmp_path / "a.parquet"
    write_trace(make_trace(pl.DataFrame({"arrival_s": [0.0]}), TraceMetadata(recorded_at="yesterday")), seen)
    done = run("record", "--function", "f", "--client", seen, "--out", out)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "recorded_at is 'yesterday'" in done.stderr


@pytest.mark.usefixtures("in_local_cloud")
def test_shifting(function: str, in_local_cloud: LocalCloud) -> None:
    client = in_local_cloud.client("lambda")
    client.update_function_configuration(FunctionName=function, Environment={"Variables": {"A": "B"}})
    client.publish_version(FunctionName=function)
    client.create_alias(FunctionName=function, Name="optimized", FunctionVersion="2")
    moved = run("shift", "--function", function, "--weight", "10%")
    assert moved.exit_code == 0, moved.output
    assert moved.stdout == f"{function}:live: version 1 90.0%, version 2 10.0%\n"
    told = json.loads(run("shift", "--function", function, "--weight", "1", "--json").stdout)
    assert told["after"]["version"] == "2"
    assert told["after"]["additional"] == {}


@pytest.mark.usefixtures("in_local_cloud")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["shift", "--function", "f", "--weight", "1.5"], 2, "weight '1.5' is outside 0 to 1 (0% to 100%)"),
        (["shift", "--function", "none", "--weight", "5%"], 2, "function 'none' does not exist here"),
        (["record", "--function", "none", "--start", "-5m", "--out", "OUT"], 2, "function 'none' does not exist here"),
        (["record", "--function", "f", "--out", "OUT"], 2, "give --start, or --client"),
        (["record", "--function", "f", "--start", "noon", "--out", "OUT"], 2, "time 'noon' cannot be read"),
        (
            ["record", "--function", "f", "--start", "-5m", "--variant", "x", "--log-group", "g", "--out", "OUT"],
            2,
            "VERSION=NAME",
        ),
        (
            ["record", "--function", "f", "--start", "-5m", "--log-group", "none", "--out", "OUT"],
            2,
            "log group 'none' does not",
        ),
        (
            ["record", "--function", "f", "--client", "none.parquet", "--out", "OUT"],
            2,
            "none.parquet: no such trace file",
        ),
        (["drive", "lambda:", "--rate", "1", "--duration", "1", "--out", "OUT"], 2, "target 'lambda:'"),
        (["drive", "http://127.0.0.1:1/", "--rate", "1", "--out", "OUT"], 2, "give --rate and --duration"),
        (["drive", "http://127.0.0.1:1/", "--rate", "-1", "--duration", "1", "--out", "OUT"], 2, "rate_rps=-1.0"),
        (["drive", "http://127.0.0.1:1/", "--rate", "9", "--duration", "2", "--out", "OUT"], 4, "is it up?"),
        (["drive", "http://127.0.0.1:1/", "--arrivals", "none.parquet", "--out", "OUT"], 2, "no such trace file"),
        (
            ["drive", "http://127.0.0.1:1/", "--arrivals", "x", "--rate", "1", "--out", "OUT"],
            2,
            "--arrivals brings its own times",
        ),
        (
            ["drive", "http://127.0.0.1:1/", "--rate", "1", "--duration", "9", "--prompts", "none.txt", "--out", "OUT"],
            2,
            "none.txt: no such prompt file",
        ),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done = run(*[str(out) if argument == "OUT" else argument for argument in arguments])
    assert done.exit_code == code, done.output
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("out", "why"), [("", "is a folder"), ("file/seen.parquet", "cannot be written")])
def test_a_place_that_would_lose_the_trace_is_refused_before_the_load(out: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ["drive", "http://127.0.0.1:1/", "--rate", "9", "--duration", "2"]
    done = run(*arguments, "--out", tmp_path / out)
    # Nobody listens there: had it been asked, the exit code would be 4.
    assert done.exit_code == 2, done.output
    assert why in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_seed_below_0_is_bad_usage(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done = run("drive", "http://127.0.0.1:1/", "--rate", "9", "--duration", "2", "--seed", "-1", "--out", out)
    assert done.exit_code == 2, done.output
    assert "--seed" in done.stderr


def test_memory_that_runs_out_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 247. MiB")

    trace = tmp_path / "t.parquet"
    write_trace(make_trace(pl.DataFrame({"arrival_s": [0.0], "duration_ms": [1.0]})), trace)
    # Where the memory would run out: the commands that read traces may be imported already, or not.
    monkeypatch.setattr(pl, "read_parquet", too_large)
    done = CliRunner().invoke(main, ["trace", "show", str(trace)])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "out of memory (Unable to allocate 247. MiB)" in done.stderr


def test_ctrl_c_keeps_what_was_measured(function: str, in_local_cloud: LocalCloud, tmp_path: Path) -> None:
    out = tmp_path / "seen.parquet"
    command = [sys.executable, "-c", "from replay.cli import main; main()", "drive", f"lambda:{function}:live"]
    driver = subprocess.Popen(
        [*command, "--rate", "20", "--duration", "60", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # Not after so many seconds: a busy machine takes as long to begin.
        _wait_for_answers(in_local_cloud, function, at_least=10, within_s=60.0)
        driver.send_signal(signal.SIGINT)
        _, told = driver.communicate(timeout=60)
    finally:
        driver.kill()
    assert driver.returncode == 130, told
    assert "interrupted:" in told
    assert 0 < len(read_trace(out)) < 1000


def _wait_for_answers(cloud: LocalCloud, function: str, *, at_least: int, within_s: float) -> None:
    logs = cloud.client("logs")
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}", filterPattern="REPORT")
            if len(found["events"]) >= at_least:
                return
        time.sleep(0.2)
    pytest.fail(f"{function} has not answered {at_least} requests in {within_s:g} s")


@pytest.mark.alone
@pytest.mark.slo("p50 < 2 s", "error_rate < 5%")
def test_a_recorded_trace_replayed_against_an_alias(
    function: str, local_cloud: LocalCloud, replay_trace: TraceReplayer, tmp_path: Path
) -> None:
    """The plugin on a deployed alias: recorded arrivals, real environments, judged by the marker above."""
    recorded = make_trace(pl.DataFrame({"arrival_s": [number * 0.02 for number in range(60)]}))
    path = write_trace(recorded, tmp_path / "recorded.parquet")
    seen = replay_trace(path, f"lambda:{function}:live", cloud=local_cloud, speed=0.5)
    assert len(seen) == 60
    assert seen.frame["arrival_s"][-1] == pytest.approx(59 * 0.04)
    assert seen.frame["request_id"].null_count() == 0


NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("-90s", NOW - timedelta(seconds=90)),
        ("-1.5h", NOW - timedelta(minutes=90)),
        ("-2d", NOW - timedelta(days=2)),
        ("2026-11-21T10:00:00Z", NOW - timedelta(hours=2)),
        ("2026-11-21 10:00", NOW - timedelta(hours=2)),
        ("2026-11-21T12:00:00+02:00", NOW - timedelta(hours=2)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    assert parse_time(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "15m", "-15", "-15 min", "yesterday", "2026-13-01"])
def test_times_that_cannot_be_read(text: str) -> None:
    with pytest.raises(InputError, match="time"):
        parse_time(text, now=NOW)
