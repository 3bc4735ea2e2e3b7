"""The lines of a text log read byte by byte, in compiled code: what ``log_forms`` reads, sooner.

A block of a log is bytes; most of its lines are in exactly one of a few forms (START, END, REPORT and the function's
own record, as text or JSON). The scanner checks each byte of what it takes once, and copies the fields into a small
table of text for each kind, which Polars then reads as CSV. A line that differs in anything is handed on as it stands,
to be read by the forms and the general expressions; a test holds the two ways to the same tables. So nothing is decoded
that is not kept, and the end of a record (its metrics, more than half of it) is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_REPORT_FIELDS: Final = (
    "request_id",
    "stream",
    "duration_ms",
    "billed_ms",
    "memory_mb",
    "max_memory_mb",
    "init_ms",
    "status",
)
_START_FIELDS: Final = ("request_id", "start_version")


@dataclass(frozen=True)
class Scanned:
    """What a block held, each table in the log's order; times in microseconds since 1970 (null: none)."""

    reports: pl.DataFrame
    """``row``, ``time_us`` and the fields of a REPORT, ``status`` in Lambda's words."""
    starts: pl.DataFrame
    """``row``, ``start_us``, ``request_id``, ``start_version``."""
    records: pl.DataFrame
    """``row`` and the kept fields of a record."""
    others: bytes
    """The lines that are none of these."""
    other_rows: Ints
    """Their rows."""
    lines: int
    """Lines in all."""


def load_scanner() -> None:
    """Load the compiled scanner, or compile it."""
    scan_block(b"", 0)


def scan_block(block: bytes, first_row: int) -> Scanned:
    """Read the lines of ``block``, the first of which is the log's line ``first_row``."""
    # Imported here: half a second that only large logs need.
    from simulator.importers.log_kernel import NO_TIME, RECORD_KEYS, scan

    numbers = {*_REPORT_FIELDS[2:-1], *(name for name, kind, _ in RECORD_KEYS if kind == "n")}
    content = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(content == 10)
    if content.size and content[-1] != 10:
        ends = np.append(ends, content.size)
    tables = [np.empty(content.size + 2 * ends.size, dtype=np.uint8) for _ in range(4)]
    rows, times = np.empty((4, ends.size), dtype=np.int64), np.empty((4, ends.size), dtype=np.int64)
    sizes, counts = scan(content, ends, first_row, *tables, rows, times)

    def table(which: int, fields: tuple[str, ...], time: str | None) -> pl.DataFrame:
        count = int(counts[which])
        schema = {name: pl.Float64() if name in numbers else pl.String() for name in fields}
        columns = [pl.Series("row", rows[which, :count])]
        if time is not None:
            found = pl.Series(time, times[which, :count])
            columns.append(found.set(found == NO_TIME, None))
        if not count:
            return pl.DataFrame([*columns, *(pl.Series(name, [], dtype=schema[name]) for name in fields)])
        read = pl.read_csv(
            tables[which][: int(sizes[which])].tobytes(),
            has_header=False,
            separator="\t",
            quote_char=None,
            schema=schema,
        )
        return read.with_columns(columns)

    return Scanned(
        reports=table(0, _REPORT_FIELDS, "time_us"),
        starts=table(1, _START_FIELDS, "start_us"),
        records=table(2, tuple(name for name, _, kept in RECORD_KEYS if kept), None),
        others=tables[3][: int(sizes[3])].tobytes(),
        other_rows=rows[3, : int(counts[3])],
        lines=int(ends.size),
    )
