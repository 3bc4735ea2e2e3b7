"""A journal in a folder: one JSON line after the other, on disk before it counts.

Several processes of one machine may use it at once: each access holds the folder's lock. A line that was cut short by a
crash was never acknowledged, and is cut off by the next writer.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, TypeVar

from replay.canary.errors import JournalDownError, LeaseHeldError, LeaseLostError
from replay.canary.journal.memory import held_message, lost_message, taken_message
from replay.canary.journal.model import Command, Lease, Line
from simulator.files import write_text

_TAIL_BYTES: Final = 16_384
"""Read at a time from a file's end: a line of a journal is some kilobytes at most, a long rollout's file a hundred
megabytes."""

_Kept = TypeVar("_Kept", Line, Lease, Command)


class FileJournal:
    """See :class:`replay.canary.journal.model.Journal`.

    Parameters
    ----------
    folder
        Made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def acquire(self, holder: str, ttl_s: float, now_s: float) -> Lease:
        """Take the lease."""
        with self._locked():
            last = self._read_lease()
            if last is not None and last.until_s > now_s and last.holder != holder:
                raise LeaseHeldError(held_message(last, now_s))
            lease = Lease(holder, (last.token if last else 0) + 1, now_s + ttl_s)
            self._write_lease(lease)
            return lease

    def renew(self, lease: Lease, ttl_s: float, now_s: float) -> Lease:
        """Extend the lease."""
        with self._locked():
            self._check(lease)
            renewed = replace(lease, until_s=now_s + ttl_s)
            self._write_lease(renewed)
            return renewed

    def release(self, lease: Lease) -> None:
        """Give the lease back: it stays, expired, so that tokens keep growing."""
        with self._locked():
            last = self._read_lease()
            if last is not None and last.token == lease.token:
                self._write_lease(replace(last, until_s=0.0))

    def holder(self, now_s: float) -> Lease | None:
        """Give the lease that is held now."""
        with self._locked():
            last = self._read_lease()
        return last if last is not None and last.until_s > now_s else None

    def append(self, lease: Lease, line: Line) -> None:
        """Write a line, and wait until the disk has it."""
        with self._locked():
            self._check(lease)
            path = self._path(line.rollout_id)
            data = (json.dumps(asdict(line), separators=(",", ":")) + "\n").encode()
            kept = self._last_line(path)
            if kept is not None and kept == data:
                # Written before, by this controller: only the answer was lost.
                return
            if line.number != (0 if kept is None else _read(Line, kept, path, line.number - 1).number + 1):
                raise LeaseLostError(taken_message(line))
            with path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def lines(self, rollout_id: str, *, looks: bool = True) -> Sequence[Line]:
        """Give a rollout's lines in order."""
        with self._locked():
            raw = self._whole_lines(self._path(rollout_id))
        found = [_read(Line, text, self._path(rollout_id), index) for index, text in enumerate(raw)]
        return [line for line in found if looks or line.kind != "look"]

    def rollouts(self) -> Sequence[str]:
        """Give the ids of all rollouts: those that have a first line."""
        with self._locked():
            begun = [path for path in self._folder.glob("*.jsonl") if self._last_line(path) is not None]
        return sorted(path.name.removesuffix(".jsonl") for path in begun)

    def post(self, rollout_id: str, command: Command) -> None:
        """Leave a command."""
        path = self._folder / f"{rollout_id}.commands"
        with self._locked():
            self._last_line(path)
            with path.open("ab") as file:
                file.write((json.dumps(asdict(command)) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())

    def commands(self, rollout_id: str, since_s: float) -> Sequence[Command]:
        """Give the commands left after ``since_s``."""
        path = self._folder / f"{rollout_id}.commands"
        with self._locked():
            raw = self._whole_lines(path)
        found = [_read(Command, text, path, index) for index, text in enumerate(raw)]
        return [command for command in found if command.at_s > since_s]

    # ---- files -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "lock").open("a") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise JournalDownError(f"journal {self._folder}: {error.strerror or error}") from error

    def _path(self, rollout_id: str) -> Path:
        return self._folder / f"{rollout_id}.jsonl"

    def _whole_lines(self, path: Path) -> list[bytes]:
        """Read the acknowledged lines."""
        return [] if self._last_line(path) is None else path.read_bytes().splitlines()

    def _last_line(self, path: Path) -> bytes | None:
        """Read the last acknowledged line from the file's end; None where there is none.

        What follows the last newline was cut short by a crash, and goes.
        """
        if not path.is_file():
            return None
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            tail, start = b"", size
            while start and tail.count(b"\n") < 2:
                start = max(start - _TAIL_BYTES, 0)
                file.seek(start)
                tail = file.read(size - start)
        end = start + tail.rfind(b"\n") + 1
        if end < size:
            with path.open("r+b") as file:
                file.truncate(end)
                os.fsync(file.fileno())
        lines = tail[: end - start].splitlines(keepends=True)
        return lines[-1] if lines else None

    def _read_lease(self) -> Lease | None:
        path = self._folder / "lease.json"
        if not path.is_file():
            return None
        return _read(Lease, path.read_bytes(), path, 0)

    def _write_lease(self, lease: Lease) -> None:
        write_text(self._folder / "lease.json", json.dumps(asdict(lease)) + "\n")

    def _check(self, lease: Lease) -> None:
        last = self._read_lease()
        if last is None or last.token != lease.token:
            raise LeaseLostError(lost_message(lease))


def _read(kind: type[_Kept], text: bytes, path: Path, index: int) -> _Kept:
    try:
        return kind(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise JournalDownError(f"journal {path}: line {index + 1} is damaged; restore the file") from error
