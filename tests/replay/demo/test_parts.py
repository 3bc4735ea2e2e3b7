"""The demo's parts: its plan, what it shows, and what it writes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from replay.demo import STEPS, DemoPlan, DemoResults
from replay.demo.display import LiveDisplay, PlainDisplay, make_display
from replay.demo.results import print_results, summary, widths, write_json
from replay.errors import InputError
from simulator.backtest import Comparison, compare
from simulator.figures import Figure


class TestPlan:
    def test_recordings_are_large_enough_whatever_the_seed(self) -> None:
        for seed in range(50):
            plan = DemoPlan(seed=seed)
            assert plan.draw(plan.baseline_arrivals, 0).size >= 400
            assert plan.draw(plan.candidate_arrivals, 1).size >= 100

    def test_the_burst_is_in_the_middle(self) -> None:
        plan = DemoPlan(rate_rps=100.0)
        arrivals_s = plan.draw(plan.baseline_arrivals, 0)
        per_second = np.histogram(arrivals_s, bins=45, range=(0.0, 45.0))[0]
        assert per_second[20:25].mean() == pytest.approx(300.0, rel=0.2)
        assert per_second[:20].mean() == pytest.approx(100.0, rel=0.1)

    def test_phases_share_no_randomness(self) -> None:
        plan = DemoPlan()
        assert not np.array_equal(plan.draw(plan.steps[0].arrivals, 2)[:5], plan.draw(plan.steps[1].arrivals, 3)[:5])

    def test_steps_are_what_the_forecast_is_asked_for(self) -> None:
        steps = DemoPlan().steps
        assert [(step.label, step.weight) for step in steps] == [("10%", 0.1), ("50%", 0.5), ("100%", 1.0)]
        assert [step.gap_before_s for step in steps] == [20.0, 4.0, 4.0]

    def test_fits_into_the_five_minutes(self) -> None:
        plan = DemoPlan()
        load_s = plan.baseline_s + plan.candidate_s + plan.forecast_gap_s
        load_s += len(plan.weights) * (plan.step_s + plan.step_gap_s)
        assert load_s < 200.0

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"rate_rps": 2.0}, "rate_rps=2 gives about 110 requests to the baseline.*raise --rate"),
            ({"rate_rps": -1.0}, "rate_rps=-1.0 must be above 0"),
            ({"rate_rps": float("nan")}, "rate_rps=nan must be above 0"),
            ({"step_s": 0.0}, "step_s=0.0"),
            ({"step_gap_s": -1.0}, "step_gap_s=-1.0"),
            ({"init": "fast"}, "init='fast' is not one of real, replayed"),
        ],
    )
    def test_refuses(self, changes: dict[str, object], why: str) -> None:
        with pytest.raises(InputError, match=why):
            DemoPlan(**changes)  # type: ignore[arg-type]

    def test_is_written_as_json(self) -> None:
        assert json.loads(json.dumps(DemoPlan().to_json()))["weights"] == [0.1, 0.5, 1.0]


class TestDisplay:
    def test_plain_lines_where_nobody_watches(self) -> None:
        out = io.StringIO()
        display = make_display(STEPS, Console(file=out, width=120))
        assert isinstance(display, PlainDisplay)
        display.start()
        display.begin(0)
        display.detail("often")
        display.end("ready [here]")
        display.begin(1)
        display.fail("failed")
        display.stop()
        text = out.getvalue()
        assert "[1/7] start the local cloud\n      ready [here] (0 s)" in text
        assert "[2/7] deploy" in text
        assert "failed" in text
        assert "often" not in text

    def test_a_terminal_sees_every_step_by_name(self) -> None:
        out = io.StringIO()
        display = make_display(STEPS, Console(file=out, width=120, force_terminal=True))
        assert isinstance(display, LiveDisplay)
        display.start()
        display.begin(0)
        display.end("ready")
        display.begin(1)
        display.fail("failed")
        display.stop()
        display.stop()
        text = out.getvalue()
        assert all(f"{number + 1} {title}" in text for number, title in enumerate(STEPS))
        assert "✓" in text
        assert "✗" in text


def comparison() -> Comparison:
    forecast = [
        Figure("10%", "all", "p50_ms", 600.0, 570.0, 630.0, 270),
        Figure("10%", "all", "p99_ms", 900.0, 850.0, 1000.0, 270, "extrapolated: 368 would settle it"),
        Figure("10%", "all", "cold_share", 0.0, 0.0, 0.02, 270),
    ]
    observed = [
        Figure("10%", "all", "p50_ms", 610.0, None, None, 265),
        Figure("10%", "all", "p99_ms", 1200.0, None, None, 265),
        Figure("10%", "all", "cold_share", 0.01, None, None, 265),
    ]
    return compare(forecast, observed)


class TestResults:
    def test_the_table_and_the_summary(self, tmp_path: Path) -> None:
        out = io.StringIO()
        results = DemoResults(tmp_path, comparison(), {}, ("10%: something to know",))
        print_results(results, Console(file=out, width=140))
        text = out.getvalue()
        assert "p50 (ms)" in text
        assert "570 – 630" in text
        assert "900*" in text
        assert "2 of 3 observed figures lie inside their 95% intervals (67%)" in text
        assert "p50 ±5%" in text
        assert "cold share ±1 points" in text
        assert "something to know" in text
        assert str(tmp_path) in text.replace("\n", "")

    def test_widths_are_relative_except_for_shares(self) -> None:
        assert widths(comparison()) == pytest.approx({"p50_ms": 0.1, "p99_ms": 1 / 6, "cold_share": 0.02})

    def test_nothing_to_compare_is_said(self) -> None:
        assert summary(compare([], [])) == "no figure could be compared"

    def test_json_comes_with_the_hash_of_its_bytes(self, tmp_path: Path) -> None:
        import hashlib

        sha256 = write_json(tmp_path / "x.json", {"a": 1.5})
        assert hashlib.sha256((tmp_path / "x.json").read_bytes()).hexdigest() == sha256

    def test_json_holds_no_nan(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="Out of range float"):
            write_json(tmp_path / "x.json", {"a": float("nan")})
        assert not (tmp_path / "x.json").exists()
