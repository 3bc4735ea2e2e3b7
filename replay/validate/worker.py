"""One case in a process of its own, so that one case's forecast does not hold up another one's load.

Reads a JSON document with what to do from its standard input, prints what it is doing line by line, and writes
``result.json`` when it has ended well.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType

from replay.demo.results import write_json
from replay.errors import ReplayError
from replay.package import Package
from replay.validate.cases import Case
from replay.validate.experiment import Pace, run_case
from simulator.errors import SimulatorError

RESULT: str = "result.json"


def main() -> int:
    """Run the case that standard input describes; 0 done, 4 failed (the last line says why), 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    task = json.loads(sys.stdin.readline())
    package = {**task["package"], "path": Path(task["package"]["path"])}
    folder = Path(task["folder"])
    try:
        result = run_case(
            Case.from_json(task["case"]),
            Package(**package),
            folder,
            seed=int(task["seed"]),
            pace=Pace(**task["pace"]),
            said=_said,
        )
    except (ReplayError, SimulatorError, OSError) as error:
        _said(" ".join(str(error).split()) or type(error).__name__)
        return 4
    except KeyboardInterrupt:
        return 130
    write_json(folder / RESULT, result)
    return 0


def _said(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
