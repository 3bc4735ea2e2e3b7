"""Server-sent events, as a deployed stream answers (``functions/stream``), read piece by piece with their moments.

A ``token`` event is a delta of the answer, a ``reasoning`` event one of what comes before it; ``done`` brings the usage
and the stop reason, ``error`` ends it. Comments (the stream's heartbeats) and ``start`` are no tokens: counted as one,
they would make the first token earlier than it was. Other streams' events count as tokens where they carry data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CONTENT_TYPE: Final = "text/event-stream"
_STATUS: Final[Mapping[str, str]] = {
    "Throttled": "throttled",
    "DeadlineExceeded": "timeout",
    "BadRequest": "rejected",
}


@dataclass
class EventReader:
    """What a stream has said so far."""

    deltas_s: list[float] = field(default_factory=list)
    """Arrival of each piece of the answer."""
    reasoning_s: float | None = None
    done: Mapping[str, Any] | None = None
    """Data of the ``done`` event."""
    error: Mapping[str, Any] | None = None
    """Data of an ``error`` event."""
    _rest: bytes = b""

    def feed(self, data: bytes, arrival_s: float) -> None:
        """Read what has come; an event that is not whole yet is kept."""
        *whole, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in whole:
            name, text = _fields(block)
            if text is None:
                continue  # a comment
            if name == "reasoning":
                self.reasoning_s = self.reasoning_s or arrival_s
            elif name == "done":
                self.done = _object(text)
            elif name == "error":
                self.error = _object(text)
            elif name != "start":
                self.deltas_s.append(arrival_s)

    @property
    def status(self) -> str:
        """How an ``error`` event ended it, as a trace's status."""
        return _STATUS.get(str((self.error or {}).get("code")), "error")


def _fields(block: bytes) -> tuple[str, str | None]:
    name, data = "message", None
    for field_name, value in _lines(block):
        if field_name == "event":
            name = value
        elif field_name == "data":
            data = value if data is None else f"{data}\n{value}"
    return name, data


def _lines(block: bytes) -> Iterator[tuple[str, str]]:
    for line in block.decode(errors="replace").split("\n"):
        field_name, _, value = line.partition(":")
        yield field_name, value.removeprefix(" ")


def _object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
