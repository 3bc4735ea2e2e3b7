"""``tailcast sweep`` as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from replay.cli import main
from simulator.trace import make_trace, write_trace
from tests.simulator.worlds import World

QUICK = ["--replications", "40", "--duration", "6", "--keep-alive", "20", "--rate", "5"]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("traces")
    recorded = World().record(2)
    candidate = recorded.candidate.frame.with_columns(
        pl.lit(1024).alias("memory_mb"), (pl.col("duration_ms") * 0.75).alias("inference_ms")
    )
    write_trace(recorded.baseline, folder / "baseline.parquet")
    write_trace(make_trace(candidate, recorded.candidate.metadata), folder / "candidate.parquet")
    return ["--baseline", str(folder / "baseline.parquet"), "--candidate", str(folder / "candidate.parquet")]


def run(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(main, [*arguments], catch_exceptions=False)
    return found.exit_code, found.stdout, found.stderr


def sweep(traces: list[str], tmp_path: Path, *arguments: str) -> dict[str, Any]:
    code, out, told = run(
        "sweep", *traces, *QUICK, "--run-dir", str(tmp_path / "run"), "--workers", "1", "--json", *arguments
    )
    assert code in (0, 1, 3), told
    document: dict[str, Any] = json.loads(out)
    return document


def test_a_scenario_is_what_the_forecast_says_of_its_settings(traces: list[str], tmp_path: Path) -> None:
    slo = ["--slo", "p95 < 860 ms"]
    found = sweep(traces, tmp_path, "--weight", "20%", "--pc-optimized", "0,2", "--scale", "1,2", *slo)
    assert len(found["scenarios"]) == 4
    row = found["scenarios"][3]
    assert (row["settings"]["scale"], row["settings"]["provisioned_optimized"]) == (2.0, 2)
    settings = ["--weight", "20%", "--scale", "2", "--pc-optimized", "2", "--burst", "0"]
    code, out, _ = run("forecast", *traces, *QUICK, *settings, *slo, "--json")
    assert code in (0, 1, 3)
    forecast = json.loads(out)
    for figure in forecast["figures"]:
        ours = row["figures"][figure["variant"]][figure["metric"]]
        theirs = (figure["estimate"], figure["low"], figure["high"], figure["requests"])
        assert (ours["median"], ours["lo"], ours["hi"], ours["requests"]) == theirs
    assert {figure["variant"] for figure in forecast["figures"]} == set(row["figures"])
    assert row["probability"] == forecast["objectives"][0]["probability"]


def test_the_same_whatever_the_number_of_workers(traces: list[str], tmp_path: Path) -> None:
    axes = ["--weight", "0.1,0.5", "--scale", "1,2", "--seed", "3"]
    alone = sweep(traces, tmp_path / "a", *axes)
    code, out, _ = run("sweep", *traces, *QUICK, "--run-dir", str(tmp_path / "b"), "--workers", "2", "--json", *axes)
    assert code == 0
    assert json.loads(out)["scenarios"] == alone["scenarios"]


def test_scenarios_that_memory_cannot_hold_are_refused_before_the_first(traces: list[str], tmp_path: Path) -> None:
    where = ["--run-dir", str(tmp_path / "run"), "--workers", "1", "--scale", "1,1e6", "--rate", "1e4"]
    code, _, told = run("sweep", *traces, *QUICK, *where)
    assert code == 2
    assert "GB are free" in told
    assert told.count("\n") == 1


def test_memory_shortens_the_own_time_and_raises_the_price(traces: list[str], tmp_path: Path) -> None:
    found = sweep(traces, tmp_path, "--memory", "512,1024,1769,3538")
    p50 = [row["figures"]["optimized"]["p50_ms"]["median"] for row in found["scenarios"]]
    cost = [row["figures"]["optimized"]["cost_usd_per_1000"]["median"] for row in found["scenarios"]]
    assert p50[0] > p50[1] > p50[2] == p50[3]
    assert cost[3] == pytest.approx(2 * cost[2], rel=0.2)
    assert "inverse proportion" in found["notes"][0]


def test_tables_and_a_heat_map(traces: list[str], tmp_path: Path) -> None:
    csv, parquet = tmp_path / "sweep.csv", tmp_path / "deep" / "sweep.parquet"
    code, out, told = run(
        "sweep", *traces, *QUICK, "--run-dir", str(tmp_path / "run"), "--workers", "1",
        "--weight", "10%,100%", "--pc", "0:2",
        "--slo", "p99 < 25 s", "--slo", "p50 < 24 s", "--out", str(csv), "--out", str(parquet),
    )  # fmt: skip
    assert code == 0, told
    for word in (
        "6 scenarios",
        "40 runs each, seed 0",
        "p99 ms",
        "p50 ms",
        "USD / 1,000",
        "pass: 6 of 6",
        "cheapest: weight",
    ):
        assert word in out
    assert "probability of meeting the objectives, %: weight down, pc across" in out
    assert "█  100" in out
    rows = pl.read_parquet(parquet)
    assert rows.shape[0] == pl.read_csv(csv).shape[0] == 6
    assert rows["provisioned_usd_per_hour"].to_list()[:2] == [0.0, rows["provisioned_usd_per_hour"][2] / 2]
    assert (rows["p99_ms_lo"] <= rows["p99_ms"]).all()
    assert rows["replications"].unique().to_list() == [40]


@pytest.mark.parametrize(("objective", "code"), [("p50 < 100 ms", 1), ("p95 < 860 ms", 3)])
def test_the_exit_code_is_the_best_verdict(traces: list[str], tmp_path: Path, objective: str, code: int) -> None:
    arguments = ["--run-dir", str(tmp_path / "run"), "--workers", "1", "--weight", "50%", "--slo", objective]
    found, out, _ = run("sweep", *traces, *QUICK, *arguments)
    assert found == code
    assert "none meets the objectives" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--pc", "x"], "--pc: 'x' is no number"),
        (["--pc", "0:2000"], "provisioned concurrency of"),
        (["--out", "table.txt"], "table.txt: a table is written as .csv or .parquet"),
        (["--memory", "100"], "--memory '100': 100 is outside 128 to 10240"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "--workers and --scheduler exclude each other"),
        (["--pc", "1", "--pc-baseline", "2"], "both set provisioned_baseline"),
    ],
)
def test_mistakes_are_one_line(traces: list[str], tmp_path: Path, arguments: list[str], told: str) -> None:
    code, out, errors = run("sweep", *traces, *QUICK, "--run-dir", str(tmp_path / "run"), *arguments)
    assert (code, out) == (2, "")
    assert told in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "run" / "results.jsonl").exists() or not (tmp_path / "run" / "results.jsonl").read_text()


KILLED = """
import os, signal, sys
from replay.cli import main
from simulator.sweep.journal import Journal

write, written = Journal.write, []

def write_then_die(journal, results):
    write(journal, results)
    written.append(results)
    if len(written) == 2:
        with (journal.folder / "results.jsonl").open("ab") as torn:
            torn.write(b'{"scenario": 5, "settings": {"wei')
        os.kill(os.getpid(), signal.SIGKILL)

Journal.write = write_then_die
main(sys.argv[1:])
"""


def test_a_killed_sweep_goes_on_where_it_was(traces: list[str], tmp_path: Path) -> None:
    axes = ["--scale", "1:3", "--weight", "0.2,1", "--seed", "5"]
    whole = sweep(traces, tmp_path / "whole", *axes)
    folder = tmp_path / "killed"
    results = folder / "results.jsonl"
    command = ["sweep", *traces, *QUICK, "--run-dir", str(folder), "--workers", "1", "--json", *axes]
    killed = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, timeout=300, check=False)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, b"")
    kept = results.read_bytes()[: results.read_bytes().rfind(b"\n") + 1]
    assert kept.count(b"\n") == 4
    code, out, told = run(*command)
    assert code == 0
    assert f"{folder}: 4 of 6 scenarios were done already" in told
    assert results.read_bytes().startswith(kept)
    assert json.loads(out)["scenarios"] == whole["scenarios"]
    # And once more: nothing is left to do.
    assert f"{folder}: 6 of 6 scenarios were done already" in run(*command)[2]
    assert results.read_bytes().count(b"\n") == 6
