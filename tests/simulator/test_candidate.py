"""A benchmark of a model alone, in the surroundings of a recorded baseline."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from simulator.candidate import as_candidate, of_a_model_alone, ready_candidate
from simulator.errors import FitError
from simulator.trace import Trace, TraceMetadata, make_trace


def recorded(n: int = 50) -> Trace:
    """Give warm requests of 500 ms of model, 7 of handler and 20 of way; every tenth is cold and far slower."""
    cold = np.arange(n) % 10 == 0
    frame = pl.DataFrame(
        {
            "arrival_s": np.arange(n, dtype=float),
            "variant": ["baseline"] * n,
            "cold": cold,
            "init_ms": [800.0 if c else None for c in cold],
            "inference_ms": [500.0] * n,
            "duration_ms": [507.0 + 90.0 * c for c in cold],
            "client_ms": [527.0 + 990.0 * c for c in cold],
            "memory_mb": [512] * n,
        }
    )
    return make_trace(frame, TraceMetadata(function="genai"))


def benchmarked(name: str = "fast", inference_ms: float = 100.0) -> Trace:
    frame = pl.DataFrame(
        {
            "arrival_s": [0.0, 1.0, 2.0],
            "variant": [name] * 3,
            "inference_ms": [inference_ms, inference_ms + 10, None],
            "client_ms": [inference_ms, inference_ms + 10, 30.0],
            "status": ["ok", "ok", "throttled"],
        }
    )
    return make_trace(frame, TraceMetadata(source="bench", models={name: "acme.fast"}))


def test_a_call_gets_the_handler_and_the_way_of_the_baseline() -> None:
    made = as_candidate(benchmarked(), recorded())
    assert made.variants() == ["optimized"]
    assert made.frame["duration_ms"].to_list() == [107.0, 117.0]
    assert made.frame["client_ms"].to_list() == [127.0, 137.0]
    assert made.frame["memory_mb"].to_list() == [512, 512]
    assert made.metadata.models == {"optimized": "acme.fast"}
    assert made.metadata.function == "genai"


def test_only_a_benchmark_of_a_model_alone_is_changed() -> None:
    baseline, alone = recorded(), benchmarked()
    assert of_a_model_alone(alone)
    assert not of_a_model_alone(baseline)
    ready = ready_candidate(alone, baseline)
    assert ready.frame["duration_ms"].to_list() == [107.0, 117.0]
    assert ready_candidate(ready, baseline) is ready
    assert ready_candidate(baseline, baseline) is baseline
    # Two benchmarks are measured alike already.
    assert ready_candidate(alone, benchmarked("other", 300.0)) is alone


def test_what_cannot_be_put_together_says_what_to_do() -> None:
    with pytest.raises(FitError, match="record the deployed baseline"):
        as_candidate(benchmarked(), make_trace(recorded().frame.drop("inference_ms")))
    failed = make_trace(
        benchmarked().frame.with_columns(pl.lit("error").alias("status")), TraceMetadata(source="bench")
    )
    assert not of_a_model_alone(failed)
    with pytest.raises(FitError, match="no answered request in it; measure again"):
        as_candidate(failed, recorded())
