"""What lines are made of: literals, words, numbers, times; each function says where it ends, or −1 where it is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.importers.scanner.memory import byte, copy, inner, put_byte
from simulator.importers.scanner.texts import ALLOWED, ALNUM, BYTES, DIGIT, EDGES, TEXT, WORD

Ints = NDArray[np.int64]


@inner
def is_in(content: int, at: int, allowed: int) -> bool:
    """Say whether a byte belongs to a class."""
    return bool(ALLOWED[256 * allowed + byte(content, at)])


@inner
def literal(content: int, at: int, end: int, text: int) -> int:
    """Give where the text ends that has to stand at ``at``, or −1."""
    first, last = EDGES[text], EDGES[text + 1]
    if at < 0 or at + last - first > end:
        return -1
    for i in range(first, last):
        if byte(content, at + i - first) != BYTES[i]:
            return -1
    return int(at + last - first)


@inner
def span(content: int, at: int, end: int, allowed: int) -> int:
    """Give where the allowed bytes from ``at`` on end."""
    while at < end and ALLOWED[256 * allowed + byte(content, at)]:
        at += 1
    return at


@inner
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


@inner
def digits(content: int, at: int, count: int) -> int:
    """Give the value of so many digits, or −1."""
    value = 0
    for i in range(at, at + count):
        if not is_in(content, i, DIGIT):
            return -1
        value = value * 10 + (int(byte(content, i)) - 48)
    return value


@inner
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


@inner
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


@inner
def put(table: int, size: int, content: int, at: int, end: int, last: bool) -> int:
    """Append a field and what separates it from the next."""
    copy(table + size, content + at, end - at)
    size += end - at
    put_byte(table, size, 10 if last else 9)
    return size + 1


@inner
def key(content: int, at: int, end: int, text: int) -> int:
    """Give where the value of the key that has to stand at ``at`` begins, or −1."""
    return blank(content, literal(content, at, end, text), end)


@inner
def blank(content: int, at: int, end: int) -> int:
    """Give what follows the blank that may stand at ``at``."""
    return at + 1 if 0 <= at < end and byte(content, at) == 32 else at


@inner
def comma(content: int, at: int, end: int) -> int:
    """Give what follows the comma at ``at`` and a blank, or −1."""
    if at < 0 or at >= end or byte(content, at) != 44:
        return -1
    at += 1
    if at < end and byte(content, at) == 32:
        at += 1
    return at


@inner
def quoted(content: int, at: int, end: int) -> int:
    """Give where the text at ``at`` ends, its quotes with it, or −1."""
    if at < 0 or at >= end or byte(content, at) != 34:
        return -1
    at = span(content, at + 1, end, TEXT)
    return at + 1 if at < end and byte(content, at) == 34 else -1


@inner
def word(content: int, at: int, end: int, allowed: int, cuts: Ints, field: int) -> int:
    """Read a quoted word of at least one byte; give where it ends, or −1."""
    if at < 0 or at >= end or byte(content, at) != 34:
        return -1
    stop = span(content, at + 1, end, allowed)
    if stop == at + 1 or stop >= end or byte(content, stop) != 34:
        return -1
    cuts[2 * field], cuts[2 * field + 1] = at + 1, stop
    return stop + 1
