"""Requests joined while the log is read: for logs that are nearly in order, as CloudWatch hands them out.

What a request left then lies close together, so a stretch of the log can be joined by itself, and what has no REPORT
yet waits for the next one. Two things are found at the end: requests with reports in several stretches (an asynchronous
invocation that Lambda repeats keeps its id), and lines that came after their request's report. These few are joined
once more, all that they left together.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.importers.lambda_events import LogCounts, join_tables
from simulator.importers.log_blocks import read_blocks
from simulator.importers.log_parts import Joined, Part, write_part
from simulator.importers.log_tables import LogTables, together

BLOCKS_A_BATCH: Final = 8
MOST_WAITING: Final = 500_000
"""Rows that wait for a report, or are to be joined again: with more of them, the log is not in order."""

_OWN: Final = "own_"


def join_by_batch(path: Path, folder: Path) -> Joined | None:
    """Join the requests of the log at ``path`` into files in ``folder``; None where it is not nearly in order.

    Raises
    ------
    TraceError
        The file cannot be read.
    """
    parts: list[Future[Part]] = []
    seen: list[NDArray[np.uint64]] = []
    counts = LogCounts()
    waiting = LogTables.empty()
    # Written beside the reading of the next blocks, one at a time.
    with ThreadPoolExecutor(1, thread_name_prefix="log-part") as writer:
        for fresh in _batches(path):
            tables = together([waiting, fresh])
            requests = join_tables(tables)
            waiting = _without_report(tables)
            counts += _counted(LogCounts.of(tables, requests), fresh.records.height)
            if max(waiting.starts.height, waiting.records.height) > MOST_WAITING:
                return None
            if requests.height:
                seen.append(_hashes(requests["request_id"]))
                if parts:
                    parts[-1].result()
                parts.append(writer.submit(write_part, folder / f"joined-{len(parts)}.parquet", requests))
        written = [part.result() for part in parts]
    return _joined_again(written, seen, waiting, counts, folder)


def _batches(path: Path) -> Iterator[LogTables]:
    blocks: list[LogTables] = []
    for tables in read_blocks(path):
        blocks.append(tables)
        if len(blocks) == BLOCKS_A_BATCH:
            yield together(blocks)
            blocks = []
    if blocks:
        yield together(blocks)


def _without_report(tables: LogTables) -> LogTables:
    reported = tables.reports.select("request_id")
    return LogTables(
        tables.reports.clear(),
        tables.starts.join(reported, on="request_id", how="anti", maintain_order="left"),
        tables.records.join(reported, on="request_id", how="anti", maintain_order="left"),
    )


def _counted(counts: LogCounts, records: int) -> LogCounts:
    """Count only the batch's own records: those that waited have been counted."""
    return LogCounts(counts.reports, counts.repeated, records, counts.joined_records)


def _hashes(ids: pl.Series) -> NDArray[np.uint64]:
    # Two ids with one hash are joined again, each by itself: that changes nothing.
    return ids.unique().hash(seed=0).to_numpy()


def _joined_again(
    parts: list[Part], seen: list[NDArray[np.uint64]], waiting: LogTables, counts: LogCounts, folder: Path
) -> Joined | None:
    """Join those requests once more of which something lies outside of their part; None where they are too many."""
    if not parts:
        return Joined(parts, counts)
    hashes = np.sort(np.concatenate(seen))
    late = np.concatenate([_hashes(table["request_id"]) for table in (waiting.starts, waiting.records)])
    reported = hashes[np.minimum(np.searchsorted(hashes, late), hashes.size - 1)] == late
    again = np.concatenate([hashes[1:][hashes[1:] == hashes[:-1]], late[reported]])
    if not again.size:
        return Joined(parts, counts)
    wanted = pl.col("request_id").hash(seed=0).is_in(pl.Series(again).implode())
    taken, kept = zip(*(part.without(wanted) for part in parts), strict=True)
    requests = pl.concat(taken).drop("arrival_us")
    if requests.height > MOST_WAITING:
        return None
    joined = join_tables(together([_tables_of(requests), waiting]))
    counts += LogCounts(
        reports=joined.height - requests.height,
        repeated=requests.height - joined.height,
        joined_records=_records(joined) - _records(requests),
    )
    return Joined([*kept, write_part(folder / "joined-again.parquet", joined)], counts)


def _tables_of(requests: pl.DataFrame) -> LogTables:
    """Take joined requests apart again; starts and records in the order of their reports' parts, which is the log's."""
    empty = LogTables.empty()
    starts = requests.select(empty.starts.columns).filter(
        pl.any_horizontal(pl.col("start_us", "start_version").is_not_null())
    )
    own = [name for name in empty.records.columns if name not in ("row", "request_id")]
    records = requests.select("row", "request_id", *(pl.col(f"{_OWN}{name}").alias(name) for name in own))
    return LogTables(
        requests.sort("row").select(empty.reports.columns),
        starts,
        records.filter(pl.any_horizontal(pl.col(own).is_not_null())).select(empty.records.columns),
    )


def _records(requests: pl.DataFrame) -> int:
    return requests.height - requests["own_inference_ms"].null_count()
