"""What was read: lines of a board, each with its periods and with what is missing said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from replay.dashboard.figures import Figure


@dataclass(frozen=True)
class Line:
    """One figure of one version, or of the function."""

    figure: Figure
    version: str | None
    """None for what belongs to the whole function or API."""
    period_s: int
    points: Mapping[int, float]
    """Period's start (s since the epoch) → value; periods without one are missing."""
    over: float | None
    """The figure of the whole window; None where nothing was measured."""

    @property
    def last(self) -> float | None:
        """The newest period's value."""
        return self.points[max(self.points)] if self.points else None

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "key": self.figure.key,
            "title": self.figure.title,
            "unit": self.figure.unit,
            "version": self.version,
            "period_s": self.period_s,
            "window": {"how": self.figure.over, "value": self.over},
            "last": self.last,
            "points": [{"at_s": at_s, "value": value} for at_s, value in sorted(self.points.items())],
        }


@dataclass(frozen=True)
class Board:
    """All lines of one function."""

    function: str
    api_id: str | None
    start: datetime
    end: datetime
    roles: Mapping[str, Sequence[str]]
    """Version → the aliases that route to it, with their weights where they are split."""
    lines: Sequence[Line]
    notes: Sequence[str]

    def of_version(self, version: str | None) -> list[Line]:
        """Give one version's lines, or for None those of the whole function."""
        return [line for line in self.lines if line.version == version]

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "function": self.function,
            "api_id": self.api_id,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "versions": {version: list(roles) for version, roles in self.roles.items()},
            "figures": [line.to_json() for line in self.lines],
            "missing": [{"key": line.figure.key, "version": line.version} for line in self.lines if not line.points],
            "notes": list(self.notes),
        }
