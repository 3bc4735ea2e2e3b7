"""``tailcast bench`` as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from replay.bench.records import run_of
from replay.cli import main
from replay.errors import InputError
from tests.replay.bench.conftest import QUICK, RunningStreams


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments], catch_exceptions=False)


def at(streams: RunningStreams) -> tuple[str, ...]:
    return "--endpoint-url", streams.endpoint_url, "--region", "us-east-1"


@pytest.fixture
def folder(streams: RunningStreams, tmp_path: Path) -> Path:
    streams.put({"models": {"quick.model": {**QUICK, "connection_setup_ms": 30}}})
    out = tmp_path / "one"
    done = bench(
        *("run", "quick=quick.model", "--connection", "cold,reused", "--requests", "10", "--concurrency", "4"),
        *("--input-tokens", "60", "--output-tokens", "5", "--out", str(out), *at(streams)),
    )
    assert done.exit_code == 0, done.output
    assert "20 of 20 requests measured" in done.output
    return out


def test_a_run_writes_all_it_found(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"run.json", "measurements.parquet", "measurements.csv", "report.md", "summary.json"} <= names
    assert {
        f"plots/{name}.svg" for name in ("ecdf_ttft", "ecdf_total", "box_ttft", "ttft_by_input", "timeline")
    } <= names
    with (folder / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 21
    assert sum(row["phase"] == "first" for row in rows) == 1
    assert len(rows[-1]["inter_token_ms"].split()) == 4
    text = (folder / "report.md").read_text()
    for heading in ("Time to first token", "Differences in p50", "Where the time to first token goes", "Every request"):
        assert heading in text
    summary = json.loads((folder / "summary.json").read_text())
    cells = {cell["arm"]: cell for cell in summary["cells"]}
    p50 = {arm: cell["metrics"]["ttft_ms"]["quantiles"]["p50"] for arm, cell in cells.items()}
    assert p50["connection=cold"]["value"] >= 20 + 30
    assert p50["connection=reused"]["value"] >= 20
    assert cells["connection=cold"]["metrics"]["ttft_ms"]["quantiles"]["p99"]["needed"] == 368


def test_a_report_is_the_same_again(folder: Path) -> None:
    before = (folder / "report.md").read_bytes()
    done = bench("report", str(folder), "--requests")
    assert done.exit_code == 0, done.output
    assert "Every request" in done.output
    assert (folder / "report.md").read_bytes() == before
    done = bench("report", str(folder), "--json")
    assert json.loads(done.output)["ended"] == "complete"


def test_two_runs_are_compared(streams: RunningStreams, folder: Path, tmp_path: Path) -> None:
    streams.put({"models": {"quick.model": {**QUICK, "ttft_ms": [400, 410], "connection_setup_ms": 30}}})
    later = tmp_path / "two"
    bench(
        *("run", "quick=quick.model", "--connection", "cold,reused", "--requests", "10", "--concurrency", "4"),
        *("--input-tokens", "60", "--output-tokens", "5", "--out", str(later), *at(streams)),
    )
    done = bench("compare", str(folder), str(later), "--json")
    assert done.exit_code == 0, done.output
    for cell in json.loads(done.output)["cells"].values():
        assert cell["p50"]["verdict"] == "slower"
        assert cell["p50"]["difference_ms"] > 100  # 380, less what this machine added to the first run
        assert cell["p99"]["verdict"] == "too few samples"
    assert "↑" in bench("compare", str(folder), str(later)).output
    done = bench("compare", str(folder), str(tmp_path / "nowhere"))
    assert done.exit_code == 2


def test_a_dry_run_sends_nothing(streams: RunningStreams) -> None:
    model = "openai.gpt-oss-20b-1:0"
    done = bench(
        "run", model, "unknown.model", "--connection", "cold,reused", "--requests", "5", "--dry-run", *at(streams)
    )
    assert done.exit_code == 0, done.output
    assert "22 requests: 2 targets × 2 arms × 1 loads × 5, and 2 first ones" in done.output
    assert "no token price is known for unknown.model" in done.output
    assert "nothing was sent" in done.output
    done = bench("run", model, "--requests", "5", "--rate", "2", "--dry-run", "--json", *at(streams))
    expected = json.loads(done.output)
    # 6 requests of 672 tokens in and 40 out at 0.07 and 0.30 USD a million.
    assert expected["expected_usd"] == pytest.approx(6 * (672 * 0.07 + 40 * 0.3) / 1e6)
    assert 0 < expected["span_s"] < 20
    assert streams.service._draws == {}


def test_models_are_listed_with_what_one_must_know(streams: RunningStreams) -> None:
    done = bench("models", "--match", "NOVA-MICRO", "--regions", "us-east-1,us-west-2", "--json", *at(streams)[:2])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.output)
    assert [(each["model_id"], each["region"]) for each in found] == [
        ("amazon.nova-micro-v1:0", "us-east-1"),
        ("us.amazon.nova-micro-v1:0", "us-east-1"),
        ("us.amazon.nova-micro-v1:0", "us-west-2"),
    ]
    assert found[0]["cache_minimum_tokens"] == 1024
    assert found[1]["routes_to"] == ["us-east-1", "us-east-2", "us-west-2"]
    assert found[0]["input_usd_per_million"] == pytest.approx(0.035)
    assert "Nova Micro" in bench("models", *at(streams)[:2]).output
    done = bench("models", "--match", "nothing-like-it", *at(streams)[:2])
    assert done.exit_code == 2
    assert "no model matches 'nothing-like-it'" in done.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("x", "--connection", "warm"), "connection 'warm' is not one of reused, cold"),
        (("x", "--input-tokens", "many"), "--input-tokens: 'many' must be a whole number"),
        (("x", "--concurrency", "0"), "concurrency 0 must be at least 1"),
        (("x", "--rate", "fast"), "--rate requests a second"),
        (("x", "--requests", "0"), "requests 0 must be at least 1"),
        (("x", "--spend-limit", "-1"), "no token price is known for x"),
        (("x", "x"), "two targets have one name"),
        (("x", "--arm", "cold"), "is not KEY=VALUE"),
        (("x", "--arrivals", "missing.parquet"), "missing.parquet"),
        (("x", "--seed", "-1"), "seed -1 must be 0 or more"),
        (("x", "--rate", "5", "--max-in-flight", "0"), "max_in_flight 0 must be at least 1"),
        (("x", "--input-tokens", "²"), "--input-tokens: '²' must be a whole number"),
    ],
)
def test_a_users_mistake_is_one_line(streams: RunningStreams, arguments: tuple[str, ...], why: str) -> None:
    done = bench("run", *arguments, *at(streams))
    assert done.exit_code == 2
    assert why in done.output
    assert done.output.startswith("error: ")
    assert len(done.output.splitlines()) == 1


def test_a_place_that_cannot_be_written_is_said_before_anything_is_paid_for(
    streams: RunningStreams, tmp_path: Path
) -> None:
    streams.put({"models": {"quick.model": QUICK}})
    out = tmp_path / "notes.txt"
    out.write_text("no folder")
    done = bench("run", "quick.model", "--requests", "2", "--out", str(out), *at(streams))
    assert done.exit_code == 2
    assert str(out) in done.output
    assert streams.service._draws == {}


@pytest.mark.parametrize("command", [("run", "x", "--region", "us-east-1"), ("models", "--regions", "us-east-1")])
def test_an_endpoint_that_is_none_is_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "run")) if command[0] == "run" else ()
    done = bench(*command, *out, "--endpoint-url", "localhost")
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].startswith("error: bedrock")
    assert "Invalid endpoint: localhost" in done.output


def test_a_run_in_which_nothing_was_answered_fails_but_is_kept(streams: RunningStreams, tmp_path: Path) -> None:
    out = tmp_path / "none"
    done = bench("run", "no.model", "--requests", "2", "--out", str(out), *at(streams))
    assert done.exit_code == 4
    assert "no request was answered: ValidationException: The provided model identifier is invalid." in done.output
    assert (out / "report.md").exists()
    again = bench("run", "no.model", "--out", str(out), *at(streams))
    assert again.exit_code == 2
    assert "holds a run already" in again.output


def test_ctrl_c_keeps_what_was_measured(streams: RunningStreams, tmp_path: Path) -> None:
    streams.put({"models": {"quick.model": QUICK}})
    out = tmp_path / "run"
    command = [sys.executable, "-c", "from replay.cli import main; main()", "bench", "run", "quick.model"]
    command += ["--requests", "5000", "--concurrency", "4", "--out", str(out), *at(streams)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=os.environ)
    deadline = time.monotonic() + 60
    while streams.service._draws.get("quick.model", 0) < 30:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    run = json.loads((out / "run.json").read_text())
    assert run["ended"] == "interrupted"
    with (out / "measurements.csv").open() as file:
        assert len(list(csv.DictReader(file))) >= 25


def test_a_run_can_be_named_by_its_day(folder: Path, tmp_path: Path) -> None:
    started_at = json.loads((folder / "run.json").read_text())["started_at"]
    assert run_of(started_at[:10], tmp_path) == folder
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text("{}")
    with pytest.raises(InputError, match="1999-01-01: no benchmark run of that day"):
        run_of("1999-01-01", tmp_path)
    assert run_of(str(folder)) == folder


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(
    streams: RunningStreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.bench.live._LINE_EVERY_S", 0.0)
    streams.put({"models": {"quick.model": QUICK}})
    done = CliRunner().invoke(
        main,
        ["bench", "run", "quick.model", "--requests", "3", "--json", "--out", str(tmp_path / "run"), *at(streams)],
    )
    assert done.exit_code == 0
    assert "3 of 4 requests, 0 under way, cost unknown\n" in done.stderr
    assert json.loads(done.stdout)["ended"] == "complete"
