"""The compiled half of :mod:`~simulator.importers.log_scan`; importing this takes numba's half second.

All of it is in this one file, since numba looks at the file of the entry function alone to see whether what it has kept
is still right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

# A record's keys in the order in which the function writes them, what their values are (t: text, n: number, b: truth),
# and whether they are kept. The first one cannot be null.
RECORD_KEYS: Final = (
    ("request_id", "t", True),
    ("function", "t", False),
    ("variant", "t", True),
    ("model", "t", True),
    ("version", "t", True),
    ("environment_id", "t", True),
    ("cold", "b", True),
    ("initialization_type", "t", True),
    ("status", "t", True),
    ("http_status", "n", False),
    ("total_ms", "n", False),
    ("inference_ms", "n", True),
    ("model_attempts", "n", False),
    ("input_tokens", "n", True),
    ("output_tokens", "n", True),
    ("cache_read_tokens", "n", True),
    ("cache_write_tokens", "n", True),
)
OTHER, NOTHING, REPORT, START, RECORD = range(5)
NO_TIME: Final = -(2**63)
REPORT_WIDTH: Final = 8
"""Fields of a report: request id, stream, duration, billed, memory, most memory, INIT, status."""
START_WIDTH: Final = 2
RECORD_WIDTH: Final = sum(kept for _, _, kept in RECORD_KEYS)


def _text(*parts: str) -> Bytes:
    return np.frombuffer("".join(parts).encode(), dtype=np.uint8)


def _edges(parts: tuple[str, ...]) -> Ints:
    return np.cumsum([0, *(len(part) for part in parts)])


_KEYS: Final = tuple(f'"{name}":' for name, _, _ in RECORD_KEYS)
_KEY_BYTES, _KEY_EDGES = _text(*_KEYS), _edges(_KEYS)
_KEY_KINDS: Final = _text(*(kind for _, kind, _ in RECORD_KEYS))
_KEY_KEPT: Final = np.array([kept for _, _, kept in RECORD_KEYS])
# What stands before each number of a text REPORT, and what ends it.
_PIECES: Final = (
    "\tDuration: ",
    " ms\tBilled Duration: ",
    " ms\tMemory Size: ",
    " MB\tMax Memory Used: ",
)
_PIECE_BYTES, _PIECE_EDGES = _text(*_PIECES), _edges(_PIECES)
_L_REPORT, _L_START, _L_END = _text("REPORT RequestId: "), _text("START RequestId: "), _text("END RequestId: ")
_L_INIT_START, _L_VERSION, _L_INIT = _text("INIT_START "), _text(" Version: "), _text("Init Duration: ")
_L_MS, _L_MB, _L_NULL, _L_TRUE, _L_FALSE = _text(" ms"), _text(" MB"), _text("null"), _text("true"), _text("false")
_L_TAILCAST, _L_INFERENCE = _text('{"tailcast":'), _text('"inference"')
_L_TIME, _L_TYPE, _L_INNER = _text('{"time":'), _text('"type":'), _text('"record":')
_L_NAME, _L_OURS = _text("platform."), _text("tailcast")
_L_PLATFORM, _L_JSON_REPORT, _L_JSON_START = _text('"platform.'), _text('report"'), _text('start"')
_L_JSON_VERSION, _L_METRICS, _L_JSON_STATUS = _text('"version":'), _text('"metrics":'), _text('"status":')
_METRICS: Final = (
    '{"durationMs":',
    '"billedDurationMs":',
    '"memorySizeMB":',
    '"maxMemoryUsedMB":',
    '"initDurationMs":',
)
_METRIC_BYTES, _METRIC_EDGES = _text(*_METRICS), _edges(_METRICS)
_L_TIMESTAMP, _L_LEVEL, _L_REQUEST, _L_MESSAGE = (
    _text('{"timestamp":'), _text('"level":'), _text('"requestId":'), _text('"message":'),
)  # fmt: skip


def _class(pattern: str) -> NDArray[np.bool_]:
    return np.array([re.fullmatch(pattern, chr(code)) is not None for code in range(256)])


_IS_DIGIT: Final = _class("[0-9]")
_IS_WORD: Final = _class("[A-Za-z0-9_.-]")
_IS_ALNUM: Final = _class("[A-Za-z0-9]")
_IS_VERSION: Final = _class("[A-Za-z0-9_.$-]")
_IS_TEXT: Final = _class(r"[ !#-\[\]-~]")
_IS_BEFORE: Final = _class(r"[ -!#-z|~\t]")


def _inner(function: Function) -> Function:
    return cast(Function, numba.njit(error_model="numpy", nogil=True)(function))


@_inner
def literal(content: Bytes, at: int, end: int, text: Bytes) -> int:
    """Give where the text ends that has to stand at ``at``, or −1."""
    if at < 0 or at + text.size > end:
        return -1
    for i in range(text.size):
        if content[at + i] != text[i]:
            return -1
    return at + text.size


@_inner
def span(content: Bytes, at: int, end: int, allowed: NDArray[np.bool_]) -> int:
    """Give where the allowed bytes from ``at`` on end."""
    while at < end and allowed[content[at]]:
        at += 1
    return at


@_inner
def number(content: Bytes, at: int, end: int) -> int:
    """Give where the number at ``at`` ends, or −1."""
    stop = span(content, at, end, _IS_DIGIT)
    if stop == at:
        return -1
    if stop + 1 < end and content[stop] == 46 and _IS_DIGIT[content[stop + 1]]:
        stop = span(content, stop + 1, end, _IS_DIGIT)
    if stop + 1 < end and (content[stop] == 101 or content[stop] == 69):
        power = stop + 1
        if content[power] == 43 or content[power] == 45:
            power += 1
        after = span(content, power, end, _IS_DIGIT)
        if after > power:
            stop = after
    return stop


@_inner
def digits(content: Bytes, at: int, count: int) -> int:
    """Give the value of so many digits, or −1."""
    value = 0
    for i in range(at, at + count):
        if not _IS_DIGIT[content[i]]:
            return -1
        value = value * 10 + (int(content[i]) - 48)
    return value


@_inner
def clock(content: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read ``2026-11-20T12:00:00.000000Z``: the microseconds since 1970, and where it ends (−1: no such time)."""
    if at + 20 > end or content[at + 4] != 45 or content[at + 7] != 45 or content[at + 10] != 84:
        return 0, -1
    if content[at + 13] != 58 or content[at + 16] != 58:
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
    if content[at] == 46:
        stop = span(content, at + 1, end, _IS_DIGIT)
        length = stop - at - 1
        if length < 1 or length > 6:
            return 0, -1
        fraction = digits(content, at + 1, length) * 10 ** (6 - length)
        at = stop
    if at < end and content[at] == 90:
        at += 1
    elif (
        at + 6 <= end and content[at] == 43 and content[at + 3] == 58
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
def stream(content: Bytes, at: int, end: int) -> int:
    """Give where the stream's name at ``at`` ends, or −1."""
    if at + 11 > end or content[at + 4] != 47 or content[at + 7] != 47 or content[at + 10] != 47:
        return -1
    if digits(content, at, 4) < 0 or digits(content, at + 5, 2) < 0 or digits(content, at + 8, 2) < 0:
        return -1
    at = span(content, at + 11, end, _IS_WORD)
    if at >= end or content[at] != 91:
        return -1
    stop = at + 1
    while stop < end and (_IS_ALNUM[content[stop]] or content[stop] == 36):
        stop += 1
    if stop == at + 1 or stop >= end or content[stop] != 93:
        return -1
    at = stop + 1
    stop = span(content, at, end, _IS_ALNUM)
    return stop if stop > at else -1


@_inner
def put(table: Bytes, size: int, content: Bytes, at: int, end: int, last: bool) -> int:
    """Append a field and what separates it from the next."""
    for i in range(at, end):
        table[size] = content[i]
        size += 1
    table[size] = 10 if last else 9
    return size + 1


@_inner
def report(content: Bytes, at: int, end: int, cuts: Ints) -> bool:
    """Read a REPORT from behind its literal on; the bounds of its fields go to ``cuts``."""
    stop = span(content, at, end, _IS_WORD)
    if stop == at:
        return False
    cuts[0], cuts[1] = at, stop
    at = stop
    for piece in range(4):
        at = literal(content, at, end, _PIECE_BYTES[_PIECE_EDGES[piece] : _PIECE_EDGES[piece + 1]])
        if at < 0:
            return False
        stop = number(content, at, end)
        if stop < 0:
            return False
        cuts[4 + 2 * piece], cuts[5 + 2 * piece] = at, stop
        at = stop
    at = literal(content, at, end, _L_MB)
    if at < 0:
        return False
    if at < end and content[at] == 9:
        at += 1
    cuts[12], cuts[13] = at, at
    cuts[14], cuts[15] = at, at
    if at < end:
        at = literal(content, at, end, _L_INIT)
        if at < 0:
            return False
        stop = number(content, at, end)
        if stop < 0:
            return False
        cuts[12], cuts[13] = at, stop
        at = literal(content, stop, end, _L_MS)
        if at >= 0 and at < end and content[at] == 9:
            at += 1
    return at == end


@_inner
def key(content: Bytes, at: int, end: int, text: Bytes) -> int:
    """Give where the value of the key that has to stand at ``at`` begins, or −1."""
    at = literal(content, at, end, text)
    if 0 <= at < end and content[at] == 32:
        at += 1
    return at


@_inner
def comma(content: Bytes, at: int, end: int) -> int:
    """Give what follows the comma at ``at`` and a blank, or −1."""
    if at < 0 or at >= end or content[at] != 44:
        return -1
    at += 1
    if at < end and content[at] == 32:
        at += 1
    return at


@_inner
def quoted(content: Bytes, at: int, end: int) -> int:
    """Give where the text at ``at`` ends, its quotes with it, or −1."""
    if at < 0 or at >= end or content[at] != 34:
        return -1
    at = span(content, at + 1, end, _IS_TEXT)
    return at + 1 if at < end and content[at] == 34 else -1


@_inner
def record(content: Bytes, at: int, end: int, cuts: Ints) -> bool:
    """Read a record from its first brace on."""
    begin = key(content, at, end, _L_TAILCAST)
    if begin < 0:
        # The envelope of Lambda's JSON log format.
        at = comma(content, quoted(content, key(content, at, end, _L_TIMESTAMP), end), end)
        at = comma(content, quoted(content, key(content, at, end, _L_LEVEL), end), end)
        asked = key(content, at, end, _L_REQUEST)
        if asked >= 0:
            at = comma(content, quoted(content, asked, end), end)
        at = key(content, at, end, _L_MESSAGE)
        begin = key(content, at, end, _L_TAILCAST)
    at = comma(content, literal(content, begin, end, _L_INFERENCE), end)
    kept = 0
    for field in range(_KEY_KINDS.size):
        at = key(content, at, end, _KEY_BYTES[_KEY_EDGES[field] : _KEY_EDGES[field + 1]])
        if at < 0:
            return False
        first, stop = at, literal(content, at, end, _L_NULL)
        if stop >= 0:
            if field == 0:
                return False
            last = first
        elif _KEY_KINDS[field] == 116:
            stop = quoted(content, at, end)
            first, last = at + 1, stop - 1
            # An empty text is none: not to be told from null in a table of text.
            if _KEY_KEPT[field] and stop >= 0 and first == last:
                return False
        elif _KEY_KINDS[field] == 110:
            stop = number(content, at, end)
            last = stop
        else:
            stop = max(literal(content, at, end, _L_TRUE), literal(content, at, end, _L_FALSE))
            last = stop
        if stop < 0:
            return False
        if _KEY_KEPT[field]:
            cuts[2 * kept], cuts[2 * kept + 1] = first, last
            kept += 1
        if field + 1 < _KEY_KINDS.size:
            at = comma(content, stop, end)
        else:
            return stop < end and (content[stop] == 44 or content[stop] == 125)
    return False


@_inner
def word(content: Bytes, at: int, end: int, allowed: NDArray[np.bool_], cuts: Ints, field: int) -> int:
    """Read a quoted word of at least one byte; give where it ends, or −1."""
    if at < 0 or at >= end or content[at] != 34:
        return -1
    stop = span(content, at + 1, end, allowed)
    if stop == at + 1 or stop >= end or content[stop] != 34:
        return -1
    cuts[2 * field], cuts[2 * field + 1] = at + 1, stop
    return stop + 1


@_inner
def json_report(content: Bytes, at: int, end: int, cuts: Ints) -> int:
    """Read the record of a ``platform.report`` from its first key on; give where its status ends, or −1."""
    at = comma(content, word(content, key(content, at, end, _L_REQUEST), end, _IS_WORD, cuts, 0), end)
    at = key(content, at, end, _L_METRICS)
    cuts[12], cuts[13] = at, at
    for metric in range(5):
        begin = key(content, at, end, _METRIC_BYTES[_METRIC_EDGES[metric] : _METRIC_EDGES[metric + 1]])
        stop = number(content, begin, end) if begin >= 0 else -1
        if stop < 0:
            return -1
        cuts[4 + 2 * metric], cuts[5 + 2 * metric] = begin, stop
        # INIT, the last one, is there where it was a cold start.
        if metric >= 3 and stop < end and content[stop] == 125:
            at = comma(content, stop + 1, end)
            break
        at = comma(content, stop, end)
    return word(content, key(content, at, end, _L_JSON_STATUS), end, _IS_TEXT, cuts, 7)


@_inner
def event(content: Bytes, at: int, end: int, cuts: Ints) -> tuple[int, int]:
    """Say which event of Lambda's JSON log format stands at ``at``, and the time in it."""
    begin = key(content, at, end, _L_TIME)
    if begin < 0 or begin >= end or content[begin] != 34:
        return OTHER, NO_TIME
    time_us, stop = clock(content, begin + 1, end)
    if stop < 0 or content[stop - 1] != 90 or stop >= end or content[stop] != 34:
        return OTHER, NO_TIME
    at = key(content, comma(content, stop + 1, end), end, _L_TYPE)
    at = literal(content, at, end, _L_PLATFORM)
    after = literal(content, at, end, _L_JSON_REPORT)
    kind = REPORT
    if after < 0:
        after, kind = literal(content, at, end, _L_JSON_START), START
    if after < 0:
        # Another event; but a line that names one of ours anywhere is looked at again.
        return (OTHER if at < 0 or names_ours(content, at, end) else NOTHING), time_us
    at = key(content, comma(content, after, end), end, _L_INNER)
    if at < 0 or at >= end or content[at] != 123:
        return OTHER, time_us
    at += 1
    if kind == REPORT:
        at = json_report(content, at, end, cuts)
    else:
        at = comma(content, word(content, key(content, at, end, _L_REQUEST), end, _IS_WORD, cuts, 0), end)
        at = word(content, key(content, at, end, _L_JSON_VERSION), end, _IS_VERSION, cuts, 1)
    if at < 0 or at + 2 != end or content[at] != 125 or content[at + 1] != 125:
        return OTHER, time_us
    return kind, time_us


@_inner
def names_ours(content: Bytes, at: int, end: int) -> bool:
    """Say whether anything that a line of ours holds stands between ``at`` and ``end``."""
    for place in range(at, end):
        head = content[place]
        if head == 112 and literal(content, place, end, _L_NAME) >= 0:
            return True
        if head == 116 and literal(content, place, end, _L_OURS) >= 0:
            return True
        if head == 82 and literal(content, place, end, _L_REPORT) >= 0:
            return True
        if head == 83 and literal(content, place, end, _L_START) >= 0:
            return True
    return False


@_inner
def line(content: Bytes, begin: int, end: int, cuts: Ints) -> tuple[int, int]:
    """Say what a line is; its time, and the bounds of its fields in ``cuts``."""
    time_us, at = clock(content, begin, end)
    cuts[2], cuts[3] = begin, begin
    if at >= 0 and at < end and content[at] == 32:
        at += 1
        stop = stream(content, at, end)
        if stop >= 0 and stop < end and content[stop] == 32:
            cuts[2], cuts[3] = at, stop
            at = stop + 1
    else:
        at, time_us = begin, NO_TIME
    if at >= end:
        return OTHER, time_us
    head = content[at]
    if head == 82:
        after = literal(content, at, end, _L_REPORT)
        return (REPORT if after >= 0 and report(content, after, end, cuts) else OTHER), time_us
    if head == 83:
        after = literal(content, at, end, _L_START)
        stop = span(content, after, end, _IS_WORD) if after >= 0 else -1
        if stop <= after or after < 0:
            return OTHER, time_us
        cuts[0], cuts[1] = after, stop
        cuts[2], cuts[3] = stop, stop
        if stop < end:
            cuts[2] = literal(content, stop, end, _L_VERSION)
            if cuts[2] < 0:
                return OTHER, time_us
            cuts[3] = span(content, cuts[2], end, _IS_VERSION)
            if cuts[3] == cuts[2] or cuts[3] != end:
                return OTHER, time_us
        return START, time_us
    if head == 69:
        after = literal(content, at, end, _L_END)
        return (NOTHING if after >= 0 and span(content, after, end, _IS_WORD) == end else OTHER), time_us
    if head == 123:
        kind, event_us = event(content, at, end, cuts)
        if kind != OTHER:
            return kind, event_us if time_us == NO_TIME else time_us
    brace = span(content, begin, end, _IS_BEFORE)
    if brace < end and content[brace] == 123 and record(content, brace, end, cuts):
        return RECORD, time_us
    return OTHER, time_us


def _scan(
    content: Bytes, ends: Ints, first_row: int, reports: Bytes, starts: Bytes, records: Bytes, others: Bytes,
    rows: Ints, times: Ints,
) -> tuple[Ints, Ints]:  # fmt: skip
    sizes, counts = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    cuts = np.zeros(2 * _KEY_KINDS.size, dtype=np.int64)
    begin = 0
    for index in range(ends.size):
        end = ends[index]
        kind, time_us = line(content, begin, end, cuts)
        if kind == REPORT:
            which, fields, table = 0, REPORT_WIDTH, reports
        elif kind == START:
            which, fields, table = 1, START_WIDTH, starts
        elif kind == RECORD:
            which, fields, table = 2, RECORD_WIDTH, records
        else:
            which, fields, table = 3, 0, others
        if kind != NOTHING and end > begin:
            size = sizes[which]
            if fields:
                for field in range(fields):
                    last = field + 1 == fields
                    size = put(table, size, content, cuts[2 * field], cuts[2 * field + 1], last)
            else:
                size = put(table, size, content, begin, end, True)
            sizes[which] = size
            rows[which, counts[which]] = first_row + index
            times[which, counts[which]] = time_us
            counts[which] += 1
        begin = end + 1
    return sizes, counts


def _kept() -> Any:
    try:
        return numba.njit(error_model="numpy", nogil=True, cache=True)(_scan)
    except RuntimeError:  # no folder to keep it in
        return _inner(_scan)


scan: Final = _kept()
"""Read the lines that end at ``ends``; fill the tables of text, rows and times; give bytes and lines of each table."""
