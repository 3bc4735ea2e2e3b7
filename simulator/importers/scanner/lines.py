"""The forms of a line; the bounds of its fields go to ``cuts``, a field's begin and end after the other."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.importers.scanner.memory import byte, inner
from simulator.importers.scanner.texts import (
    BEFORE,
    KEY_KEPT,
    KEY_KINDS,
    KEYS,
    L_END_ID,
    L_FALSE,
    L_INFERENCE,
    L_INIT,
    L_INNER,
    L_JSON_REPORT,
    L_JSON_START,
    L_JSON_STATUS,
    L_JSON_VERSION,
    L_LEVEL,
    L_MB,
    L_MESSAGE,
    L_METRICS_KEY,
    L_MS,
    L_NAME,
    L_NULL,
    L_OURS,
    L_PLATFORM,
    L_REPORT_ID,
    L_REQUEST,
    L_START_ID,
    L_TAILCAST,
    L_TIME,
    L_TIMESTAMP,
    L_TRUE,
    L_TYPE,
    L_VERSION,
    METRICS,
    PIECES,
    RECORD_KEYS,
    TEXT,
    VERSION,
    WORD,
)
from simulator.importers.scanner.words import clock, comma, key, literal, number, quoted, span, stream, word

Ints = NDArray[np.int64]

OTHER, NOTHING, REPORT, START, RECORD = range(5)
NO_TIME: Final = -(2**63)
REPORT_WIDTH: Final = 8
"""Fields of a report: request id, stream, duration, billed, memory, most memory, INIT, status."""
START_WIDTH: Final = 2
RECORD_WIDTH: Final = sum(kept for _, _, kept in RECORD_KEYS)


@inner
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


@inner
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


@inner
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


@inner
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


@inner
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


@inner
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
