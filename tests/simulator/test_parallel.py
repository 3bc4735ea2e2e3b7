"""Parts done by processes: the same results, whoever does them, and none lost with a worker that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator.errors import ParameterError
from simulator.parallel import InProcess, Processes, Threads, Workers, WorkersError, usable_cores


def times(shared: int, index: int) -> int:
    return shared * index


def once_killed(folder: str, index: int) -> int:
    """Take the worker along, the first time that part 3 is done."""
    mark = Path(folder) / "died"
    if index == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return index * index


def each_second_killed_once(folder: str, index: int) -> int:
    """Kill the process in which each odd part is done first."""
    mark = Path(folder) / str(index)
    if index % 2 and not mark.exists():
        time.sleep(0.5)  # the part before is on its way to the caller
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def always_killed(shared: int, index: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return shared + index


def refused(shared: int, index: int) -> int:
    raise ParameterError(f"part {index} of {shared}")


@pytest.mark.parametrize("workers", [InProcess(), Threads(2), Processes(2)])
def test_every_part_once(workers: Workers) -> None:
    assert dict(workers.map(times, 7, range(5))) == {index: 7 * index for index in range(5)}
    assert list(workers.map(times, 7, [])) == []


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    found = list(Processes(2).map(once_killed, str(tmp_path), range(9)))
    assert (tmp_path / "died").exists()
    assert sorted(found) == [(index, index * index) for index in range(9)]


def test_a_worker_may_be_killed_now_and_then(tmp_path: Path) -> None:
    """Five deaths, more than in a row are stood, with a part done between each two."""
    found = list(Processes(1).map(each_second_killed_once, str(tmp_path), range(10)))
    assert sorted(found) == [(index, index) for index in range(10)]
    assert len(list(tmp_path.iterdir())) == 5


def test_workers_that_keep_dying_are_an_error_of_one_line() -> None:
    with pytest.raises(WorkersError, match="died 4 times in a row, 2 parts undone"):
        list(Processes(1).map(always_killed, 0, range(2)))


def test_an_error_of_a_part_is_the_callers() -> None:
    with pytest.raises(ParameterError, match=r"part \d of 5"):
        list(Processes(1).map(refused, 5, range(3)))
    with pytest.raises(ParameterError, match="must be 1 or more"):
        Processes(0)


PROGRAM = """
import os, sys, time
from simulator.parallel import Processes
from tests.simulator.test_parallel import slow
if __name__ == "__main__":
    list(Processes(2).map(slow, sys.argv[1], range(4)))
"""


def slow(folder: str, index: int) -> int:
    (Path(folder) / f"{os.getpid()}").touch()
    time.sleep(60.0)
    return index


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    seen = tmp_path / "seen"
    seen.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, str(program), str(seen)], env=environment) as parent:
        _until(lambda: len(list(seen.iterdir())) == 2)
        parent.kill()
    workers = [int(path.name) for path in seen.iterdir()]
    # Far less than the minute that their parts take.
    _until(lambda: not any(_alive(worker) for worker in workers), deadline_s=40.0)


def _until(true, deadline_s: float = 100.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_there_is_a_core() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
