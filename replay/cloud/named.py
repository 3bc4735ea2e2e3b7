"""Local clouds that outlive a command: kept by name, in a file each, so that another command finds and ends them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from replay.cloud.config import CloudConfig
from replay.cloud.launcher import STOP_DEADLINE_S, control, environment, let_go, start_server, stop_process
from replay.errors import InputError, LocalCloudError
from simulator.files import write_text

STATE_DIR: Final = Path(".tailcast/cloud")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}")


@dataclass(frozen=True)
class NamedCloud:
    """A cloud as its state file describes it."""

    name: str
    pid: int
    started: str
    """When the process started, as the system tells it: a later process with the same id has another."""
    endpoint_url: str
    region: str
    log: str

    @property
    def running(self) -> bool:
        """Whether that very process still runs."""
        return process_started(self.pid) == self.started

    def environment(self) -> dict[str, str]:
        """Give the variables that point AWS SDKs, the CLI and Terraform at it."""
        return environment(self.endpoint_url, self.region)


def up(name: str, config: CloudConfig, state_dir: Path = STATE_DIR) -> tuple[NamedCloud, bool]:
    """Start a cloud that outlives this process, unless one of this name runs already.

    Returns
    -------
    cloud, started
        ``started`` is False where it ran already; its settings are then its own, not ``config``.

    Raises
    ------
    InputError
        The name holds other characters than lower-case letters, digits, ``.``, ``_`` and ``-``.
    LocalCloudError
        It did not come up.
    """
    with _locked(name, state_dir):
        known = find(name, state_dir)
        if known is not None and known.running:
            return known, False
        running = start_server(config, config.state_dir or state_dir / name, detached=True)
        try:
            cloud = describe(name, running.process.pid, running.endpoint_url, config.region, running.log)
            write_text(_state_file(name, state_dir), json.dumps(asdict(cloud), indent=2) + "\n")
        except BaseException:
            stop_process(running.process)
            raise
        let_go(running.process)
        return cloud, True


def down(name: str, state_dir: Path = STATE_DIR) -> bool:
    """End a cloud and forget it; give whether it ran. Not an error where it did not."""
    with _locked(name, state_dir):
        cloud = find(name, state_dir)
        if cloud is None:
            return False
        ran = cloud.running
        if ran:
            _end(cloud)
        _state_file(name, state_dir).unlink(missing_ok=True)
        return ran


def find(name: str, state_dir: Path = STATE_DIR) -> NamedCloud | None:
    """Give the cloud of a name, whether it still runs or not; None where there is none."""
    file = _state_file(name, state_dir)
    try:
        return NamedCloud(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: not a state file of a local cloud ({error}); remove it") from error


def everything(state_dir: Path = STATE_DIR) -> list[NamedCloud]:
    """Give all known clouds by name."""
    names = sorted(path.stem for path in state_dir.glob("*.json"))
    return [cloud for name in names if (cloud := find(name, state_dir)) is not None]


def healthy(cloud: NamedCloud) -> bool:
    """Say whether a cloud answers."""
    if not cloud.running:
        return False
    try:
        control(cloud.endpoint_url, "GET", "/_tailcast/health", timeout_s=5.0)
    except LocalCloudError:
        return False
    return True


def describe(name: str, pid: int, endpoint_url: str, region: str, log: Path) -> NamedCloud:
    """Describe a cloud that was just started. Raises LocalCloudError where its process is gone already."""
    started = process_started(pid)
    if started is None:
        raise LocalCloudError(f"local cloud {name!r}: process {pid} ended at once; see {log}")
    return NamedCloud(name, pid, started, endpoint_url, region, str(log.absolute()))


def process_started(pid: int) -> str | None:
    """Give when a process started, in the system's own terms; None where there is none, or only its remains."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name, in brackets, may hold anything; the fields after it are: state, ..., start time (the 22nd).
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    found = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    ).stdout.strip()
    return None if not found or found.startswith("Z") else found.partition(" ")[2].strip()


def _end(cloud: NamedCloud) -> None:
    for number, patience_s in ((signal.SIGTERM, STOP_DEADLINE_S), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.kill(cloud.pid, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            with suppress(ChildProcessError):
                # Where it is a child of this very process, it has to be collected.
                os.waitpid(cloud.pid, os.WNOHANG)
            if not cloud.running:
                return
            time.sleep(0.02)
    raise LocalCloudError(f"local cloud {cloud.name!r}: process {cloud.pid} does not end; see {cloud.log}")


def _state_file(name: str, state_dir: Path) -> Path:
    if not _NAME.fullmatch(name):
        raise InputError(f"cloud name {name!r}: use lower-case letters, digits, '.', '_' and '-', at most 41")
    return state_dir / f"{name}.json"


@contextmanager
def _locked(name: str, state_dir: Path) -> Iterator[None]:
    """Let one command at a time start or end a cloud of this name."""
    lock = _state_file(name, state_dir).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
