"""What people read of a rollout."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from replay.canary.presets import careful
from replay.canary.start import Prepared
from replay.cli import canary_show
from simulator.figures import Figure


def test_a_latency_above_a_second_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    slow: dict[str, Any] = {"estimate": 1234.4, "low": 1051.0, "high": None, "unit": "ms", "requests": 400}
    few: dict[str, Any] = {"estimate": 0.0042, "low": 0.001, "high": 0.009, "unit": "share", "requests": 400}
    tested: dict[str, Any] = {"e_broken": 0.9, "broken_at": 842.0, "e_kept": None, "kept_at": 20.0}
    document = {
        "rollout": "r", "state": "running", "function": "f", "alias": "live", "baseline": "1", "candidate": "2",
        "step": "10%", "step_elapsed_s": 60.0, "requests": {"baseline": 400, "candidate": 400},
        "objectives": [{"metric": "p99", "candidate": slow, "baseline": few, **tested}],
    }  # fmt: skip
    canary_show.status(document, as_json=False)
    shown = capsys.readouterr().out
    assert "1,234 ms [1,051, ?] n = 400" in shown
    assert "0.42 % [0.1, 0.9] n = 400" in shown

    figures = [Figure("10%", "all", "p99_ms", 12_345.6, 1051.0, 23_456.7, 900)]
    prepared = cast(
        "Prepared", SimpleNamespace(findings=(), expectation=SimpleNamespace(figures=figures), durations=())
    )
    canary_show.preparation(careful(), prepared, as_json=False)
    row = next(line for line in capsys.readouterr().err.splitlines() if "p99_ms" in line)
    assert row.split()[-4:] == ["12,346", "1,051", "–", "23,457"]
