"""A log larger than memory becomes a trace file: parse, part by request, join, sort by arrival, write.

1. Each block's tables are dealt out to parts by a hash of the request id, so that all that a request left meets in one.
2. Each part, small enough to hold, is joined and sorted by arrival into a file of its own.
3. The parts' sorted files are cut at the same arrivals, and each span between two cuts is merged and written, in order.

At no time are more than a few blocks, one part or one span in memory, besides eight bytes a request for the cuts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from simulator.importers.base import US_PER_S, ImportOptions, check_file, filled, iso_time
from simulator.importers.lambda_events import (
    LogCounts,
    join_tables,
    model_pairs,
    models_of,
    no_report,
    no_time,
    trace_columns,
)
from simulator.importers.log_blocks import is_gzipped, read_blocks
from simulator.importers.log_tables import LogTables, together
from simulator.trace import SCHEMA, TraceMetadata, make_trace, sink_trace

PART_BYTES: Final = 256 * 2**20
"""Bytes of log to a part; a log of fewer is imported in memory."""
_BLOCKS_A_SPILL: Final = 8
_SPAN_ROWS: Final = 60_000
_ROW_GROUP: Final = 50_000
_GZIP_RATIO: Final = 12
"""Logs of this kind shrink by about as much; it only decides how many parts there are."""


@dataclass(frozen=True)
class _Part:
    """A joined part, sorted by ``key_us``."""

    path: Path
    key_us: NDArray[np.int64]


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
        parts = _deal(path, folder, _parts_of(path, part_bytes))
        counts, pairs, joined = LogCounts(), [], []
        untimed = 0
        for part in range(parts):
            tables = _part(folder, part)
            if tables is None:
                continue
            requests = join_tables(tables)
            counts += LogCounts.of(tables, requests)
            pairs.append(model_pairs(requests))
            made = _sorted_part(folder / f"joined-{part}.parquet", requests)
            untimed += made[1]
            joined.append(made[0])
        if not joined:
            raise no_report(str(path))
        if untimed:
            raise no_time(str(path), untimed, counts.reports)
        first_us = min(int(part.key_us[0]) for part in joined)
        said = TraceMetadata(
            source=metadata.source,
            recorded_at=iso_time(first_us),
            function=metadata.function,
            region=metadata.region,
            models={**models_of(pairs), **metadata.models},
            notes=counts.notes(),
        )

        def spans(*_: object) -> Iterator[pl.DataFrame]:
            # A sink asks for every column and row; the arguments would name fewer.
            return _spans(joined, first_us, options, str(path))

        sink_trace(register_io_source(spans, schema=dict(SCHEMA)), said, out, row_group_size=_ROW_GROUP)


def _parts_of(path: Path, part_bytes: int) -> int:
    size = path.stat().st_size * (_GZIP_RATIO if is_gzipped(path) else 1)
    return -(-size // part_bytes)


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
        tables.append(pl.concat([pl.read_parquet(file) for file in files]) if files else None)
        for file in files:
            file.unlink()
    reports, starts, records = tables
    if reports is None:
        return None
    empty = LogTables.empty()
    return LogTables(reports, empty.starts if starts is None else starts, empty.records if records is None else records)


def _sorted_part(path: Path, requests: pl.DataFrame) -> tuple[_Part, int]:
    frame = requests.select("row", *trace_columns()).sort("arrival_us", "row")
    untimed = frame["arrival_us"].null_count()
    frame.write_parquet(path, compression="lz4", statistics=False, row_group_size=_ROW_GROUP // 10)
    return _Part(path, frame["arrival_us"].drop_nulls().to_numpy()), untimed


def _spans(parts: list[_Part], first_us: int, options: ImportOptions, origin: str) -> Iterator[pl.DataFrame]:
    """Merge the parts span by span; every request of one arrival lies in the same span."""
    keys = np.concatenate([part.key_us for part in parts])
    keys.sort()
    cuts = np.unique(keys[_SPAN_ROWS::_SPAN_ROWS])
    del keys
    at = [np.concatenate(([0], np.searchsorted(part.key_us, cuts), [len(part.key_us)])) for part in parts]
    for span in range(len(cuts) + 1):
        pieces = [
            pl.scan_parquet(part.path).slice(int(rows[span]), int(rows[span + 1] - rows[span])).collect()
            for part, rows in zip(parts, at, strict=True)
            if rows[span + 1] > rows[span]
        ]
        if not pieces:
            continue
        merged = pl.concat(pieces).sort("arrival_us", "row")
        arrival_s = ((pl.col("arrival_us") - first_us) / US_PER_S).alias("arrival_s")
        frame = filled(merged.with_columns(arrival_s).drop("arrival_us", "row"), options)
        yield make_trace(frame, origin=origin).frame
