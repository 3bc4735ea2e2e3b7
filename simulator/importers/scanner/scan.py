"""What Python calls: the ends of a block's lines, and the scan of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np

from simulator.compiling import kept
from simulator.importers.scanner.lines import (
    NOTHING,
    RECORD,
    RECORD_WIDTH,
    REPORT,
    REPORT_WIDTH,
    START,
    START_WIDTH,
    line,
)
from simulator.importers.scanner.memory import byte, eight_bytes, inner
from simulator.importers.scanner.texts import KEY_KINDS
from simulator.importers.scanner.words import put

_NEWLINE: Final = 10
_NEWLINES: Final = 0x0A0A_0A0A_0A0A_0A0A
_ONES: Final = 0x0101_0101_0101_0101
_HIGH_BITS: Final = -0x7F7F_7F7F_7F7F_7F80
"""0x8080808080808080 as a signed number."""


@inner
def holds_newline(word: int) -> bool:
    """Say whether one of eight bytes is a line's end: Bit Twiddling Hacks, "Determine if a word has a zero byte"."""
    other = word ^ _NEWLINES
    return (other - _ONES) & ~other & _HIGH_BITS != 0


def _build_ends(fingerprint: str):  # type: ignore[no-untyped-def]  # numba types it
    def line_ends(log, ends):  # type: ignore[no-untyped-def]  # so too
        """Write down where each line ends; give how many there are. The last one may end with the log."""
        fingerprint  # noqa: B018  (what is kept is found by it)
        content, size, lines, place = int(log.ctypes.data), log.size, 0, 0
        while place < size:
            if place + 8 <= size and not holds_newline(eight_bytes(content, place)):
                place += 8
                continue
            for at in range(place, min(place + 8, size)):
                if byte(content, at) == _NEWLINE:
                    ends[lines] = at
                    lines += 1
            place += 8
        if size and byte(content, size - 1) != _NEWLINE:
            ends[lines] = size
            lines += 1
        return lines

    return kept(line_ends)


def _build(fingerprint: str):  # type: ignore[no-untyped-def]  # numba types it
    def scan(log, ends, first_row, reports, starts, records, others, rows, times):  # type: ignore[no-untyped-def]  # so too
        """Read the lines that end at ``ends``; fill the tables of text, rows and times; give their bytes and lines."""
        fingerprint  # noqa: B018  (what is kept is found by it)
        content = int(log.ctypes.data)
        tables = (
            int(reports.ctypes.data),
            int(starts.ctypes.data),
            int(records.ctypes.data),
            int(others.ctypes.data),
        )
        sizes, counts = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
        cuts = np.zeros(2 * KEY_KINDS.size, dtype=np.int64)
        begin = 0
        for index in range(ends.size):
            end = ends[index]
            kind, time_us = line(content, begin, end, cuts)
            if kind == REPORT:
                which, fields = 0, REPORT_WIDTH
            elif kind == START:
                which, fields = 1, START_WIDTH
            elif kind == RECORD:
                which, fields = 2, RECORD_WIDTH
            else:
                which, fields = 3, 0
            if kind != NOTHING and end > begin:
                size = sizes[which]
                for field in range(fields):
                    last = field + 1 == fields
                    size = put(tables[which], size, content, cuts[2 * field], cuts[2 * field + 1], last)
                if fields == 0:
                    size = put(tables[which], size, content, begin, end, True)
                sizes[which] = size
                rows[which, counts[which]] = first_row + index
                times[which, counts[which]] = time_us
                counts[which] += 1
            begin = end + 1
        return sizes, counts

    return kept(scan)


def _fingerprint() -> str:
    # Numba looks at this file alone to see whether what it has kept is still right.
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


scan: Final = _build(_fingerprint())
line_ends: Final = _build_ends(_fingerprint())
