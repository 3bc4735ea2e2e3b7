"""Times as one types them: an ISO 8601 time, ``now``, or so long ago (``-15m``)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from replay.errors import InputError

_AGO: Final = re.compile(r"-(\d+(?:\.\d+)?)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str, *, now: datetime) -> datetime:
    """Read a time; one without a zone is UTC, as CloudWatch's are.

    Parameters
    ----------
    text
        ``2026-11-21T10:00:00Z``, ``2026-11-21 10:00``, ``now``, or ``-90s``, ``-15m``, ``-2h``, ``-1d``.
    now
        What ``now`` means, with its zone.

    Raises
    ------
    InputError
        Anything else.
    """
    if text == "now":
        return now
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        when = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise InputError(f"time {text!r} cannot be read; write 2026-11-21T10:00:00Z, now, or -15m") from error
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
