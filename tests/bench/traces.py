"""How fast a Lambda log becomes a trace, in how much memory, beside a parser that goes line by line.

``TAILCAST_BENCH_LOG_GB`` sets the size of the large log (1 by default; the target is stated for 5). The CPU figure is
what the process used on all cores: on a machine that others use too, lines per second of wall time say little of it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench._lambda_logs import LogFormat, write_log
from tests.bench.report import Figure, write_report

_SMALL_BYTES = 200_000_000
_RUNS = 3
_FORMS: tuple[LogFormat, ...] = ("text", "json")


def main() -> None:
    """Run the benchmark."""
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="tailcast-bench-") as name:
        folder = Path(name)
        for form in _FORMS:
            log = folder / f"{form}.log"
            requests, lines = write_log(log, form, at_least_bytes=_SMALL_BYTES)
            runs = [_import(log) for _ in range(_RUNS)]
            wall_s = statistics.median(run["wall_s"] for run in runs)
            cpu_s = statistics.median(run["cpu_s"] for run in runs)
            figures[f"{form}: import"] = Figure(lines / wall_s, "lines/s", 1e6, better="higher")
            figures[f"{form}: CPU of both cores"] = Figure(1e6 * cpu_s / lines, "µs/line", 2.0)
            peer = _side("naive", str(log))
            figures[f"{form}: line by line in Python, reports only"] = Figure(lines / peer["wall_s"], "lines/s")
            print(f"{form}: {requests:,} requests, {lines:,} lines, {log.stat().st_size / 1e6:,.0f} MB", flush=True)
            log.unlink()
        gigabytes = float(os.environ.get("TAILCAST_BENCH_LOG_GB", "1"))
        log = folder / "large.log"
        _, lines = write_log(log, "text", at_least_bytes=int(gigabytes * 1e9))
        run = _import(log)
        figures[f"{gigabytes:g} GB log: import"] = Figure(lines / run["wall_s"], "lines/s", 1e6, better="higher")
        figures[f"{gigabytes:g} GB log: peak resident memory"] = Figure(run["peak_mb"], "MB", 1000.0)
    write_report("traces", figures)


def _import(log: Path) -> dict[str, float]:
    out = log.with_suffix(".parquet")
    run = _side("tailcast", str(log), str(out))
    out.unlink()
    return run


def _side(*arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench._import_side", *arguments], check=True, capture_output=True, text=True
    )
    run: dict[str, float] = json.loads(done.stdout)
    return run
