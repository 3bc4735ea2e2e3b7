"""From a benchmark to a forecast: an alias straight away, a model in the surroundings of a recorded baseline."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from replay.canary.expectation import expect
from replay.canary.plan_file import plan_from_document
from replay.cli import main
from replay.cloud import LocalCloud
from simulator.candidate import as_candidate, of_a_model_alone
from simulator.platform import Platform
from simulator.trace import Trace, TraceMetadata, make_trace, read_trace, write_trace
from tests.replay.bench.conftest import QUICK, RunningStreams

FUNCTION = """
import json, time

def handle(event, context):
    started = time.perf_counter()
    time.sleep(0.02)
    inference_ms = (time.perf_counter() - started) * 1000
    time.sleep(0.005)
    print(json.dumps({"tailcast": "inference", "request_id": context.aws_request_id, "inference_ms": inference_ms,
                      "status": "ok", "cold": False}))
    usage = {"input_tokens": len(event["prompt"]) // 4, "output_tokens": 9}
    return {"statusCode": 200, "body": json.dumps({"response": "yes", "usage": usage})}
"""


@pytest.fixture
def baseline() -> Trace:
    rng = np.random.default_rng(5)
    n = 220
    inference_ms = rng.lognormal(6.4, 0.15, n)
    cold = np.arange(n) % 40 == 0
    duration_ms = inference_ms + rng.uniform(5, 9, n)
    frame = pl.DataFrame(
        {
            "arrival_s": np.cumsum(rng.exponential(0.5, n)),
            "variant": ["baseline"] * n,
            "cold": cold,
            "init_ms": [float(500 + 10 * (i % 7)) if c else None for i, c in enumerate(cold)],
            "duration_ms": duration_ms,
            "billed_ms": np.ceil(duration_ms),
            "inference_ms": inference_ms,
            "client_ms": duration_ms + rng.uniform(15, 25, n) + cold * 520.0,
            "memory_mb": [512] * n,
        }
    )
    return make_trace(frame, TraceMetadata(function="genai", models={"baseline": "amazon.nova-pro-v1:0"}))


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, [*arguments], catch_exceptions=False)
    return done.exit_code, done.output


@pytest.fixture
def candidate_file(streams: RunningStreams, tmp_path: Path) -> Path:
    streams.put({"models": {"quick.model": QUICK}})
    folder = tmp_path / "run"
    code, output = invoke(
        *("bench", "run", "optimized=quick.model", "--requests", "40", "--concurrency", "4"),
        *("--input-tokens", "60", "--output-tokens", "5"),
        *("--endpoint-url", streams.endpoint_url, "--region", "us-east-1", "--out", str(folder)),
    )
    assert code == 0, output
    (trace,) = (folder / "traces").iterdir()
    return trace


def test_a_benchmarked_model_becomes_a_candidate_of_the_forecast(
    baseline: Trace, candidate_file: Path, tmp_path: Path
) -> None:
    write_trace(baseline, tmp_path / "baseline.parquet")
    made = tmp_path / "candidate.parquet"
    code, output = invoke(
        *("bench", "candidate", str(candidate_file), "--baseline", str(tmp_path / "baseline.parquet")),
        *("--out", str(made)),
    )
    assert code == 0, output
    candidate = read_trace(made)
    assert candidate.variants() == ["optimized"]
    overhead_ms = (candidate.frame["duration_ms"] - candidate.frame["inference_ms"]).to_numpy()
    assert np.all((overhead_ms >= 5) & (overhead_ms <= 9))
    assert not of_a_model_alone(candidate)
    assert of_a_model_alone(read_trace(candidate_file))
    # Straight from the run: the same is done with it on the way.
    code, output = invoke(
        *("forecast", "--baseline", str(tmp_path / "baseline.parquet"), "--candidate", str(candidate_file)),
        *("--weights", "50", "--duration", "60", "--replications", "40", "--json"),
    )
    assert code == 0, output
    assert "a benchmark of a model alone; handler overhead and way to the caller are the baseline's" in output
    figures = json.loads(output[output.index("{") :])["figures"]
    found = {(f["variant"], f["metric"]): f["estimate"] for f in figures}
    # 20 to 50 ms of model, 5 to 9 of handler, 15 to 25 of way: far below the baseline's 600, however loaded this is.
    typical_ms = float(np.median(candidate.frame["client_ms"].to_numpy()))
    assert typical_ms > 20 + 20 + 5 + 15
    assert found[("optimized", "p50_ms")] == pytest.approx(typical_ms, rel=0.3)
    assert found[("baseline", "p50_ms")] > 500


def test_the_canary_checks_the_same_candidate_before_its_first_step(baseline: Trace, candidate_file: Path) -> None:
    candidate = read_trace(candidate_file)
    around = as_candidate(candidate, baseline).frame["client_ms"].to_numpy()
    between_ms = math.sqrt(np.median(around) * 600)
    objective = {"metric": "p50", "max": f"{between_ms:.0f}ms"}
    plan = plan_from_document({"preset": "careful", "objectives": [objective]})
    good = expect(plan, baseline, candidate, Platform(), rate_rps=5.0, seed=1, replications=40)
    assert good.failures == ()
    # In the baseline's surroundings: 20 ms of model to the first token, 20 to the last, 5 of handler, 15 of way.
    assert all(low > 60 for low, _ in good.intervals.values())
    slow = make_trace(baseline.frame.with_columns(pl.lit("optimized").alias("variant")))
    bad = expect(plan, baseline, slow, Platform(), rate_rps=5.0, seed=1, replications=40)
    assert any("p50" in failure for failure in bad.failures)


def test_a_benchmarked_alias_is_a_candidate_as_it_stands(
    baseline: Trace,
    in_local_cloud: LocalCloud,
    new_function: Callable[[str], str],
    tmp_path: Path,
) -> None:
    name = new_function(FUNCTION)
    folder = tmp_path / "run"
    code, output = invoke(
        *("bench", "run", f"optimized=lambda:{name}:live", "--requests", "30", "--concurrency", "2"),
        *("--input-tokens", "60", "--out", str(folder), "--region", "us-east-1", "--json"),
    )
    assert code == 0, output
    (file,) = (folder / "traces").iterdir()
    trace = read_trace(file)
    assert trace.frame["version"].unique().to_list() == ["1"]
    assert trace.frame["duration_ms"].null_count() == 0
    assert trace.frame["inference_ms"].min() >= 20  # type: ignore[operator]
    assert (trace.frame["duration_ms"] > trace.frame["inference_ms"]).all()
    assert set(trace.frame["output_tokens"].to_list()) == {9}
    assert trace.frame["memory_mb"].unique().to_list() == [128]
    write_trace(baseline, tmp_path / "baseline.parquet")
    code, output = invoke(
        *("forecast", "--baseline", str(tmp_path / "baseline.parquet"), "--candidate", str(file)),
        *("--weights", "50", "--duration", "60", "--replications", "40", "--json"),
    )
    assert code == 0, output
