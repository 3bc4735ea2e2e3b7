"""Latency by tokens: a candidate measured on other prompts, as it would serve this traffic.

Time to first token grows with the input, the rest with the output. Both are fitted to the recorded rows as
``fixed + per token × tokens``, neither below 0, by least squares of relative errors (a slow request is not worth more
than a fast one). A row keeps what sets it apart, its ratio to the fitted time, and gets the tokens of a row of the
traffic; so the spread, the tail and the drift of the recording stay.

What it takes for granted: that the ratio does not depend on the tokens, and that the traffic's output is the
candidate's (an answer's length is the model's own choice; the traffic's was counted with another).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.special import kolmogorov

from simulator.checks import at_least
from simulator.errors import FitError
from simulator.quantiles import FloatArray
from simulator.trace import Trace, make_trace

MIN_ROWS: Final = 20
WEAK_FIT: Final = 0.2
"""Where tokens explain less than this share of a part's variance, other traffic is hardly forecast by them."""
OTHER_PROMPTS_P: Final = 1e-3
_KEPT_RANGE: Final = (0.01, 0.99)


@dataclass(frozen=True)
class PartFit:
    """One part of the latency: ``fixed_ms`` + Σ ``per_token_ms`` × tokens, and how much of its variance that explains.

    ``explained`` may be below 0 where the fit is worse than a mean.
    """

    fixed_ms: float
    per_token_ms: Mapping[str, float]
    explained: float
    rows: int

    def at(self, tokens: Mapping[str, FloatArray]) -> FloatArray:
        """Give the fitted time in milliseconds."""
        total = np.full(next(iter(tokens.values())).size, self.fixed_ms)
        for name, per_token_ms in self.per_token_ms.items():
            total = total + per_token_ms * tokens[name]
        return total

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "fixed_ms": self.fixed_ms,
            "per_token_ms": dict(self.per_token_ms),
            "explained": self.explained,
            "rows": self.rows,
        }


@dataclass(frozen=True)
class TokenFit:
    """The parts that were fitted: ``ttft`` and ``decode`` where the first token was recorded, else ``inference``."""

    parts: Mapping[str, PartFit]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Tokens between which nearly all recorded rows lie."""

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "parts": {name: part.to_json() for name, part in self.parts.items()},
            "recorded_tokens": {name: list(span) for name, span in self.ranges.items()},
        }


@dataclass(frozen=True)
class Retargeted:
    """A recording as it would serve other traffic, the fit behind it, and what a reader must know."""

    trace: Trace
    fit: TokenFit
    warnings: tuple[str, ...]


def fit_tokens(trace: Trace) -> TokenFit:
    """Fit latency by tokens.

    Raises
    ------
    FitError
        Fewer than :data:`MIN_ROWS` rows that ended ``ok`` with tokens and the time of the model's call (or of the
        whole request).
    """
    rows = _usable(trace)
    if len(rows) < MIN_ROWS:
        raise FitError(
            f"{len(rows)} requests with input_tokens, output_tokens and a latency; a fit by tokens needs {MIN_ROWS}"
        )
    tokens = _tokens(rows)
    inference_ms = rows["model_ms"].to_numpy()
    if rows["ttft_ms"].null_count() == 0:
        ttft_ms = rows["ttft_ms"].to_numpy()
        parts = {
            "ttft": _fit(ttft_ms, {"input": tokens["input"]}),
            "decode": _fit(np.maximum(inference_ms - ttft_ms, 1e-3), {"output": tokens["output"]}),
        }
    else:
        parts = {"inference": _fit(inference_ms, tokens)}
    ranges = {name: tuple(np.quantile(values, _KEPT_RANGE).tolist()) for name, values in tokens.items()}
    return TokenFit(parts, ranges)


def retarget(trace: Trace, traffic: Trace, *, name: str, seed: int = 0) -> Retargeted:
    """Give ``trace`` as it would have served the tokens of ``traffic``.

    Each row gets the tokens of a row of the traffic drawn at random. Rows that cannot be moved (not ``ok``, without
    tokens) are left as they are.

    Parameters
    ----------
    trace
        The recording of one variant.
    traffic
        Rows with ``input_tokens`` and ``output_tokens``.
    name
        What warnings call the recording.
    seed
        Of the draw.

    Raises
    ------
    FitError
        Too few rows to fit, or traffic without tokens.
    ParameterError
        A negative seed.
    """
    at_least("seed", seed, 0)
    fit = fit_tokens(trace)
    wanted = traffic.frame.filter(pl.col("input_tokens").is_not_null() & pl.col("output_tokens").is_not_null())
    if not len(wanted):
        raise FitError("the traffic has no request with input_tokens and output_tokens; record them")
    rows = _usable(trace)
    drawn = wanted[np.random.default_rng(seed).integers(len(wanted), size=len(rows))]
    before, after = _tokens(rows), _tokens(drawn)
    ttft_change_ms = total_change_ms = np.zeros(len(rows))
    for part, fitted in fit.parts.items():
        recorded_ms = _part_ms(rows, part)
        # A part that took no fitted time at all (nothing fixed, no tokens) has no ratio to keep.
        now_ms, then_ms = fitted.at(before), fitted.at(after)
        ratio = np.divide(recorded_ms, now_ms, out=np.ones_like(now_ms), where=now_ms > 0.0)
        change_ms = ratio * then_ms - recorded_ms
        total_change_ms = total_change_ms + change_ms
        if part == "ttft":
            ttft_change_ms = change_ms
    moved = pl.DataFrame(
        {
            "row": rows["row"],
            "total_change_ms": total_change_ms,
            "ttft_change_ms": ttft_change_ms,
            **{f"new_{column}": drawn[column] for column in _TOKEN_COLUMNS},
        }
    )
    columns = trace.frame.columns
    joined = trace.frame.with_row_index("row").join(moved, on="row", how="left", maintain_order="left")
    changed = joined.with_columns(
        *(_plus(column, "total_change_ms") for column in ("client_ms", "duration_ms", "inference_ms")),
        _plus("billed_ms", "total_change_ms").ceil(),
        _plus("ttft_ms", "ttft_change_ms"),
        *(
            pl.when(pl.col("total_change_ms").is_null()).then(column).otherwise(f"new_{column}").alias(column)
            for column in _TOKEN_COLUMNS
        ),
    )
    moved_trace = make_trace(changed.select(columns), trace.metadata, origin=name)
    return Retargeted(moved_trace, fit, tuple(_warnings(fit, after, name)))


def other_prompts(trace: Trace, traffic: Trace) -> str | None:
    """Say how the input of ``trace`` differs from the traffic's, or None where it does not or is not recorded."""
    ours, theirs = (one.frame["input_tokens"].drop_nulls().to_numpy() for one in (trace, traffic))
    if min(ours.size, theirs.size) < MIN_ROWS or _same_law(ours, theirs) > OTHER_PROMPTS_P:
        return None
    return f"{np.median(ours):,.0f} input tokens at the median against {np.median(theirs):,.0f}"


_TOKEN_COLUMNS: Final = ("input_tokens", "output_tokens")


def _usable(trace: Trace) -> pl.DataFrame:
    """Give the rows that can be moved, with ``row`` and the time of the model's call, ``model_ms``."""
    return (
        trace.frame.with_row_index("row")
        .with_columns(model_ms=pl.coalesce("inference_ms", "duration_ms", "client_ms"))
        .filter(
            (pl.col("status") == "ok")
            & pl.col("input_tokens").is_not_null()
            & pl.col("output_tokens").is_not_null()
            & (pl.col("model_ms") > 0.0)
            & ~pl.col("cold").fill_null(value=False)
        )
    )


def _tokens(rows: pl.DataFrame) -> dict[str, FloatArray]:
    return {
        "input": rows["input_tokens"].cast(pl.Float64).to_numpy(),
        "output": rows["output_tokens"].cast(pl.Float64).to_numpy(),
    }


def _part_ms(rows: pl.DataFrame, part: str) -> FloatArray:
    model_ms = rows["model_ms"].to_numpy()
    if part == "inference":
        return np.asarray(model_ms, dtype=np.float64)
    ttft_ms = rows["ttft_ms"].to_numpy()
    return np.asarray(ttft_ms if part == "ttft" else np.maximum(model_ms - ttft_ms, 1e-3), dtype=np.float64)


def _fit(time_ms: FloatArray, tokens: Mapping[str, FloatArray]) -> PartFit:
    weight = 1.0 / np.maximum(time_ms, 1e-3)
    design = np.column_stack([np.ones_like(time_ms), *tokens.values()]) * weight[:, None]
    # Imported here: a third of a second that a forecast of the recorded prompts does not need.
    from scipy.optimize import nnls

    solution, _ = nnls(design, np.ones_like(time_ms))
    fitted = PartFit(float(solution[0]), dict(zip(tokens, solution[1:].tolist(), strict=True)), 0.0, time_ms.size)
    # Relative errors look down on large values, so the level is set once more: half of the ratios above 1.
    level = float(np.median(time_ms / np.maximum(fitted.at(tokens), 1e-9)))
    scaled = {name: value * level for name, value in fitted.per_token_ms.items()}
    fitted = PartFit(fitted.fixed_ms * level, scaled, 0.0, time_ms.size)
    log_ms = np.log(np.maximum(time_ms, 1e-3))
    residual = log_ms - np.log(np.maximum(fitted.at(tokens), 1e-3))
    variance = float(log_ms.var())
    explained = 1.0 - float(residual.var()) / variance if variance > 0.0 else 1.0
    return PartFit(fitted.fixed_ms, fitted.per_token_ms, explained, fitted.rows)


def _plus(column: str, change: str) -> pl.Expr:
    return (pl.col(column) + pl.col(change).fill_null(0.0)).clip(lower_bound=0.0).alias(column)


def _warnings(fit: TokenFit, after: Mapping[str, FloatArray], name: str) -> list[str]:
    found = []
    for part, fitted in fit.parts.items():
        if fitted.explained < WEAK_FIT:
            what = " and ".join(fitted.per_token_ms)
            found.append(
                f"{name}: {what} tokens explain {max(fitted.explained, 0.0):.0%} of its {part} time; "
                "what it takes on other prompts is hardly known"
            )
    for kind, (low, high) in fit.ranges.items():
        outside = float(((after[kind] < low) | (after[kind] > high)).mean())
        if outside > 0.1:
            found.append(
                f"{name}: {outside:.0%} of the traffic's {kind} tokens lie outside the {low:,.0f} to {high:,.0f} "
                "on which it was measured; its latency there is extrapolated"
            )
    return found


def _same_law(first: FloatArray, second: FloatArray) -> float:
    """Give the p-value of the two-sample Kolmogorov-Smirnov test, asymptotic with Stephens' correction (1970).

    ``scipy.stats.ks_2samp`` is exact for small samples and takes half a second to import, for every forecast.
    """
    values = np.concatenate([first, second])
    steps = [np.searchsorted(np.sort(part), values, side="right") / part.size for part in (first, second)]
    apart = float(np.abs(steps[0] - steps[1]).max())
    root = math.sqrt(first.size * second.size / (first.size + second.size))
    return float(kolmogorov((root + 0.12 + 0.11 / root) * apart))
