"""All cases, some side by side, each in a process of its own; what is done stays done when a study is begun again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from replay.demo.results import write_json
from replay.errors import CloudError, InputError
from replay.package import Package
from replay.validate.cases import Case
from replay.validate.experiment import Pace
from replay.validate.worker import RESULT

MOST_TRIES: Final = 3
CASE_DEADLINE_S: Final = 240.0
STOP_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.2


class Watcher(Protocol):
    """Told how a study goes."""

    def began(self, case: str, tried: int) -> None:
        """Hear that a case begins, for the ``tried``-th time (from 1)."""
        ...

    def said(self, case: str, text: str) -> None:
        """Hear what a case is doing."""
        ...

    def ended(self, case: str, document: dict[str, Any]) -> None:
        """Hear how a case ended: where it does not count, ``busy`` or ``failed`` in ``document`` says why."""
        ...


@dataclass(frozen=True)
class Study:
    """What is tried, from which seed.

    Parameters
    ----------
    cases
        In the order in which they run.
    folder
        One folder a case, and in it one a try; ``case.json`` holds the last try's result and the tries before.
    package
        The inference function's package.
    seed
        Each case and each try draws from another one that follows from it.
    side_by_side
        How many run at a time.
    most_tries
        A case that the machine was too busy for, or that failed, is repeated until it has been tried this often.
    pace
        How long a case takes.
    """

    cases: tuple[Case, ...]
    folder: Path
    package: Package
    seed: int = 0
    side_by_side: int = 2
    most_tries: int = MOST_TRIES
    pace: Pace = field(default_factory=Pace)

    def run(self, watcher: Watcher) -> list[dict[str, Any]]:
        """Run what is not done yet; give one document a case, in order.

        Raises
        ------
        InputError
            The folder holds a study of another seed or pace.
        KeyboardInterrupt
            Interrupted; the processes have ended and what was done stays.
        """
        self._claim()
        waiting = [case for case in self.cases if self._done(case) is None]
        running: list[_Running] = []
        # Evenly apart, so that the burst of one falls into the quiet of another.
        apart_s = _typical_s(self.pace) / self.side_by_side
        next_s = time.monotonic()
        try:
            while waiting or running:
                if waiting and len(running) < self.side_by_side and time.monotonic() >= next_s:
                    running.append(self._start(waiting.pop(0), watcher))
                    next_s = time.monotonic() + apart_s if self.side_by_side > 1 else next_s
                time.sleep(_POLL_S)
                for one in [each for each in running if each.has_ended()]:
                    running.remove(one)
                    if self._keep(one, watcher):
                        waiting.insert(0, one.case)
        finally:
            for one in running:
                one.stop()
        return [document for case in self.cases if (document := self._done(case)) is not None]

    def _claim(self) -> None:
        """Write down, or check, what the folder's study is."""
        ours = {"seed": self.seed, "pace": asdict(self.pace)}
        path = self.folder / "study.json"
        if not path.exists():
            write_json(path, ours)
            return
        theirs = _read(path)
        if theirs != ours:
            raise InputError(
                f"--run-dir {self.folder}: holds a study with {theirs}, not {ours}; "
                "name another folder, or give the same seed"
            )

    def _path(self, case: Case) -> Path:
        return self.folder / _slug(case.name)

    def _done(self, case: Case) -> dict[str, Any] | None:
        path = self._path(case) / "case.json"
        if not path.exists():
            return None
        document = _read(path)
        return None if self._again(document) else document

    def _tries(self, case: Case) -> list[dict[str, Any]]:
        path = self._path(case) / "case.json"
        return list(_read(path)["tries"]) if path.exists() else []

    def _again(self, document: dict[str, Any]) -> bool:
        last = document["tries"][-1]
        return (last["busy"] is not None or last["failed"] is not None) and len(document["tries"]) < self.most_tries

    def _start(self, case: Case, watcher: Watcher) -> _Running:
        tried = len(self._tries(case)) + 1
        folder = self._path(case) / f"try-{tried}"
        # What a killed try left behind is nobody's.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # Far enough apart that no two cases or tries of two studies share a seed.
        seed = 1_000_000 * self.seed + 100 * (_index(self.cases, case) + 1) + tried
        task = {
            "case": case.to_json(),
            "folder": str(folder),
            "seed": seed,
            "pace": asdict(self.pace),
            "package": {**asdict(self.package), "path": str(self.package.path)},
        }
        watcher.began(case.name, tried)
        return _Running(case, folder, seed, task, lambda text: watcher.said(case.name, text))

    def _keep(self, one: _Running, watcher: Watcher) -> bool:
        """Write a try down; True where it has to be repeated."""
        result = one.result()
        tries = [*self._tries(one.case), result]
        document = {"case": one.case.name, "family": one.case.family, "tries": tries}
        write_json(self._path(one.case) / "case.json", document)
        shutil.rmtree(one.folder / "cloud", ignore_errors=True)
        watcher.ended(one.case.name, result)
        return self._again(document)


def _typical_s(pace: Pace) -> float:
    """Give how long a case takes, about: its recordings, the gap, and as much again as the baseline's for the load."""
    return 2.0 * pace.baseline_s + pace.candidate_s + pace.gap_s


class _Running:
    """A case's process."""

    def __init__(self, case: Case, folder: Path, seed: int, task: dict[str, Any], said: Callable[[str], None]) -> None:
        self.case = case
        self.folder = folder
        self.seed = seed
        self._said = said
        self._last = ""
        self._deadline = time.monotonic() + CASE_DEADLINE_S
        self._overdue = False
        with (folder / "worker.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "replay.validate.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # A Ctrl-C in the terminal belongs to the study, which then ends its cases in order.
                start_new_session=True,
            )
        assert self._process.stdin is not None  # noqa: S101  (a pipe was asked for)
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def has_ended(self) -> bool:
        """Say whether the process has; one that takes far too long is ended."""
        if self._process.poll() is None and time.monotonic() > self._deadline:
            self._overdue = True
            self.stop()
        return self._process.poll() is not None

    def result(self) -> dict[str, Any]:
        """Give what it wrote, or why there is nothing."""
        self._reader.join(STOP_DEADLINE_S)
        self._close()
        path = self.folder / RESULT
        if self._process.returncode == 0 and path.exists():
            return {**_read(path), "failed": None}
        why = f"not done after {CASE_DEADLINE_S:g} s" if self._overdue else self._last
        code = self._process.returncode
        return {"case": self.case.name, "seed": self.seed, "busy": None, "failed": f"exit code {code}: {why}"}

    def stop(self) -> None:
        """End it in order, or by force."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_DEADLINE_S)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join(STOP_DEADLINE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  (for the type checker)
        for line in self._process.stdout:
            self._last = line.strip()
            self._said(self._last)


def _index(cases: Sequence[Case], case: Case) -> int:
    from replay.validate.cases import CASES

    # By its place among all cases, so that --only changes no seed.
    names = [one.name for one in CASES]
    return names.index(case.name) if case.name in names else len(names) + list(cases).index(case)


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() or letter == "." else " " for letter in name).split())


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CloudError(f"{path}: not readable ({error}); remove it to run its case again") from error
    return document
