"""``tailcast cost`` as one types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from replay.cli import main
from simulator.trace import TraceMetadata, make_trace, write_trace

NOVA = "us.amazon.nova-lite-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def cost(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["cost", *map(str, arguments)])


def document(*arguments: object) -> dict[str, Any]:
    result = cost(*arguments, "--json")
    assert result.exit_code == 0, result.output
    loaded: dict[str, Any] = json.loads(result.stdout)
    return loaded


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = 40
    frame = pl.DataFrame(
        {
            "arrival_s": [float(row) for row in range(rows)],
            "variant": ["baseline", "optimized"] * (rows // 2),
            "billed_ms": [600.0 + 10 * row if row % 2 == 0 else 300.0 + 5 * row for row in range(rows)],
            "memory_mb": [1024] * rows,
            "input_tokens": [60] * rows,
            "output_tokens": [100 + row for row in range(rows)],
        }
    )
    path = tmp_path_factory.mktemp("cost") / "rollout.parquet"
    write_trace(make_trace(frame, TraceMetadata(models={"baseline": HAIKU, "optimized": NOVA})), path)
    return path


def test_two_variants_of_one_trace_stand_side_by_side(rollout: Path) -> None:
    found = document(
        "--trace", rollout, "--variant", "baseline", "--candidate-variant", "optimized", "--monthly", "1e6"
    )
    baseline, optimized = found["sides"]["baseline"], found["sides"]["optimized"]
    assert (baseline["model"], optimized["model"]) == (HAIKU, NOVA)
    assert (baseline["requests"], optimized["requests"]) == (20, 20)
    for side in (baseline, optimized):
        parts = {part: one["estimate"] for part, one in side["per_request_usd"].items()}
        assert sum(value for part, value in parts.items() if part != "total") == pytest.approx(parts["total"])
        assert side["month_usd"]["estimate"] == pytest.approx(parts["total"] * 1e6)
        assert sum(side["month_parts_usd"].values()) == pytest.approx(side["month_usd"]["estimate"])
        assert side["month_usd"]["low"] < side["month_usd"]["estimate"] < side["month_usd"]["high"]
    saved = baseline["month_usd"]["estimate"] - optimized["month_usd"]["estimate"]
    assert found["saved_month_usd"]["estimate"] == pytest.approx(saved)
    assert found["saved_month_usd"]["low"] > 0
    assert found["prices"] == {"as_of": "2026-11-01", "region": "us-east-1"}


def test_the_same_requests_on_another_model_only_change_their_tokens(rollout: Path) -> None:
    found = document("--trace", rollout, "--variant", "baseline", "--candidate-model", NOVA, "--monthly", 1000)
    sides = found["sides"]
    per_request = {name: side["per_request_usd"] for name, side in sides.items()}
    assert sides["optimized"]["model"] == NOVA
    assert (
        per_request["optimized"]["lambda_handler"]["estimate"] == per_request["baseline"]["lambda_handler"]["estimate"]
    )
    assert per_request["optimized"]["output_tokens"]["estimate"] < per_request["baseline"]["output_tokens"]["estimate"]


def test_numbers_stand_beside_a_machine(rollout: Path) -> None:
    found = document(
        "--memory", 512, "--duration-ms", 10_000, "--model", "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "--input-tokens", 3000, "--output-tokens", 2000, "--monthly", 1000, "--gpu-usd-per-month", 734,
        "--candidate-duration-ms", 5000, "--candidate-model", NOVA,
    )  # fmt: skip
    baseline, optimized = found["sides"]["baseline"], found["sides"]["optimized"]
    assert baseline["month_usd"] == {"estimate": pytest.approx(39.1, abs=0.1), "low": None, "high": None}
    assert baseline["break_even_requests"]["estimate"] == pytest.approx(18_800, abs=50)
    assert optimized["break_even_requests"]["estimate"] > 500_000
    assert optimized["per_request_usd"]["lambda_handler"]["estimate"] == pytest.approx(2.5 * 0.0000166667)


def test_the_table_says_what_it_rests_on(rollout: Path) -> None:
    printed = cost(
        "--trace", rollout, "--variant", "baseline", "--candidate-variant", "optimized", "--monthly", 50000,
        "--pc", 1, "--candidate-pc", 0, "--gpu-usd-per-month", 734, "--response-cache",
    ).output  # fmt: skip
    printed = " ".join(printed.split())
    for text in (
        "USD; 50,000 requests a month; prices of 2026-11-01, us-east-1",
        f"baseline: {HAIKU}; 20 rows, 95 % intervals",
        "tokens out",
        "response cache",
        "PC, kept ready",
        "saved a month: ",
        "a machine of 734 USD a month is cheaper from",
    ):
        assert text in printed
    assert "tokens from cache" not in printed, "a part that nobody pays is left out"


@pytest.mark.parametrize(("budget", "code", "word"), [(1e6, 0, "within"), (0.01, 1, "over")])
def test_a_budget_decides_the_exit_code(rollout: Path, budget: float, code: int, word: str) -> None:
    result = cost("--trace", rollout, "--variant", "baseline", "--monthly", 1e6, "--budget", budget)
    assert result.exit_code == code
    assert f"baseline is {word} the budget" in result.output


def test_a_budget_that_the_interval_holds_is_inconclusive(rollout: Path) -> None:
    found = document("--trace", rollout, "--variant", "baseline", "--monthly", 1e6)
    budget = found["sides"]["baseline"]["month_usd"]["estimate"]
    result = cost("--trace", rollout, "--variant", "baseline", "--monthly", 1e6, "--budget", budget)
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--monthly", 10], "give --trace, or describe a request: --memory is missing"),
        (["--monthly", 10, "--memory", 1], "give --trace, or describe a request: --duration-ms is missing"),
        (
            ["--monthly", 10, "--candidate", "x.parquet"],
            "--candidate, --variant and --candidate-variant go with --trace",
        ),
        (["--monthly", 10, "--memory", 1, "--duration-ms", 1, "--cache-hits", "x"], "--cache-hits 'x' is no weight"),
        (
            ["--monthly", 10, "--memory", 1, "--duration-ms", 1, "--model", "m"],
            "baseline: no row can be priced: model 'm'",
        ),
        (["--monthly", "inf", "--memory", 1, "--duration-ms", 1], "monthly=inf must be above 0"),
        (["--monthly", 10, "--trace", "missing.parquet"], "missing.parquet: no such trace file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[object], message: str) -> None:
    result = cost(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1


def test_a_trace_and_a_description_exclude_each_other(rollout: Path) -> None:
    result = cost("--trace", rollout, "--monthly", 10, "--duration-ms", 5)
    assert result.exit_code == 2
    assert "--duration-ms describes requests without a trace" in result.stderr
