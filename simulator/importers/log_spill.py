"""A log larger than memory becomes a trace file: parse, join, sort by arrival, write.

1. The requests are joined into sorted files: stretch by stretch of the log where it is nearly in order
   (``log_batches``). Where it is not, each block's tables are dealt out to parts by a hash of the request id, so that
   all that a request left meets in one, and each part, small enough to hold, is joined.
2. The sorted files are cut at the same arrivals, and each span between two cuts is merged and written, in order
   (``log_parts``).

At no time are more than a few blocks, one part or one span in memory, besides sixteen bytes a request.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl
from polars.io.plugins import register_io_source

from simulator.importers.base import ImportOptions, check_file, iso_time
from simulator.importers.lambda_events import LogCounts, join_tables, models_of, no_report, no_time
from simulator.importers.log_batches import join_by_batch
from simulator.importers.log_blocks import is_gzipped, read_blocks
from simulator.importers.log_parts import ROW_GROUP, Joined, spans, write_part
from simulator.importers.log_tables import LogTables, together
from simulator.trace import SCHEMA, TraceMetadata, sink_trace

PART_BYTES: Final = 256 * 2**20
"""Bytes of log to a part; a log of fewer is imported in memory."""
_BLOCKS_A_SPILL: Final = 8
_PIECE_ROWS: Final = 5_000
"""Each span reads as many of each part, not more at once than it needs."""
_GZIP_RATIO: Final = 12
"""Logs of this kind shrink by about as much; it only decides how many parts there are."""


def needs_spill(path: Path) -> bool:
    """Say whether the log at ``path`` is better imported through files."""
    check_file(path)
    return _parts_of(path, PART_BYTES) > 1


def import_to_file(path: Path, options: ImportOptions, out: Path, metadata: TraceMetadata, part_bytes: int) -> None:
    """Import the text log at ``path`` into the trace file ``out``; the same rows as through memory.

    Parameters
    ----------
    path, options
        As of :func:`simulator.importers.import_trace`.
    out
        The Parquet file; its folder also holds the temporary files, about half of the log's size.
    metadata
        What the caller says of the trace; the log's date, models and notes are laid under it.
    part_bytes
        Bytes of log to a part.

    Raises
    ------
    TraceError
        As of :func:`simulator.importers.lambda_events.trace_of_events`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        folder = Path(name)
        joined = join_by_batch(path, folder) or _join_by_request(path, folder, _parts_of(path, part_bytes))
        if not joined.parts:
            raise no_report(str(path))
        untimed = sum(part.untimed for part in joined.parts)
        if untimed:
            raise no_time(str(path), untimed, joined.counts.reports)
        first_us = min(int(part.key_us[0]) for part in joined.parts)
        said = TraceMetadata(
            source=metadata.source,
            recorded_at=iso_time(first_us),
            function=metadata.function,
            region=metadata.region,
            models={**models_of([part.pairs for part in joined.parts]), **metadata.models},
            notes=joined.counts.notes(),
        )

        def sorted_rows(*_: object) -> Iterator[pl.DataFrame]:
            # A sink asks for every column and row; the arguments would name fewer.
            return spans(joined.parts, first_us, options, str(path))

        sink_trace(register_io_source(sorted_rows, schema=dict(SCHEMA)), said, out, row_group_size=ROW_GROUP)


def _parts_of(path: Path, part_bytes: int) -> int:
    size = path.stat().st_size * (_GZIP_RATIO if is_gzipped(path) else 1)
    return -(-size // part_bytes)


def _join_by_request(path: Path, folder: Path, parts: int) -> Joined:
    """Join the requests of a log in any order, part by part."""
    counts, joined = LogCounts(), []
    for part in range(_deal(path, folder, parts)):
        tables = _part(folder, part)
        if tables is not None:
            requests = join_tables(tables)
            counts += LogCounts.of(tables, requests)
            joined.append(write_part(folder / f"joined-{part}.parquet", requests, _PIECE_ROWS))
    return Joined(joined, counts)


def _deal(path: Path, folder: Path, parts: int) -> int:
    waiting: list[LogTables] = []
    spills = 0
    for tables in read_blocks(path):
        waiting.append(tables)
        if len(waiting) == _BLOCKS_A_SPILL:
            _spill(together(waiting), folder, spills, parts)
            waiting, spills = [], spills + 1
    if waiting:
        _spill(together(waiting), folder, spills, parts)
    return parts


def _spill(tables: LogTables, folder: Path, number: int, parts: int) -> None:
    for kind in ("reports", "starts", "records"):
        table: pl.DataFrame = getattr(tables, kind)
        dealt = table.with_columns((pl.col("request_id").hash(seed=0) % parts).alias("part"))
        for (part,), rows in dealt.partition_by("part", as_dict=True, include_key=False, maintain_order=True).items():
            rows.write_parquet(folder / f"{kind}-{part}-{number:06d}.parquet", compression="lz4", statistics=False)


def _part(folder: Path, part: int) -> LogTables | None:
    """Read what was dealt to a part, in the log's order, and delete it; None where no report was."""
    tables = []
    for kind in ("reports", "starts", "records"):
        files = sorted(folder.glob(f"{kind}-{part}-*.parquet"))
        tables.append(pl.concat([pl.read_parquet(file, glob=False) for file in files]) if files else None)
        for file in files:
            file.unlink()
    reports, starts, records = tables
    if reports is None:
        return None
    empty = LogTables.empty()
    return LogTables(reports, empty.starts if starts is None else starts, empty.records if records is None else records)
