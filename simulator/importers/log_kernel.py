"""The compiled half of :mod:`~simulator.importers.log_scan`; importing this takes numba's half second.

All of it is in this one file, since numba looks at the file of the entry function alone to see whether what it has kept
is still right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from simulator.importers.log_texts import *
from simulator.importers.log_texts import __file__ as texts_file

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

OTHER, NOTHING, REPORT, START, RECORD = range(5)
NO_TIME: Final = -(2**63)
REPORT_WIDTH: Final = 8
"""Fields of a report: request id, stream, duration, billed, memory, most memory, INIT, status."""
START_WIDTH: Final = 2
RECORD_WIDTH: Final = sum(kept for _, _, kept in RECORD_KEYS)



def _inner(function: Function) -> Function:
    return cast(Function, numba.njit(error_model="numpy", nogil=True)(function))


@intrinsic
def byte(_typing: Any, address: Any, place: Any) -> Any:  # noqa: ARG001  (numba reads their names)
    """Give the byte at a place of the memory at an address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        base, offset = arguments
        pointer = builder.inttoptr(builder.add(base, offset), context.get_value_type(types.uint8).as_pointer())
        return builder.zext(builder.load(pointer), context.get_value_type(types.int64))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def copy(_typing: Any, to: Any, address: Any, count: Any) -> Any:  # noqa: ARG001  (numba reads their names)
    """Copy so many bytes from an address to another."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        target, source, size = arguments
        pointer = context.get_value_type(types.uint8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(target, pointer), builder.inttoptr(source, pointer), size, 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def put_byte(_typing: Any, address: Any, place: Any, value: Any) -> Any:  # noqa: ARG001  (numba reads their names)
    """Write a byte at a place of the memory at an address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        base, offset, number = arguments
        kind = context.get_value_type(types.uint8)
        pointer = builder.inttoptr(builder.add(base, offset), kind.as_pointer())
        builder.store(builder.trunc(number, kind), pointer)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@_inner
def is_in(content: int, at: int, allowed: int) -> bool:
    """Say whether a byte belongs to a class."""
    return bool(ALLOWED[256 * allowed + byte(content, at)])


@_inner
def literal(content: int, at: int, end: int, text: int) -> int:
    """Give where the text ends that has to stand at ``at``, or −1."""
    first, last = EDGES[text], EDGES[text + 1]
    if at < 0 or at + last - first > end:
        return -1
    for i in range(first, last):
        if byte(content, at + i - first) != BYTES[i]:
            return -1
    return int(at + last - first)


@_inner
def span(content: int, at: int, end: int, allowed: int) -> int:
    """Give where the allowed bytes from ``at`` on end."""
    while at < end and ALLOWED[256 * allowed + byte(content, at)]:
        at += 1
    return at


@_inner
def number(content: int, at: int, end: int) -> int:
    """Give where the number at ``at`` ends, or −1."""
    stop = span(content, at, end, DIGIT)
    if stop == at:
        return -1
    if stop + 1 < end and byte(content, stop) == 46 and is_in(content, stop + 1, DIGIT):
        stop = span(content, stop + 1, end, DIGIT)
    if stop + 1 < end and (byte(content, stop) == 101 or byte(content, stop) == 69):
        power = stop + 1
        if byte(content, power) == 43 or byte(content, power) == 45:
            power += 1
        after = span(content, power, end, DIGIT)
        if after > power:
            stop = after
    return stop


@_inner
def digits(content: int, at: int, count: int) -> int:
    """Give the value of so many digits, or −1."""
    value = 0
    for i in range(at, at + count):
        if not is_in(content, i, DIGIT):
            return -1
        value = value * 10 + (int(byte(content, i)) - 48)
    return value


@_inner
def clock(content: int, at: int, end: int) -> tuple[int, int]:
    """Read ``2026-11-20T12:00:00.000000Z``: the microseconds since 1970, and where it ends (−1: no such time)."""
    if at + 20 > end or byte(content, at + 4) != 45 or byte(content, at + 7) != 45 or byte(content, at + 10) != 84:
        return 0, -1
    if byte(content, at + 13) != 58 or byte(content, at + 16) != 58:
        return 0, -1
    year, month, day = digits(content, at, 4), digits(content, at + 5, 2), digits(content, at + 8, 2)
    hour, minute, second = digits(content, at + 11, 2), digits(content, at + 14, 2), digits(content, at + 17, 2)
    # Days beyond the 28th are left to those who know the calendar's rules, and so are leap seconds.
    if year < 1970 or not 1 <= month <= 12 or day < 1 or hour > 23 or minute > 59 or second > 59:
        return 0, -1
    if min(hour, minute, second) < 0 or day > 31 or (day > 28 and month == 2) or (day > 30 and month in (4, 6, 9, 11)):
        return 0, -1
    at += 19
    fraction = 0
    if byte(content, at) == 46:
        stop = span(content, at + 1, end, DIGIT)
        length = stop - at - 1
        if length < 1 or length > 6:
            return 0, -1
        fraction = digits(content, at + 1, length) * 10 ** (6 - length)
        at = stop
    if at < end and byte(content, at) == 90:
        at += 1
    elif (
        at + 6 <= end and byte(content, at) == 43 and byte(content, at + 3) == 58
        and digits(content, at + 1, 2) == 0 and digits(content, at + 4, 2) == 0
    ):  # fmt: skip
        at += 6
    else:
        return 0, -1
    # Days since 1970-01-01 of the proleptic Gregorian calendar, years beginning in March.
    shifted = year - (month <= 2)
    era, of_era = shifted // 400, shifted % 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + fraction, at


@_inner
def stream(content: int, at: int, end: int) -> int:
    """Give where the stream's name at ``at`` ends, or −1."""
    if at + 11 > end or byte(content, at + 4) != 47 or byte(content, at + 7) != 47 or byte(content, at + 10) != 47:
        return -1
    if digits(content, at, 4) < 0 or digits(content, at + 5, 2) < 0 or digits(content, at + 8, 2) < 0:
        return -1
    at = span(content, at + 11, end, WORD)
    if at >= end or byte(content, at) != 91:
        return -1
    stop = at + 1
    while stop < end and (is_in(content, stop, ALNUM) or byte(content, stop) == 36):
        stop += 1
    if stop == at + 1 or stop >= end or byte(content, stop) != 93:
        return -1
    at = stop + 1
    stop = span(content, at, end, ALNUM)
    return stop if stop > at else -1


@_inner
def put(table: int, size: int, content: int, at: int, end: int, last: bool) -> int:
    """Append a field and what separates it from the next."""
    copy(table + size, content + at, end - at)
    size += end - at
    put_byte(table, size, 10 if last else 9)
    return size + 1


@_inner
def report(content: int, at: int, end: int, cuts: Ints) -> bool:
    """Read a REPORT from behind its literal on; the bounds of its fields go to ``cuts``."""
    stop = span(content, at, end, WORD)
    if stop == at:
        return False
    cuts[0], cuts[1] = at, stop
    at = stop
    for piece in range(4):
        at = literal(content, at, end, PIECES + piece)
        if at < 0:
            return False
        stop = number(content, at, end)
        if stop < 0:
            return False
        cuts[4 + 2 * piece], cuts[5 + 2 * piece] = at, stop
        at = stop
    at = literal(content, at, end, L_MB)
    if at < 0:
        return False
    if at < end and byte(content, at) == 9:
        at += 1
    cuts[12], cuts[13] = at, at
    cuts[14], cuts[15] = at, at
    if at < end:
        at = literal(content, at, end, L_INIT)
        if at < 0:
            return False
        stop = number(content, at, end)
        if stop < 0:
            return False
        cuts[12], cuts[13] = at, stop
        at = literal(content, stop, end, L_MS)
        if at >= 0 and at < end and byte(content, at) == 9:
            at += 1
    return at == end


@_inner
def key(content: int, at: int, end: int, text: int) -> int:
    """Give where the value of the key that has to stand at ``at`` begins, or −1."""
    return blank(content, literal(content, at, end, text), end)


@_inner
def blank(content: int, at: int, end: int) -> int:
    """Give what follows the blank that may stand at ``at``."""
    return at + 1 if 0 <= at < end and byte(content, at) == 32 else at


@_inner
def comma(content: int, at: int, end: int) -> int:
    """Give what follows the comma at ``at`` and a blank, or −1."""
    if at < 0 or at >= end or byte(content, at) != 44:
        return -1
    at += 1
    if at < end and byte(content, at) == 32:
        at += 1
    return at


@_inner
def quoted(content: int, at: int, end: int) -> int:
    """Give where the text at ``at`` ends, its quotes with it, or −1."""
    if at < 0 or at >= end or byte(content, at) != 34:
        return -1
    at = span(content, at + 1, end, TEXT)
    return at + 1 if at < end and byte(content, at) == 34 else -1


@_inner
def record(content: int, at: int, end: int, cuts: Ints) -> bool:
    """Read a record from its first brace on."""
    begin = key(content, at, end, L_TAILCAST)
    if begin < 0:
        # The envelope of Lambda's JSON log format.
        at = comma(content, quoted(content, key(content, at, end, L_TIMESTAMP), end), end)
        at = comma(content, quoted(content, key(content, at, end, L_LEVEL), end), end)
        asked = key(content, at, end, L_REQUEST)
        if asked >= 0:
            at = comma(content, quoted(content, asked, end), end)
        at = key(content, at, end, L_MESSAGE)
        begin = key(content, at, end, L_TAILCAST)
    at = comma(content, literal(content, begin, end, L_INFERENCE), end)
    kept = 0
    for field in range(KEY_KINDS.size):
        at = key(content, at, end, KEYS + field)
        if at < 0:
            return False
        first, stop = at, literal(content, at, end, L_NULL)
        if stop >= 0:
            if field == 0:
                return False
            last = first
        elif KEY_KINDS[field] == 116:
            stop = quoted(content, at, end)
            first, last = at + 1, stop - 1
            # An empty text is none: not to be told from null in a table of text.
            if KEY_KEPT[field] and stop >= 0 and first == last:
                return False
        elif KEY_KINDS[field] == 110:
            stop = number(content, at, end)
            last = stop
        else:
            stop = max(literal(content, at, end, L_TRUE), literal(content, at, end, L_FALSE))
            last = stop
        if stop < 0:
            return False
        if KEY_KEPT[field]:
            cuts[2 * kept], cuts[2 * kept + 1] = first, last
            kept += 1
        if field + 1 < KEY_KINDS.size:
            at = comma(content, stop, end)
        else:
            return stop < end and (byte(content, stop) == 44 or byte(content, stop) == 125)
    return False


@_inner
def word(content: int, at: int, end: int, allowed: int, cuts: Ints, field: int) -> int:
    """Read a quoted word of at least one byte; give where it ends, or −1."""
    if at < 0 or at >= end or byte(content, at) != 34:
        return -1
    stop = span(content, at + 1, end, allowed)
    if stop == at + 1 or stop >= end or byte(content, stop) != 34:
        return -1
    cuts[2 * field], cuts[2 * field + 1] = at + 1, stop
    return stop + 1


@_inner
def json_report(content: int, at: int, end: int, cuts: Ints) -> int:
    """Read the record of a ``platform.report`` from its first key on; give where its status ends, or −1."""
    at = comma(content, word(content, key(content, at, end, L_REQUEST), end, WORD, cuts, 0), end)
    at = key(content, at, end, L_METRICS_KEY)
    cuts[12], cuts[13] = at, at
    for metric in range(5):
        begin = key(content, at, end, METRICS + metric)
        stop = number(content, begin, end) if begin >= 0 else -1
        if stop < 0:
            return -1
        cuts[4 + 2 * metric], cuts[5 + 2 * metric] = begin, stop
        # INIT, the last one, is there where it was a cold start.
        if metric >= 3 and stop < end and byte(content, stop) == 125:
            at = comma(content, stop + 1, end)
            break
        at = comma(content, stop, end)
    return word(content, key(content, at, end, L_JSON_STATUS), end, TEXT, cuts, 7)


@_inner
def event(content: int, at: int, end: int, cuts: Ints) -> tuple[int, int]:
    """Say which event of Lambda's JSON log format stands at ``at``, and the time in it."""
    begin = key(content, at, end, L_TIME)
    if begin < 0 or begin >= end or byte(content, begin) != 34:
        return OTHER, NO_TIME
    time_us, stop = clock(content, begin + 1, end)
    if stop < 0 or byte(content, stop - 1) != 90 or stop >= end or byte(content, stop) != 34:
        return OTHER, NO_TIME
    at = key(content, comma(content, stop + 1, end), end, L_TYPE)
    at = literal(content, at, end, L_PLATFORM)
    after = literal(content, at, end, L_JSON_REPORT)
    kind = REPORT
    if after < 0:
        after, kind = literal(content, at, end, L_JSON_START), START
    if after < 0:
        # Another event; but a line that names one of ours anywhere is looked at again.
        return (OTHER if at < 0 or names_ours(content, at, end) else NOTHING), time_us
    at = key(content, comma(content, after, end), end, L_INNER)
    if at < 0 or at >= end or byte(content, at) != 123:
        return OTHER, time_us
    at += 1
    if kind == REPORT:
        at = json_report(content, at, end, cuts)
    else:
        at = comma(content, word(content, key(content, at, end, L_REQUEST), end, WORD, cuts, 0), end)
        at = word(content, key(content, at, end, L_JSON_VERSION), end, VERSION, cuts, 1)
    if at < 0 or at + 2 != end or byte(content, at) != 125 or byte(content, at + 1) != 125:
        return OTHER, time_us
    return kind, time_us


@_inner
def names_ours(content: int, at: int, end: int) -> bool:
    """Say whether anything that a line of ours holds stands between ``at`` and ``end``."""
    for place in range(at, end):
        head = byte(content, place)
        if head == 112 and literal(content, place, end, L_NAME) >= 0:
            return True
        if head == 116 and literal(content, place, end, L_OURS) >= 0:
            return True
        if head == 82 and literal(content, place, end, L_REPORT_ID) >= 0:
            return True
        if head == 83 and literal(content, place, end, L_START_ID) >= 0:
            return True
    return False


@_inner
def line(content: int, begin: int, end: int, cuts: Ints) -> tuple[int, int]:
    """Say what a line is; its time, and the bounds of its fields in ``cuts``."""
    time_us, at = clock(content, begin, end)
    cuts[2], cuts[3] = begin, begin
    if at >= 0 and at < end and byte(content, at) == 32:
        at += 1
        stop = stream(content, at, end)
        if stop >= 0 and stop < end and byte(content, stop) == 32:
            cuts[2], cuts[3] = at, stop
            at = stop + 1
    else:
        at, time_us = begin, NO_TIME
    if at >= end:
        return OTHER, time_us
    head = byte(content, at)
    if head == 82:
        after = literal(content, at, end, L_REPORT_ID)
        return (REPORT if after >= 0 and report(content, after, end, cuts) else OTHER), time_us
    if head == 83:
        after = literal(content, at, end, L_START_ID)
        stop = span(content, after, end, WORD) if after >= 0 else -1
        if stop <= after or after < 0:
            return OTHER, time_us
        cuts[0], cuts[1] = after, stop
        cuts[2], cuts[3] = stop, stop
        if stop < end:
            cuts[2] = literal(content, stop, end, L_VERSION)
            if cuts[2] < 0:
                return OTHER, time_us
            cuts[3] = span(content, cuts[2], end, VERSION)
            if cuts[3] == cuts[2] or cuts[3] != end:
                return OTHER, time_us
        return START, time_us
    if head == 69:
        after = literal(content, at, end, L_END_ID)
        return (NOTHING if after >= 0 and span(content, after, end, WORD) == end else OTHER), time_us
    if head == 123:
        kind, event_us = event(content, at, end, cuts)
        if kind != OTHER:
            return kind, event_us if time_us == NO_TIME else time_us
    # What the time and the stream are made of may stand before a record.
    brace = at if head == 123 else span(content, begin, end, BEFORE)
    if brace < end and byte(content, brace) == 123 and record(content, brace, end, cuts):
        return RECORD, time_us
    return OTHER, time_us


def _build(fingerprint: str):  # type: ignore[no-untyped-def]  # numba types it
    def scan(log, ends, first_row, reports, starts, records, others, rows, times):  # type: ignore[no-untyped-def]  # so too
        """Read the lines that end at ``ends``; fill the tables of text, rows and times; give bytes and lines of each."""
        fingerprint  # noqa: B018  (what is kept is found by it)
        content = np.int64(log.ctypes.data)
        tables = (
            np.int64(reports.ctypes.data),
            np.int64(starts.ctypes.data),
            np.int64(records.ctypes.data),
            np.int64(others.ctypes.data),
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

    try:
        return numba.njit(error_model="numpy", nogil=True, cache=True)(scan)
    except RuntimeError:  # no folder to keep it in
        return _inner(scan)


def _fingerprint() -> str:
    # Numba looks at this file alone to see whether what it has kept is still right.
    return hashlib.sha256(Path(texts_file).read_bytes()).hexdigest()


scan: Final = _build(_fingerprint())
