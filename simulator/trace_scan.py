"""Traces read lazily: only the columns and rows that are asked for, from a file or from object storage.

Polars reads object storage itself; where it lies and with which keys to ask is the caller's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from simulator.errors import TraceError
from simulator.trace import REQUIRED, SCHEMA, Trace, TraceMetadata, make_trace, metadata_of_file

REMOTE: Final = ("s3://",)
"""What a trace's address in object storage begins with."""


@dataclass(frozen=True)
class LazyTrace:
    """A trace of which only the metadata is read yet. Build one with :func:`scan_trace`."""

    frame: pl.LazyFrame
    """Columns as they stand in the file: a subset of :data:`~simulator.trace.SCHEMA`."""
    metadata: TraceMetadata
    origin: str

    def collect(self, columns: Sequence[str] | None = None, where: pl.Expr | None = None) -> Trace:
        """Read and validate.

        Parameters
        ----------
        columns
            The columns to read, besides ``arrival_s`` and ``status``; the others are null. None: all.
        where
            The rows to read. Parquet skips row groups whose statistics exclude it; a trace is sorted by ``arrival_s``.

        Raises
        ------
        TraceError
            The storage does not answer, or what was read is no trace (see :func:`simulator.trace.make_trace`).
        """
        frame = self.frame if where is None else self.frame.filter(where)
        if columns is not None:
            there = frame.collect_schema().names()
            frame = frame.select(name for name in there if name in columns or name in REQUIRED or name not in SCHEMA)
        try:
            read = frame.collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _unreadable(self.origin, error) from error
        return make_trace(read, self.metadata, origin=self.origin)


def is_remote(source: str | Path) -> bool:
    """Say whether ``source`` is an address in object storage rather than a file."""
    return isinstance(source, str) and source.startswith(REMOTE)


def scan_trace(source: str | Path, *, storage_options: Mapping[str, str] | None = None) -> LazyTrace:
    """Open the trace at ``source``; read its metadata only.

    Parameters
    ----------
    source
        A Parquet file, or an address such as ``s3://bucket/key``.
    storage_options
        Region, keys and endpoint of the storage under Polars' (object_store's) names. None: Polars finds them itself.

    Raises
    ------
    TraceError
        Nothing is there, the storage does not answer, or it is no Parquet file.
    """
    origin = str(source)
    options = dict(storage_options) if storage_options is not None and is_remote(source) else None
    if not is_remote(source) and not Path(source).is_file():
        raise TraceError(f"{origin}: no such trace file")
    try:
        document = pl.read_parquet_metadata(origin, storage_options=options)
        frame = pl.scan_parquet(origin, storage_options=options, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(origin, error) from error
    return LazyTrace(frame, metadata_of_file(document, origin), origin)


def _unreadable(origin: str, error: Exception) -> TraceError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TraceError(f"{origin}: not a readable Parquet trace ({reason}); check the address, keys and region")
