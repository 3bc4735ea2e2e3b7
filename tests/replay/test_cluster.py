"""A cluster of real worker processes: the same results as one process, and none lost with a worker."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from replay.cli import main
from replay.cluster import cluster
from replay.errors import CloudError, InputError
from simulator.trace import write_trace
from tests.simulator.worlds import World

QUICK = ["--replications", "40", "--duration", "6", "--keep-alive", "20", "--rate", "5"]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address=None,
        silence_logs=50,
    ) as local:
        yield local.scheduler_address


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("traces")
    recorded = World().record(2)
    write_trace(recorded.baseline, folder / "baseline.parquet")
    write_trace(recorded.candidate, folder / "candidate.parquet")
    return ["--baseline", str(folder / "baseline.parquet"), "--candidate", str(folder / "candidate.parquet")]


def run(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(main, [*arguments], catch_exceptions=False)
    return found.exit_code, found.stdout, found.stderr


def once_killed(folder: str, index: int) -> tuple[int, int]:
    """Take the worker along, the first time that part 3 is done."""
    mark = Path(folder) / "died"
    if index == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return index * index, os.getpid()


def refused(shared: int, index: int) -> int:
    raise InputError(f"part {index} of {shared}")


def test_a_killed_worker_loses_nothing(scheduler: str, tmp_path: Path) -> None:
    with cluster(scheduler) as workers:
        assert workers.count == 2
        found = dict(workers.map(once_killed, str(tmp_path), range(30)))
    assert (tmp_path / "died").exists()
    assert {index: value for index, (value, _) in found.items()} == {index: index * index for index in range(30)}
    assert os.getpid() not in {worker for _, worker in found.values()}


def test_an_error_of_a_part_is_the_callers(scheduler: str) -> None:
    with cluster(scheduler) as workers, pytest.raises(InputError, match="part 0 of 5"):
        list(workers.map(refused, 5, range(1)))


@pytest.mark.parametrize(
    "command",
    [
        ["sweep", "--weight", "0.2,1", "--pc", "0:1", "--seed", "4"],
        ["forecast", "--weights", "10,100", "--seed", "4", "--burst", "0"],
        ["advise", "--slo", "p99 < 25 s", "--max-pc", "1"],
    ],
    ids=["sweep", "forecast", "advise"],
)
def test_commands_give_the_same_on_a_cluster(
    scheduler: str, traces: list[str], tmp_path: Path, command: list[str]
) -> None:
    def asked(place: str, *how: str) -> dict[str, object]:
        kept = ["--run-dir", str(tmp_path / place)] if command[0] == "sweep" else []
        code, out, told = run(command[0], *traces, *QUICK, *command[1:], *kept, "--json", *how)
        assert code == 0, told
        document: dict[str, object] = json.loads(out)
        document.pop("run", None)
        return document

    assert asked("cluster", "--scheduler", scheduler) == asked("here", "--workers", "1")


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.cluster.CONNECT_DEADLINE_S", 0.5)
    with pytest.raises(CloudError, match="no scheduler answers there"), cluster("tcp://127.0.0.1:9"):
        pass
    with pytest.raises(InputError, match="no scheduler's address"), cluster("nonsense://"):
        pass


def test_workers_of_another_version_are_refused(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.cluster._version", lambda: "9.9")
    with pytest.raises(CloudError, match=r"has tailcast .*, this is 9\.9"), cluster(scheduler):
        pass


def test_without_dask_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, traces: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, out, told = run("sweep", *traces, *QUICK, "--scheduler", "tcp://127.0.0.1:9")
    assert (code, out) == (2, "")
    assert told == "error: --scheduler needs Dask, which is not installed; pip install 'tailcast[cluster]'\n"
