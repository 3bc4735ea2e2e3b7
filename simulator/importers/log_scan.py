"""The lines of a text log read byte by byte, in compiled code: what ``log_forms`` reads, sooner.

A block of a log is bytes; most of its lines are in exactly one of a few forms (START, END, REPORT and the function's
own record, as text or JSON). The scanner checks each byte of what it takes once, and copies the fields into a small
table of text for each kind, which Polars then reads as CSV. A line that differs in anything is handed on as it stands,
to be read by the forms and the general expressions; a test holds the two ways to the same tables. So nothing is decoded
that is not kept, and the end of a record (its metrics, more than half of it) is never looked at.
"""

from __future__ import annotations

import threading
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


class _Space:
    """Memory to scan into, used again by the same thread: fresh memory would cost as much as the scan."""

    def __init__(self, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self.ends = np.empty(block_bytes + 1, dtype=np.int64)
        # All bytes and what separates fields, were each byte a line; only what is written takes memory.
        self.tables = [np.empty(3 * block_bytes, dtype=np.uint8) for _ in range(4)]
        self._numbers = np.empty((2, 0), dtype=np.int64)

    def numbers(self, lines: int) -> tuple[Ints, Ints]:
        """Give room for rows and times, shape ``(4, lines)`` each."""
        if self._numbers.shape[1] < 4 * lines:
            self._numbers = np.empty((2, 4 * lines + lines // 2), dtype=np.int64)
        rows, times = (half[: 4 * lines].reshape(4, lines) for half in self._numbers)
        return rows, times


_of_thread = threading.local()


def _space(block_bytes: int) -> _Space:
    held: _Space | None = getattr(_of_thread, "space", None)
    if held is None or held.block_bytes < block_bytes:
        held = _of_thread.space = _Space(block_bytes)
    return held


def load_scanner() -> None:
    """Load the compiled scanner, or compile it."""
    scan_block(b"", 0)


def scan_block(block: bytes | memoryview, first_row: int) -> Scanned:
    """Read the lines of ``block``, the first of which is the log's line ``first_row``."""
    # Imported here: half a second that only large logs need.
    from simulator.importers.scanner.lines import NO_TIME
    from simulator.importers.scanner.scan import line_ends, scan
    from simulator.importers.scanner.texts import RECORD_KEYS

    numbers = {*_REPORT_FIELDS[2:-1], *(name for name, kind, _ in RECORD_KEYS if kind == "n")}
    content = np.frombuffer(block, dtype=np.uint8)
    content.flags.writeable = False
    space = _space(content.size)
    ends = space.ends[: line_ends(content, space.ends)]
    tables, rows, times = space.tables, *space.numbers(ends.size)
    sizes, counts = scan(content, ends, first_row, *tables, rows, times)

    def table(which: int, fields: tuple[str, ...], time: str | None) -> pl.DataFrame:
        count = int(counts[which])
        schema = {name: pl.Float64() if name in numbers else pl.String() for name in fields}
        columns = [pl.Series("row", rows[which, :count].copy())]
        if time is not None:
            found = pl.Series(time, times[which, :count].copy())
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
        other_rows=rows[3, : int(counts[3])].copy(),
        lines=int(ends.size),
    )
