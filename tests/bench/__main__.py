"""Run the project's benchmarks: all of them, or those named on the command line.

A benchmark is a module in this folder with a function ``main() -> None`` that prints a table and writes
``build/bench/NAME.json`` through :func:`tests.bench.report.write_report`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_NOT_BENCHMARKS = {"__init__", "__main__", "report"}


def names() -> list[str]:
    """Name the benchmarks that exist."""
    modules = (path.stem for path in Path(__file__).parent.glob("*.py"))
    return sorted(name for name in modules if name not in _NOT_BENCHMARKS and not name.startswith("_"))


def run(wanted: list[str]) -> int:
    """Run the wanted benchmarks (all where none is named); give the exit code."""
    known = names()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"error: no benchmark {unknown[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in wanted or known:
        print(f"== {name}", flush=True)
        importlib.import_module(f"tests.bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
