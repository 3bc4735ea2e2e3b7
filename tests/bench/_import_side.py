"""One import in a process of its own: prints seconds and peak resident memory, as JSON, on stdout."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from simulator.importers import import_to_file
from simulator.importers.report_lines import parse_report


def naive(log: Path) -> int:
    """Read the reports line by line, as a script would: the peer."""
    with log.open(encoding="utf-8") as lines:
        return sum(parse_report(line) is not None for line in lines if "REPORT" in line or "platform.report" in line)


def main() -> None:
    """``tailcast LOG OUT`` or ``naive LOG``."""
    who, log = sys.argv[1], Path(sys.argv[2])
    began, used = time.perf_counter(), time.process_time()
    if who == "naive":
        naive(log)
    else:
        import_to_file(log, "report-log", Path(sys.argv[3]))
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - used
    # Not ru_maxrss: that of a forked process begins with what its parent held, here the log that it has just written.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak_mb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024.0
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
