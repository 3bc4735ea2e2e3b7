"""A sweep's results on disk: one line a scenario, whole or absent, so that a killed sweep goes on where it was.

A run's folder is named by a hash of everything that the results depend on. ``inputs.json`` says what that was;
``results.jsonl`` gets the scenarios' lines as they are done, each batch synchronised before it counts. A line that a
kill cut off is cut away when the folder is opened again. A lock keeps a second sweep out.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from simulator.errors import ParameterError
from simulator.files import write_text
from simulator.trace import Trace

FORMAT: Final = 1
"""Part of every key: rises whenever the same inputs come to other results or other fields."""
_RESULTS: Final = "results.jsonl"
_INPUTS: Final = "inputs.json"


def digest_of_trace(trace: Trace) -> str:
    """Give a hash of a trace's rows and metadata."""
    content = io.BytesIO()
    trace.frame.rechunk().write_ipc(content, compression="uncompressed")
    return hashlib.sha256(content.getvalue() + repr(trace.metadata).encode()).hexdigest()


def key_of(inputs: Mapping[str, Any]) -> str:
    """Give the name of a run with ``inputs`` (JSON types): the beginning of a hash of them."""
    text = json.dumps({"format": FORMAT, **inputs}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """The folder of one run, opened; see the module's text.

    Parameters
    ----------
    folder
        Where it is.
    done
        Scenario's index → what was written for it.
    """

    def __init__(self, folder: Path, results: IO[bytes], done: dict[int, dict[str, Any]]) -> None:
        self.folder = folder
        self.done = done
        self._results = results

    def write(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Add results, each with its ``scenario``; they count once this returns."""
        lines = list(results)
        text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)
        self._results.write(text.encode())
        self._results.flush()
        os.fsync(self._results.fileno())
        for one in lines:
            self.done[int(one["scenario"])] = dict(one)


@contextmanager
def opened(folder: Path, inputs: Mapping[str, Any], *, fresh: bool = False) -> Iterator[Journal]:
    """Open the run in ``folder``, or begin it.

    Parameters
    ----------
    folder
        Made where it is missing.
    inputs
        What the results depend on, as JSON types; written down for a reader.
    fresh
        Forget what is there.

    Raises
    ------
    ParameterError
        Another sweep is at work there, it holds another run, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        results = (folder / _RESULTS).open("a+b")
    except OSError as error:
        raise ParameterError(f"{folder}: cannot keep the sweep there ({error.strerror}); choose --run-dir") from error
    with results:
        try:
            fcntl.flock(results, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ParameterError(
                f"{folder}: another sweep is at work there; wait for it, or choose --run-dir"
            ) from error
        if fresh:
            results.truncate(0)  # before the inputs change: a kill between the two must not pair old results with new
        _check_inputs(folder, inputs, fresh=fresh)
        yield Journal(folder, results, _read(results, folder))


def _check_inputs(folder: Path, inputs: Mapping[str, Any], *, fresh: bool) -> None:
    written = folder / _INPUTS
    if written.exists() and not fresh:
        try:
            known = key_of(json.loads(written.read_text(encoding="utf-8")))
        except (ValueError, UnicodeDecodeError):
            known = ""
        if known != key_of(inputs):
            raise ParameterError(f"{folder} holds a sweep of other inputs ({_INPUTS}); choose --run-dir, or --fresh")
        return
    write_text(written, json.dumps(dict(inputs), indent=2, ensure_ascii=False) + "\n")


def _read(results: IO[bytes], folder: Path) -> dict[int, dict[str, Any]]:
    results.seek(0)
    content = results.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        results.truncate(whole)  # a line that a kill cut off
    done: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            one = json.loads(line)
            done[int(one["scenario"])] = one
        except (ValueError, KeyError, TypeError) as error:
            raise ParameterError(
                f"{folder / _RESULTS}: line {number} is no result of a sweep; begin anew with --fresh"
            ) from error
    return done
