from __future__ import annotations

import pytest

from simulator import lookup, running_sum
from simulator.cli.progress import ready_engine
from simulator.engine.compiled import warm


@pytest.mark.parametrize("compiled", [False, True])
def test_compiling_is_told_once_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], compiled: bool
) -> None:
    done: list[str] = []
    monkeypatch.setattr(warm, "is_warm", lambda: compiled or bool(done))
    # Compiling itself takes ten seconds; that it works is what every test of the engine shows.
    monkeypatch.setattr(warm, "warm", lambda: done.append("engine"))
    monkeypatch.setattr(lookup, "warm", lambda: done.append("lookup"))
    monkeypatch.setattr(running_sum, "warm", lambda: done.append("sum"))
    ready_engine()
    ready_engine()
    out, told = capsys.readouterr()
    assert out == ""
    assert done == ([] if compiled else ["engine", "lookup", "sum"])
    assert told.count("\n") == (0 if compiled else 1)
    assert compiled or "compiling the simulator for this machine" in told
