"""A model's figures from a recording of it: a benchmark's trace becomes what the local Bedrock replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from replay.cloud.bedrock.profiles import LatencyProfile
from replay.cloud.bedrock.streaming.catalogue import Model
from replay.errors import InputError
from simulator.errors import TraceError
from simulator.trace import read_trace

_MOST_LEVELS: Final = 400


def figures_from_trace(path: Path) -> dict[str, Any]:
    """Give the catalogue's figures of a recorded model: TTFT as a quantile function, decode time, lengths.

    Parameters
    ----------
    path
        A trace with ``ttft_ms`` and ``inference_ms``, such as ``tailcast bench run`` writes.

    Raises
    ------
    InputError
        It cannot be read, or has no answered request with both.
    """
    try:
        frame = read_trace(path).frame
    except TraceError as error:
        raise InputError(str(error)) from error
    answered = frame.filter(pl.col("status") == "ok").drop_nulls(["ttft_ms", "inference_ms"])
    if answered.height == 0:
        raise InputError(
            f"{path}: no answered request has ttft_ms and inference_ms; record it with `tailcast bench run`"
        )
    levels = np.linspace(0.0, 1.0, min(max(answered.height, 2), _MOST_LEVELS))
    ttft_ms = np.quantile(answered["ttft_ms"].to_numpy(), levels)
    decode_ms = float(np.median((answered["inference_ms"] - answered["ttft_ms"]).to_numpy().clip(min=0.0)))
    figures: dict[str, Any] = {
        "ttft_quantiles_ms": [[float(level), float(ms)] for level, ms in zip(levels, ttft_ms, strict=True)],
        "decode_ms": decode_ms,
    }
    for key, column in (("answer_tokens", "output_tokens"), ("reference_input_tokens", "input_tokens")):
        tokens = answered[column].drop_nulls()
        if len(tokens):
            figures[key] = max(round(float(np.median(tokens.to_numpy()))), 1)
    return figures


def whole_call_profile(model: Model) -> LatencyProfile:
    """Give what Converse, which does not stream, replays for a model of the catalogue: its whole calls."""
    if model.total_ms:
        whole_ms = np.asarray(model.total_ms, dtype=np.float64)
    else:
        recorded = model.ttft_ms or tuple(ms for _, ms in model.ttft_quantiles_ms)
        first = () if model.first_ttft_ms is None else (model.first_ttft_ms,)
        whole_ms = np.asarray([*first, *recorded], dtype=np.float64) + (model.decode_ms or 0.0)
    lengths = (model.answer_tokens, model.answer_tokens)
    return LatencyProfile(model.model_id, "the catalogue of streaming models", np.sort(whole_ms), lengths)
