"""Compiled code is kept for the next process, never goes stale, and does without a folder to keep it in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.engine.compiled import jit, kernel
from simulator.engine.compiled.warm import is_warm, warm

PROJECT = Path(__file__).parents[4]
TELL = "from simulator.engine.compiled import jit; print(jit.FINGERPRINT)"


def test_an_entry_carries_the_fingerprint_of_the_package() -> None:
    def forgetful(number: int) -> int:
        return number

    with pytest.raises(TypeError, match="does not use the fingerprint"):
        jit.entry(forgetful)


def test_any_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "simulator", tmp_path / "simulator", ignore=shutil.ignore_patterns("__pycache__"))
    told = [_run(TELL, tmp_path)]
    with (tmp_path / "simulator/engine/compiled/buckets.py").open("a") as file:
        file.write("# Another line.\n")
    told.append(_run(TELL, tmp_path))
    assert told[0] == jit.FINGERPRINT
    assert told[1] != told[0]


def test_it_is_kept_beside_its_source() -> None:
    warm()
    folder = kernel.advance.stats.cache_path  # type: ignore[attr-defined]
    assert is_warm()
    assert list(Path(folder).glob("kernel._build.locals.advance-*.nbc"))


def test_without_a_folder_to_write_to_it_is_compiled_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_folder(*_: object, **options: object) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("compiled", function)

    monkeypatch.setattr(jit.numba, "njit", no_folder)
    fingerprint = "some"

    def entry(number: int) -> str:
        return fingerprint * number

    assert jit.entry(entry) == ("compiled", entry)


def _run(code: str, folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, check=True)
    return run.stdout.decode().strip()
