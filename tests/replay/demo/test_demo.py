"""The demo itself: once to its end, and ended early in every way, after which nothing is left."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from replay.demo import STEPS, Demo, DemoPlan
from replay.demo.display import PlainDisplay
from simulator.trace import read_trace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

COMMAND = [sys.executable, "-c", "from replay.cli import main; main()", "demo"]


@pytest.mark.slow
@pytest.mark.alone
def test_from_an_empty_cloud_to_a_forecast_held_to_the_facts(project: Path, tmp_path: Path) -> None:
    """The whole path, at a higher rate than by default so that it is shorter."""
    plan = DemoPlan(
        rate_rps=25.0, baseline_s=16.0, burst_s=3.0, candidate_s=8.0, step_s=8.0, forecast_gap_s=12.0, replications=100
    )
    shown = io.StringIO()
    run_dir = tmp_path / "run"
    before = _children()
    results = Demo(plan, project, run_dir, PlainDisplay(STEPS, Console(file=shown, width=150))).run()

    assert [line[:5] for line in shown.getvalue().splitlines() if line.startswith("[")] == [
        f"[{n}/7]" for n in range(1, 8)
    ]
    baseline, candidate = read_trace(run_dir / "baseline.parquet"), read_trace(run_dir / "candidate.parquet")
    assert len(baseline) >= 400
    assert len(candidate) >= 100
    assert baseline.variants() == ["baseline"]
    assert candidate.variants() == ["optimized"]
    assert baseline.metadata.versions["baseline"] != candidate.metadata.versions["optimized"]
    for name in ("duration_ms", "billed_ms", "client_ms", "inference_ms", "input_tokens", "cold", "environment_id"):
        assert baseline.frame[name].null_count() == 0, name
    # The caller cannot have seen less than the function took, INIT included.
    served_ms = baseline.frame["duration_ms"] + baseline.frame["init_ms"].fill_null(0.0)
    assert (baseline.frame["client_ms"] >= served_ms).all()

    shares = [_share(run_dir / f"step-{label}.parquet") for label in ("10", "50", "100")]
    assert 0.0 < shares[0] < 0.25
    assert 0.3 < shares[1] < 0.7
    assert shares[2] == 1.0

    written = json.loads((run_dir / "results.json").read_text())
    foreseen = (run_dir / "forecast.json").read_bytes()
    assert hashlib.sha256(foreseen).hexdigest() == written["forecast"]["sha256"]
    first_request = datetime.fromisoformat(written["phases"]["10%"]["started_at"])
    assert datetime.fromisoformat(json.loads(foreseen)["written_at"]) < first_request
    steps = {(row["step"], row["variant"]) for row in written["comparison"]}
    assert steps == {
        *((step, name) for step in ("10%", "50%") for name in ("all", "baseline", "optimized")),
        ("100%", "all"),
        ("100%", "optimized"),
    }
    assert written["checked"] == len(written["comparison"]) == 40
    # One short run on a shared machine proves no coverage; it would show a forecast that is off.
    assert results.comparison.coverage is not None
    assert results.comparison.coverage > 0.6
    assert written["mean_width"]["p50_ms"] < 0.5
    assert (run_dir / "comparison.svg").read_text().startswith("<svg")
    assert not (run_dir / "work").exists()
    assert _children() <= before


def _share(path: Path) -> float:
    frame = read_trace(path).frame
    return float((frame["variant"] == "optimized").mean())  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "when"),
    [
        (signal.SIGINT, r"\[1/7\]"),
        (signal.SIGINT, r"\[2/7\]"),
        (signal.SIGTERM, r"\[3/7\]"),
    ],
)
def test_interrupted_it_leaves_nothing(project: Path, tmp_path: Path, number: signal.Signals, when: str) -> None:
    with _started(project, tmp_path / "run") as demo:
        shown = demo.wait_for(when)
        time.sleep(2.0)  # into the step
        mine = _descendants(demo.process.pid)
        demo.process.send_signal(number)
        if number is signal.SIGINT:
            time.sleep(0.2)
            demo.process.send_signal(number)  # impatient
        shown += demo.rest()
        assert demo.process.returncode == 130, shown
        assert "everything was torn down" in shown
        assert "Traceback" not in shown
        _assert_gone(mine, shown)
        assert not (tmp_path / "run" / "work").exists()


@pytest.mark.slow
def test_a_failing_step_is_named_with_reason_and_what_to_do(project: Path, tmp_path: Path) -> None:
    """Terraform code that does not parse fails the second step, after the first one started a cloud."""
    copy = tmp_path / "checkout"
    for name in ("terraform", "functions"):
        shutil.copytree(project / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".terraform"))
    (project / "build").mkdir(exist_ok=True)
    (copy / "build").symlink_to(project / "build")  # what was downloaded before need not be again
    with (copy / "terraform" / "environments" / "dev" / "main.tf").open("a") as main:
        main.write("\nnonsense {\n")
    with _started(copy, tmp_path / "run") as demo:
        shown = demo.wait_for(r"\[2/7\]")
        mine = _descendants(demo.process.pid)
        shown += demo.rest()
        assert demo.process.returncode == 4, shown
        last = shown.strip().splitlines()[-1]
        assert last.startswith("error: demo: step 2 of 7 (deploy baseline, then optimized) failed: ")
        assert "terraform init: Unsupported block type" in last
        assert str(tmp_path / "run" / "demo.log") in last
        assert "Traceback" not in shown
        _assert_gone(mine, shown)
        # The logs that messages name stay, and nothing else.
        left = [path.name for path in (tmp_path / "run" / "work").rglob("*") if path.is_file()]
        assert "terraform.log" in left
        assert all(name.endswith(".log") for name in left)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--rate", "1"], "rate_rps=1 gives about 55 requests to the baseline"),
        (["--run-dir", "."], "--run-dir .: not empty"),
        (["--init", "fast"], "'fast' is not one of"),
    ],
)
def test_bad_input_is_one_line(project: Path, arguments: list[str], why: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], cwd=project, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_of_a_checkout(tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "not in a tailcast checkout" in done.stderr


# --- processes ----------------------------------------------------------------------------------------------------


class _Running:
    """A demo in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wait_for(self, pattern: str) -> str:
        """Read its output until a line matches."""
        seen = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            seen += line
            if re.search(pattern, line):
                return seen
        raise AssertionError(f"ended before {pattern}: {seen}")

    def rest(self) -> str:
        """Read what is left, and wait for its end."""
        return self.process.communicate(timeout=90)[1]


class _started:  # noqa: N801  (used as a function)
    def __init__(self, project: Path, run_dir: Path) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "--run-dir", str(run_dir)],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> _Running:
        return _Running(self._process)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


def _stat(pid: int) -> tuple[int, int] | None:
    """Give a process's parent and start time, None where it is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (int(fields[1]), int(fields[19]))


def _all() -> Iterator[tuple[int, int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            yield int(entry.name), *stat


def _descendants(root: int) -> set[tuple[int, int]]:
    """Give (pid, start time) of everything below ``root``."""
    known = list(_all())
    found, grown = {root}, True
    while grown:
        more = {pid for pid, parent, _ in known if parent in found} - found
        grown = bool(more)
        found |= more
    return {(pid, start) for pid, _, start in known if pid in found}


def _children() -> set[tuple[int, int]]:
    return _descendants(os.getpid())


def _assert_gone(processes: set[tuple[int, int]], shown: str) -> None:
    left = {(pid, start) for pid, start in processes if (stat := _stat(pid)) is not None and stat[1] == start}
    assert not left, f"left behind: {left}\n{shown}"
    for address in re.findall(r"http://127\.0\.0\.1:(\d+)", shown):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(address))) != 0
