from __future__ import annotations

from pathlib import Path

import pytest

from simulator import room
from simulator.errors import ParameterError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    4000000 kB\n")
    monkeypatch.setattr(room, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(room, "_CGROUP", tmp_path)
    return tmp_path


def test_what_fits_is_let_through(machine: Path) -> None:
    assert room.free_bytes() == 4_096_000_000
    room.check_room(5_000_000, 1, 2)


def test_what_does_not_fit_is_told_with_the_figures_and_what_to_do(machine: Path) -> None:
    with pytest.raises(ParameterError, match=r"about 32,000,000 requests, 2 at a time.*25\.6 GB.*4\.1 GB.*--duration"):
        room.check_room(32e6, 1, 2)
    with pytest.raises(ParameterError):
        room.check_room(5_000_000, 3, 1)


def test_a_container_may_allow_less(machine: Path) -> None:
    (machine / "memory.max").write_text("1000000000\n")
    (machine / "memory.current").write_text("400000000\n")
    assert room.free_bytes() == 600_000_000
    (machine / "memory.max").write_text("max\n")
    assert room.free_bytes() == 4_096_000_000


def test_where_the_system_does_not_tell_nothing_is_refused(machine: Path) -> None:
    (machine / "meminfo").unlink()
    assert room.free_bytes() is None
    room.check_room(1e15, 9, 9)
