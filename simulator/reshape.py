"""Traces from traces: joined, cut to a span of time, or thinned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import numpy as np
import polars as pl

from simulator.checks import at_least
from simulator.errors import ParameterError
from simulator.trace import Trace, TraceMetadata, make_trace

Alignment = Literal["recorded", "start", "append"]
ALIGNMENTS: Final[tuple[Alignment, ...]] = ("recorded", "start", "append")
"""How traces lie on one time axis: ``recorded`` by their date, ``start`` all from 0, ``append`` one after the other."""


@dataclass(frozen=True)
class Merged:
    """A merged trace, and what merging it came to."""

    trace: Trace
    alignment: Alignment
    duplicates: int
    """Requests that stood in several traces (by request id) and were taken once."""


def merge(traces: Sequence[Trace], alignment: Alignment | None = None) -> Merged:
    """Join traces into one.

    Parameters
    ----------
    traces
        At least one.
    alignment
        How they lie on the time axis. None: by date where all of them have one, else all from 0.

    Raises
    ------
    ParameterError
        No trace, a trace without (or with an unreadable) date where ``recorded`` is asked for, or two traces that name
        different models for one variant.
    """
    if not traces:
        raise ParameterError("merge needs at least one trace")
    dates = [recorded_at(trace) for trace in traces]
    chosen = alignment or ("recorded" if all(date is not None for date in dates) else "start")
    first: datetime | None = None
    offsets_s = [0.0] * len(traces)
    if chosen == "recorded":
        known = [date for date in dates if date is not None]
        if len(known) < len(traces):
            place = dates.index(None) + 1
            raise ParameterError(f"trace {place} does not say when it was recorded; align by start, or append")
        first = min(known)
        offsets_s = [(date - first).total_seconds() for date in known]
    elif chosen == "append":
        ends = np.cumsum([_last_s(trace) for trace in traces])
        offsets_s = [0.0, *ends[:-1].tolist()]
    shifted = [
        trace.frame.with_columns(pl.col("arrival_s") + offset_s)
        for trace, offset_s in zip(traces, offsets_s, strict=True)
    ]
    frame = pl.concat(shifted).sort("arrival_s", maintain_order=True)
    repeated = frame["request_id"].is_not_null() & ~frame["request_id"].is_first_distinct()
    metadata = _joined([trace.metadata for trace in traces], first)
    return Merged(make_trace(frame.filter(~repeated), metadata), chosen, int(repeated.sum()))


def cut(trace: Trace, from_s: float = 0.0, to_s: float = math.inf) -> Trace:
    """Give the requests that arrive in ``[from_s, to_s)``; the new trace starts at ``from_s``.

    Raises
    ------
    ParameterError
        A span that is empty or holds no request.
    """
    if not 0.0 <= from_s < to_s:
        raise ParameterError(f"cut from {from_s!r} to {to_s!r} s: give 0 ≤ from < to")
    inside = trace.frame.filter((pl.col("arrival_s") >= from_s) & (pl.col("arrival_s") < to_s))
    if inside.height == 0:
        last_s = _last_s(trace)
        raise ParameterError(
            f"cut from {from_s:g} to {to_s:g} s: no request arrives there; the last comes at {last_s:g} s"
        )
    date = recorded_at(trace)
    begins = trace.metadata.recorded_at if date is None else (date + timedelta(seconds=from_s)).isoformat()
    metadata = replace(trace.metadata, recorded_at=begins)
    return make_trace(inside.with_columns(pl.col("arrival_s") - from_s), metadata)


def sample(trace: Trace, *, seed: int, rows: int | None = None, share: float | None = None) -> Trace:
    """Give a random part of the requests, in their order.

    ``rows`` draws that many without replacement; ``share`` keeps each request by a draw of its own, which makes of a
    Poisson stream another one, of that share of its rate.

    Raises
    ------
    ParameterError
        Neither or both of them, more rows than there are, a share outside (0, 1], or a negative seed.
    """
    at_least("seed", seed, 0)
    if (rows is None) == (share is None):
        raise ParameterError("sample: give either a number of rows or a share")
    rng = np.random.default_rng(seed)
    if rows is not None:
        if not 1 <= rows <= len(trace):
            raise ParameterError(
                f"sample of {rows!r} rows: the trace has {len(trace):,}; give a number between 1 and that"
            )
        kept = np.sort(rng.choice(len(trace), size=rows, replace=False))
    else:
        if share is None or not 0.0 < share <= 1.0:
            raise ParameterError(f"share {share!r} is outside (0, 1]; 0.1 keeps a tenth")
        kept = np.flatnonzero(rng.random(len(trace)) < share)
        if kept.size == 0:
            raise ParameterError(
                f"share {share:g} of {len(trace):,} requests kept none; give a larger share or another seed"
            )
    return replace(trace, frame=trace.frame[kept])


def _joined(all_metadata: Sequence[TraceMetadata], first: datetime | None) -> TraceMetadata:
    def one(values: Sequence[str | None]) -> str | None:
        distinct = {value for value in values if value}
        return distinct.pop() if len(distinct) == 1 else None

    models: dict[str, str] = {}
    versions: dict[str, str] = {}
    notes: dict[str, str] = {}
    for each in all_metadata:
        for variant, model in each.models.items():
            if models.setdefault(variant, model) != model:
                raise ParameterError(
                    f"variant {variant!r} is {models[variant]} in one trace and {model} in another; "
                    "name them apart when importing (--variant)"
                )
        versions |= each.versions
        notes |= each.notes
    sources = sorted({each.source for each in all_metadata if each.source})
    return TraceMetadata(
        source=", ".join(sources),
        recorded_at=first.isoformat() if first else None,
        function=one([each.function for each in all_metadata]),
        region=one([each.region for each in all_metadata]),
        models=models,
        versions=versions,
        notes=notes,
    )


def recorded_at(trace: Trace) -> datetime | None:
    """Give when the trace's clock has its 0; None where it does not say, UTC where it names no zone.

    Raises
    ------
    ParameterError
        What it says is no time.
    """
    text = trace.metadata.recorded_at
    if text is None:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise ParameterError(f"the trace's recorded_at is {text!r}, not an ISO 8601 time") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _last_s(trace: Trace) -> float:
    return float(trace.frame["arrival_s"][-1])
