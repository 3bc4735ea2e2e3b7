"""What a run says: figures, notes, floor, pictures; from measurements whose truth is known."""

from __future__ import annotations

import builtins
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay.bench.across import compare_runs
from replay.bench.arms import Arm
from replay.bench.floor import Part, decompose
from replay.bench.plots import write_plots
from replay.bench.records import Measurement, Run, arm_labels, traces
from replay.bench.report import markdown
from replay.bench.summary import summarise, to_json
from replay.bench.targets import Target

LOADS = ("1 at once", "10/s")
ARMS = arm_labels(
    [
        Arm(connection=connection, cache=cache, input_tokens=tokens)
        for connection, cache, tokens in (
            ("reused", "off", 1000),
            ("cold", "off", 1000),
            ("reused", "read", 1000),
            ("reused", "off", 3000),
        )
    ]
)
TARGETS = (Target("us.amazon.nova-x", "us-east-1", "profile"), Target("amazon.nova-x", "us-east-1", "regional"))


def make_run(n: int = 60, **changes: Any) -> Run:
    """TTFT = 200 + 0.1 a token, + 50 through the profile, + 110 cold, - 80 cached, + 40 at the higher load."""
    rng = np.random.default_rng(4)
    rows = []
    for target in TARGETS:
        for label, arm in ARMS.items():
            for load in LOADS:
                for _ in range(n):
                    ttft = 200 + 0.1 * arm.input_tokens + rng.normal(0, 5)
                    ttft += 50 if target.name == "profile" else 0
                    ttft += 110 if arm.connection == "cold" else 0
                    ttft -= 80 if arm.cache == "read" else 0
                    ttft += 40 if load == "10/s" else 0
                    rows.append(
                        Measurement(
                            sequence=len(rows),
                            target=target.label,
                            arm=label,
                            load=load,
                            phase="measured",
                            intended_s=float(len(rows)),
                            dispatch_delay_ms=0.1,
                            tcp_ms=20.0 if arm.connection == "cold" else None,
                            connection=arm.connection,
                            ttft_ms=ttft,
                            total_ms=ttft + 39 * 5.0,
                            inter_token_ms=(5.0,) * 39,
                            input_tokens=100 if arm.cache == "read" else arm.input_tokens,
                            output_tokens=40,
                            cache_read_tokens=arm.input_tokens - 100 if arm.cache == "read" else 0,
                        )
                    )
    values: dict[str, Any] = {
        "started_at": "2026-01-01T00:00:00+00:00",
        "targets": TARGETS,
        "arms": ARMS,
        "loads": LOADS,
        "seed": 0,
        "planned": len(rows),
        "measurements": tuple(rows),
    }
    return Run(**{**values, **changes})


def parts_of(run: Run, target: str) -> Mapping[str, Part]:
    return {part.name: part for part in decompose(run) if part.target == target}


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("median TTFT", 350),
        ("network", 20),
        ("connection", 110),
        ("routing", 50),
        ("prefill", 100),
        ("cache", 80),
        ("queue", 40),
        ("decode, a token", 5),
    ],
)
def test_the_floor_finds_the_parts_that_were_put_in(name: str, truth: float) -> None:
    part = parts_of(make_run(), "profile")[name]
    assert part.estimate is not None
    assert part.estimate.value == pytest.approx(truth, abs=3)
    assert part.estimate.low is not None
    assert part.estimate.high is not None
    assert part.estimate.low <= truth + 1e-9
    assert truth <= part.estimate.high + 1e-9


def test_the_rest_is_what_no_part_explains() -> None:
    rest = parts_of(make_run(), "profile")["rest: scheduling and fixed cost"]
    assert rest.estimate is not None
    assert rest.estimate.value == pytest.approx(350 - 20 - 50 - 100, abs=4)
    assert rest.estimate.holds(350 - 20 - 50 - 100)
    regional = parts_of(make_run(), "regional")
    assert regional["routing"].estimate is not None
    assert regional["routing"].estimate.value == 0


def test_a_part_without_its_arms_says_which_to_add() -> None:
    run = make_run()
    label = next(iter(ARMS))
    only = Run(**{**vars(run), "arms": {label: ARMS[label]}, "loads": LOADS[:1], "targets": TARGETS[:1]})
    rows = tuple(m for m in run.measurements if m.cell == ("profile", label, LOADS[0]))
    parts = parts_of(Run(**{**vars(only), "measurements": rows}), "profile")
    for name, hint in (
        ("network", "--connection cold"),
        ("connection", "--connection cold"),
        ("routing", "amazon.nova-x"),
        ("prefill", "--input-tokens"),
        ("cache", "--cache off,read"),
        ("queue", "--concurrency"),
    ):
        assert parts[name].estimate is None
        assert hint in parts[name].how


def test_a_run_of_cold_connections_only_is_told_to_add_reused_ones() -> None:
    whole = make_run(8)
    label = next(label for label, arm in ARMS.items() if arm.connection == "cold")
    rows = tuple(m for m in whole.measurements if m.cell == ("profile", label, LOADS[0]))
    run = replace(whole, arms={label: ARMS[label]}, loads=LOADS[:1], targets=TARGETS[:1], measurements=rows)
    assert "reused" in parts_of(run, "profile")["connection"].how


def test_the_slope_of_a_long_run_is_taken_in_bounded_memory() -> None:
    """All pairs of ten thousand requests would be gigabytes."""
    run = make_run(2_600)
    tracemalloc.start()
    try:
        part = parts_of(run, "profile")["prefill"]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert part.estimate is not None
    assert part.estimate.holds(100)
    assert part.estimate.samples <= 2_002
    assert peak_bytes < 400e6


def test_cells_whose_labels_differ_in_odd_characters_have_a_trace_each() -> None:
    targets = (Target("m", "us-east-1", "a/b"), Target("m", "us-east-1", "a:b"), Target("m", "us-east-1", "a-b"))
    row = make_run(1).measurements[0]
    rows = tuple(replace(row, target=target.label) for target in targets)
    found = traces(replace(make_run(1), targets=targets, measurements=rows))
    assert len(found) == 3
    assert sorted(trace.frame["variant"][0] for trace in found.values()) == ["a-b", "a/b", "a:b"]


def test_prompts_of_one_length_give_no_prefill_though_their_tokens_differ() -> None:
    whole = make_run()
    label = next(iter(ARMS))
    rng = np.random.default_rng(1)
    rows = tuple(
        replace(m, input_tokens=int(1000 + rng.integers(-4, 5)))  # a random beginning takes a few tokens more or less
        for m in whole.measurements
        if m.cell == ("profile", label, LOADS[0])
    )
    run = replace(whole, arms={label: ARMS[label]}, loads=LOADS[:1], targets=TARGETS[:1], measurements=rows)
    parts = parts_of(run, "profile")
    assert parts["prefill"].estimate is None
    assert "--input-tokens" in parts["prefill"].how


def test_runs_whose_arms_differ_under_one_label_are_not_compared_in_silence() -> None:
    whole = make_run(8)
    label = next(iter(ARMS))
    rows = tuple(replace(m, arm="standard") for m in whole.measurements if m.cell == ("profile", label, LOADS[0]))
    short, long = (
        replace(whole, arms={"standard": Arm(input_tokens=tokens)}, loads=LOADS[:1], measurements=rows)
        for tokens in (200, 2000)
    )
    note = "standard was input=200 in the first run, input=2000 in the second"
    assert note in compare_runs(short, long, "ttft_ms").notes
    assert compare_runs(short, short, "ttft_ms").notes == ()


def test_cells_are_summarised_and_ranked() -> None:
    summary = summarise(make_run())
    assert len(summary.cells) == 16
    ranking = {(c.metric, c.figure): {rank.arm: rank for rank in c.ranks} for c in summary.comparisons}
    fastest = ranking[("ttft_ms", "p50")]["regional · connection=reused, cache=read, input=1000 · 1 at once"]
    assert (fastest.best, fastest.worst) == (1, 1)
    cell = summary.cells[0]
    assert cell.metrics["inter_token_ms"].mean.value == pytest.approx(5.0)
    assert cell.metrics["ttft_ms"].variance.value == pytest.approx(
        cell.metrics["ttft_ms"].standard_deviation.value ** 2
    )
    assert cell.metrics["ttft_ms"].worst_to_best > 1
    reading = next(cell for cell in summary.cells if "cache=read" in cell.arm)
    assert reading.cache_hit_share == 1.0


def test_a_cache_that_was_to_be_read_and_never_was_is_said() -> None:
    whole = make_run(8)
    (label,) = arms = arm_labels([Arm(cache="read")])  # the only arm: its label does not say what it is
    missed = [
        replace(m, arm=label, cache_read_tokens=0)
        for m in whole.measurements
        if m.cell == ("profile", next(iter(ARMS)), LOADS[0])
    ]
    run = replace(whole, arms=arms, targets=TARGETS[:1], loads=LOADS[:1], measurements=tuple(missed))
    summary = summarise(run)
    assert [cell.cache_hit_share for cell in summary.cells] == [0.0]
    assert any("only 0% of the requests found the prompt cache" in note for note in summary.notes)


def test_outliers_are_named_and_kept() -> None:
    run = make_run()
    first = run.measurements[0]
    odd = Measurement(**{**vars(first), "ttft_ms": 9000.0, "total_ms": 9200.0})
    summary = summarise(Run(**{**vars(run), "measurements": (odd, *run.measurements[1:])}))
    cell = next(cell for cell in summary.cells if cell.cell == odd.cell)
    assert [outlier.value_ms for outlier in cell.metrics["ttft_ms"].outliers] == [9000.0]
    assert cell.metrics["ttft_ms"].highest == 9000.0
    assert cell.metrics["ttft_ms"].mean.samples == 60
    assert any("#0 9000 ms" in note and "all kept" in note for note in summary.notes)


def test_drift_and_our_own_lateness_are_said() -> None:
    run = make_run()
    drifting = [
        Measurement(**{**vars(m), "ttft_ms": 300 + i, "dispatch_delay_ms": 30.0})
        for i, m in enumerate(run.measurements)
    ]
    notes = "\n".join(summarise(Run(**{**vars(run), "measurements": tuple(drifting)})).notes)
    assert "neighbouring requests resemble each other" in notes
    assert "the benchmark itself was late (p99 30.0 ms)" in notes


def test_a_summary_is_plain_json_and_a_report_whole() -> None:
    run = make_run(4)
    document = to_json(summarise(run))
    median = document["cells"][0]["metrics"]["ttft_ms"]["quantiles"]["p50"]
    assert median.pop("value") == pytest.approx(460, abs=10)  # profile, cold
    assert median == {"low": None, "high": None, "samples": 4, "needed": 6}
    metric = summarise(run).cells[0].metrics["ttft_ms"]
    written = document["cells"][0]["metrics"]["ttft_ms"]
    assert written["variance"]["value"] == pytest.approx(metric.standard_deviation.value**2)
    assert written["worst_to_best"] == metric.worst_to_best > 1
    assert {each["verdict"] for each in document["comparisons"][0]["differences"]} <= {
        "lower",
        "higher",
        "unclear",
        "too few",
    }
    text = markdown(run, summarise(run))
    assert "(n≥368)" in text
    assert "#63 " in text


def test_pictures_are_drawn_the_same_twice_or_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    whole = make_run(8)
    run = replace(whole, measurements=tuple(m for m in whole.measurements if m.cell[::2] == ("profile", "1 at once")))
    first = write_plots(run, tmp_path / "a", ("svg", "png"))
    assert first is not None
    assert len(first) == 10
    assert all(path.stat().st_size > 2000 for path in first)
    assert (tmp_path / "a" / "timeline.png").read_bytes()[:4] == b"\x89PNG"
    second = write_plots(run, tmp_path / "again", ("svg",))
    assert second is not None
    assert [path.read_bytes() for path in second] == [path.read_bytes() for path in first if path.suffix == ".svg"]
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert write_plots(run, tmp_path / "b") is None
    assert not (tmp_path / "b").exists()
