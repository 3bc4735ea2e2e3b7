"""The running figures, as a terminal shows them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from replay.bench.arms import Arm
from replay.bench.benchmark import Benchmark, expect
from replay.bench.live import shown
from replay.bench.runner import Progress
from replay.bench.targets import Target
from tests.replay.bench.test_summary import make_run


def test_a_terminal_shows_what_was_measured_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system=None, width=100, legacy_windows=False)
    monkeypatch.setattr("replay.bench.live.Console", lambda **_: console)
    monkeypatch.setattr("replay.bench.live._EVERY_S", 0.0)
    benchmark = Benchmark(targets=(Target("openai.gpt-oss-20b-1:0", "us-east-1"),), arms=(Arm(),), spend_limit_usd=2.0)
    measurements = [m for m in make_run(4).measurements if m.load == "10/s"]
    with shown(benchmark, expect(benchmark)) as on_progress:
        on_progress(Progress(64, 32, 3, 0.25, measurements))
    lines = [line.strip() for line in screen.getvalue().splitlines()]
    assert any("32 of 64 requests, 3 under way, 0.2500 of 2 USD" in line for line in lines)
    (heads, *_) = [line for line in lines if line.startswith("cell")]  # on a line of its own, below the bar
    assert heads.split()[-3:] == ["total", "p50", "ms"]
    (cell, *_) = [line for line in lines if line.startswith("profile · connection=cold")]
    assert cell.split()[-5:-3] == ["4", "0"]
