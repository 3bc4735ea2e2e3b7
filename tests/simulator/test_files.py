from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from simulator.files import write_text
from simulator.trace import TraceMetadata, make_trace, sink_trace, write_trace

ROWS = make_trace(pl.DataFrame({"arrival_s": np.arange(2000.0), "client_ms": np.random.default_rng(1).random(2000)}))


@contextmanager
def disk_of(most_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "write",
    [
        lambda target: write_text(target, "x" * 20_000),
        lambda target: write_trace(ROWS, target),
        lambda target: sink_trace(ROWS.frame.lazy(), TraceMetadata(), target),
    ],
)
def test_a_disk_without_room_is_told_by_the_file_that_was_to_be_written(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    target = tmp_path / "there"
    target.write_text("old")
    with disk_of(10_000), pytest.raises(OSError, match="File too large") as caught:
        write(target)
    assert caught.value.filename == str(target)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_in_its_place_is_told_by_its_name(tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(target, "text")
    assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_file_is_what_the_users_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        for _ in range(2):  # made, then written over
            write_text(tmp_path / "there", "text")
            assert (tmp_path / "there").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
