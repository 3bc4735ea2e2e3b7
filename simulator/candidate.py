"""From a benchmark's trace to one that a forecast can take as its candidate, before anything is deployed.

A benchmark of a model sees the model alone. What stands around it in the deployed function is taken from the
baseline's trace: a row of the candidate is one benchmarked call plus handler overhead and way to the caller of one
baseline row, paired at random. What that leaves out: a handler that itself gets slower or faster with the new model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from simulator.errors import FitError
from simulator.trace import Trace, make_trace

_NEEDED: Final = ("duration_ms", "inference_ms")


def of_a_model_alone(trace: Trace) -> bool:
    """Say whether a trace is a benchmark of a model, with no function around it: it has no duration of a handler."""
    answered = trace.frame.filter(pl.col("status") == "ok")
    return (
        trace.metadata.source == "bench"
        and answered["duration_ms"].null_count() == answered.height
        and answered["inference_ms"].null_count() < answered.height
    )


def ready_candidate(candidate: Trace, baseline: Trace, *, seed: int = 0) -> Trace:
    """Give a candidate as a forecast needs it: in the baseline's surroundings, where it is of a model alone.

    Any other stays as it is. Where the baseline is a benchmark of a model alone too, both are measured alike, and
    nothing is added to either.

    Raises
    ------
    FitError
        As :func:`as_candidate`.
    """
    if not of_a_model_alone(candidate) or of_a_model_alone(baseline):
        return candidate
    return as_candidate(candidate, baseline, seed=seed)


def as_candidate(benchmarked: Trace, baseline: Trace, *, variant: str = "optimized", seed: int = 0) -> Trace:
    """Put the calls of ``benchmarked`` into the surroundings of ``baseline``.

    Parameters
    ----------
    benchmarked
        One cell of a run (:func:`replay.bench.records.traces`).
    baseline
        A recording of the deployed baseline, with ``duration_ms`` and ``inference_ms``.
    variant
        What to call the candidate.
    seed
        Of the pairing.

    Raises
    ------
    FitError
        The baseline has no warm, answered request with the columns that are needed.
    """
    warm = baseline.frame.filter((pl.col("status") == "ok") & ~pl.col("cold").fill_null(value=False))
    warm = warm.drop_nulls(list(_NEEDED))
    if warm.height == 0:
        raise FitError(
            "baseline trace: no warm, answered request has duration_ms and inference_ms; record the deployed baseline"
        )
    answered = benchmarked.frame.filter(pl.col("status") == "ok").drop_nulls("inference_ms")
    if answered.height == 0:
        raise FitError("benchmark trace: no answered request in it; measure again")
    rng = np.random.default_rng([seed, 0xCA9D])
    around = warm[rng.integers(0, warm.height, answered.height).tolist()]
    overhead_ms = (around["duration_ms"] - around["inference_ms"]).clip(lower_bound=0.0)
    way_ms = (around["client_ms"] - around["duration_ms"]).clip(lower_bound=0.0)
    duration_ms = answered["inference_ms"] + overhead_ms
    frame = answered.with_columns(
        pl.lit(variant).alias("variant"),
        pl.lit(value=False).alias("cold"),
        duration_ms.alias("duration_ms"),
        duration_ms.ceil().alias("billed_ms"),
        (duration_ms + way_ms).alias("client_ms"),
        around["memory_mb"].alias("memory_mb"),
        around["max_memory_mb"].alias("max_memory_mb"),
    )
    metadata = replace(
        benchmarked.metadata,
        function=baseline.metadata.function,
        models={variant: next(iter(benchmarked.metadata.models.values()), "")},
        notes={**benchmarked.metadata.notes, "surroundings": "handler overhead and way to the caller of the baseline"},
    )
    return make_trace(frame, metadata, origin="candidate")
