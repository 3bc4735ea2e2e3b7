"""The trace: one table of invocations that everything measures into and everything forecasts from.

A row is one invocation. A column that its source did not record is null, never zero. On disk a trace is Parquet with
the metadata as JSON under the key ``tailcast``, so that any Parquet reader opens it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from simulator.errors import TraceError
from simulator.files import written_beside

STATUSES: Final = ("ok", "throttled", "timeout", "error", "rejected")
"""How an invocation ended: answered; refused for capacity or rate (429); ended by a time-out; failed (5xx or a
function error); refused as a bad request (other 4xx)."""

SCHEMA: Final[Mapping[str, pl.DataType]] = {
    # when and where
    "arrival_s": pl.Float64(),  # since the trace's start, ascending
    "variant": pl.String(),  # "baseline", "optimized", or any name of the recorder's
    "version": pl.String(),  # published Lambda version that ran it
    "environment_id": pl.String(),  # execution environment (log stream) that ran it
    "provisioned": pl.Boolean(),  # the environment belonged to provisioned concurrency
    "cold": pl.Boolean(),  # the caller waited for an INIT
    # milliseconds
    "init_ms": pl.Float64(),  # INIT; null where warm or not recorded
    "duration_ms": pl.Float64(),  # the handler as Lambda reports it, INIT apart
    "billed_ms": pl.Float64(),
    "client_ms": pl.Float64(),  # as the caller saw it, from the intended start
    "inference_ms": pl.Float64(),  # inside the handler: the model call
    "ttft_ms": pl.Float64(),  # first token
    # tokens
    "input_tokens": pl.Int64(),  # without those read from or written to the cache
    "output_tokens": pl.Int64(),
    "cache_read_tokens": pl.Int64(),
    "cache_write_tokens": pl.Int64(),
    # the rest
    "attempts": pl.Int64(),  # tries of the caller, the first counted
    "status": pl.String(),
    "memory_mb": pl.Int64(),  # configured
    "max_memory_mb": pl.Int64(),  # used
    "request_id": pl.String(),
}
"""Column name → Polars type, in order. ``arrival_s`` and ``status`` are never null."""

REQUIRED: Final = ("arrival_s", "status")
_NON_NEGATIVE: Final = tuple(
    name for name, kind in SCHEMA.items() if kind in (pl.Float64(), pl.Int64()) and name != "attempts"
)
_METADATA_KEY: Final = "tailcast"
_FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class TraceMetadata:
    """Where a trace comes from. Every field may be unknown (``None`` or empty)."""

    source: str = ""
    """What made it: ``cloudwatch``, ``drive``, ``simulated``, or the importer's format name."""
    recorded_at: str | None = None
    """ISO 8601 time (UTC) at which ``arrival_s`` = 0."""
    function: str | None = None
    region: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    """Variant → Bedrock model or inference-profile id."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Variant → published Lambda version."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Anything else worth keeping, as text."""


@dataclass(frozen=True)
class Trace:
    """A validated table of invocations with its metadata. Build one with :func:`make_trace` or :func:`read_trace`."""

    frame: pl.DataFrame
    metadata: TraceMetadata = field(default_factory=TraceMetadata)

    def __len__(self) -> int:
        """Give the number of invocations."""
        return self.frame.height

    @property
    def duration_s(self) -> float:
        """Seconds from the first arrival to the last; 0 for fewer than two rows."""
        if self.frame.height < 2:
            return 0.0
        arrival_s = self.frame["arrival_s"]
        return float(arrival_s[-1]) - float(arrival_s[0])

    def variants(self) -> list[str]:
        """Give the variant names that occur, sorted."""
        return sorted(str(name) for name in self.frame["variant"].drop_nulls().unique())

    def select(self, predicate: pl.Expr) -> Trace:
        """Give the trace of the rows for which ``predicate`` holds; arrivals keep their time."""
        return replace(self, frame=self.frame.filter(predicate))


def make_trace(frame: pl.DataFrame, metadata: TraceMetadata | None = None, *, origin: str = "trace") -> Trace:
    """Cast, complete and validate ``frame``.

    Parameters
    ----------
    frame
        Any subset of the columns of :data:`SCHEMA`; missing ones become null. ``status`` may be left out (all ``ok``).
    metadata
        Where it comes from.
    origin
        What error messages call this trace: the file's path where there is one.

    Raises
    ------
    TraceError
        An unknown column, a missing ``arrival_s``, no row, an arrival that goes back in time, a negative, NaN or
        infinite number, or an unknown status: one line with row (from 1), column and value.
    """
    unknown = [name for name in frame.columns if name not in SCHEMA]
    if unknown:
        raise TraceError(
            f"{origin}: column {unknown[0]!r} is not a trace column; rename or drop it (known: {', '.join(SCHEMA)})"
        )
    if "arrival_s" not in frame.columns:
        raise TraceError(f"{origin}: column 'arrival_s' is missing; a trace needs seconds since its start")
    if frame.height == 0:
        raise TraceError(f"{origin}: no invocation in it; a trace needs at least one row")
    if "status" not in frame.columns:
        frame = frame.with_columns(pl.lit("ok").alias("status"))
    full = frame.select(
        _cast(frame, name, kind, origin) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in SCHEMA.items()
    )
    _validate(full, origin)
    return Trace(full, metadata or TraceMetadata())


def write_trace(trace: Trace, path: str | Path) -> Path:
    """Write ``trace`` to ``path`` as Parquet: beside it first, then renamed, so that no reader sees half a file."""
    target = Path(path)
    with written_beside(target) as beside:
        trace.frame.write_parquet(beside, metadata=_file_metadata(trace.metadata))
    return target


def sink_trace(
    frame: pl.LazyFrame, metadata: TraceMetadata, path: str | Path, *, row_group_size: int | None = None
) -> Path:
    """Write the columns of :data:`SCHEMA`, valid and in order, as they come: for a trace larger than memory."""
    target = Path(path)
    with written_beside(target) as beside:
        frame.sink_parquet(beside, metadata=_file_metadata(metadata), row_group_size=row_group_size)
    return target


def read_trace(path: str | Path) -> Trace:
    """Read and validate the Parquet trace at ``path``.

    Raises
    ------
    TraceError
        The file is missing, is not Parquet, or holds what :func:`make_trace` refuses.
    """
    source = Path(path)
    if not source.is_file():
        raise TraceError(f"{source}: no such trace file")
    if source.stat().st_size == 0:
        raise TraceError(f"{source}: the file is empty; a trace is a Parquet file (see `tailcast trace import`)")
    try:
        frame = pl.read_parquet(source, glob=False)
        document = pl.read_parquet_metadata(source)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TraceError(f"{source}: not a readable Parquet trace ({reason}); see `tailcast trace import`") from error
    return make_trace(frame, metadata_of_file(document, str(source)), origin=str(source))


def metadata_of_file(document: Mapping[str, str], origin: str) -> TraceMetadata:
    """Read a trace's metadata out of its Parquet file's; raise :class:`TraceError` where it is not what was written."""
    return _metadata_from_json(document.get(_METADATA_KEY), origin)


def _file_metadata(metadata: TraceMetadata) -> dict[str, str]:
    return {_METADATA_KEY: json.dumps({"format": _FORMAT_VERSION, **asdict(metadata)}, sort_keys=True)}


def _cast(frame: pl.DataFrame, name: str, kind: pl.DataType, origin: str) -> pl.Series:
    column = frame[name]
    if column.dtype == kind:
        return column
    try:
        if column.dtype == pl.Boolean() and kind != pl.String():
            raise pl.exceptions.InvalidOperationError("a truth value is no number")
        cast = column.cast(kind, strict=False)
    except pl.exceptions.PolarsError as error:
        raise TraceError(
            f"{origin}: column {name!r} holds {column.dtype}, not {_kind_name(kind)}s; convert it first"
        ) from error
    lost = cast.is_null() & column.is_not_null()
    if kind == pl.Boolean():
        # Polars would take 1.5 for true
        lost |= (cast.cast(pl.Float64()) != column.cast(pl.Float64())).fill_null(False)
    if kind == pl.Int64() and column.dtype.is_float():
        lost |= (cast != column).fill_null(False)  # Polars would cut 1.5 to 1
    if lost.any():
        row = int(lost.arg_true()[0])
        raise TraceError(f"{origin}: row {row + 1}, column {name!r}: {column[row]!r} is not a {_kind_name(kind)}")
    return cast


def _kind_name(kind: pl.DataType) -> str:
    return {pl.Float64(): "number", pl.Int64(): "whole number", pl.Boolean(): "truth value"}.get(kind, "text")


def _validate(frame: pl.DataFrame, origin: str) -> None:
    for name in REQUIRED:
        _refuse(frame, name, frame[name].is_null(), "must not be empty", origin)
    for name in _NON_NEGATIVE:
        column = frame[name]
        if SCHEMA[name] == pl.Float64():
            _refuse(frame, name, ~column.is_finite(), "is not a finite number", origin)
        _refuse(frame, name, column < 0, "is negative", origin)
    _refuse(frame, "attempts", frame["attempts"] < 1, "must be at least 1", origin)
    _refuse(frame, "status", ~frame["status"].is_in(STATUSES), f"is not one of {', '.join(STATUSES)}", origin)
    back = frame["arrival_s"].diff() < 0
    _refuse(frame, "arrival_s", back, "lies before the row above; sort the rows by arrival", origin)


def _refuse(frame: pl.DataFrame, name: str, bad: pl.Series, why: str, origin: str) -> None:
    rows = bad.fill_null(False).arg_true()
    if len(rows):
        row = int(rows[0])
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise TraceError(f"{origin}: row {row + 1}, column {name!r}: {frame[name][row]!r} {why}{more}")


def _metadata_from_json(document: str | None, origin: str) -> TraceMetadata:
    if document is None:
        return TraceMetadata(source="parquet")
    try:
        values: dict[str, Any] = json.loads(document)
    except json.JSONDecodeError as error:
        raise TraceError(f"{origin}: its tailcast metadata is not JSON; write the trace again") from error
    if not isinstance(values, dict):
        raise TraceError(f"{origin}: its tailcast metadata is {document!r}, not an object; write the trace again")
    if values.get("format") != _FORMAT_VERSION:
        raise TraceError(
            f"{origin}: trace format {values.get('format')!r} is not {_FORMAT_VERSION}; "
            "upgrade tailcast or import it again"
        )
    known = {name: value for name, value in values.items() if name in TraceMetadata.__dataclass_fields__}
    for name, value in known.items():
        is_mapping = name in ("models", "versions", "notes")
        if not isinstance(value, dict if is_mapping else str | None):
            wanted = "an object" if is_mapping else "text"
            raise TraceError(f"{origin}: metadata field {name!r} is {value!r}, not {wanted}; write the trace again")
    return TraceMetadata(**known)
