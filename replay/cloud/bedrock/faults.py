"""Faults that a test asks for."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from replay.errors import InputError


@dataclass(frozen=True)
class Faults:
    """Which share of requests fails, and how. Shares add up to at most 1."""

    throttled_share: float = 0.0
    """429 ``ThrottlingException``, at once."""
    timeout_share: float = 0.0
    """408 ``ModelTimeoutException``, after the drawn latency."""
    error_share: float = 0.0
    """500 ``InternalServerException``, after the drawn latency."""
    unavailable_share: float = 0.0
    """503 ``ServiceUnavailableException``, at once."""
    added_latency_ms: float = 0.0
    """On top of the drawn latency of every request."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise InputError(f"bedrock faults: {name} {value!r} must be a number, 0 or more")
        if self.total_share > 1.0 + 1e-9:
            raise InputError(f"bedrock faults: the shares add up to {self.total_share:g}; at most 1 makes sense")

    @property
    def total_share(self) -> float:
        """Share of requests that fail."""
        return self.throttled_share + self.timeout_share + self.error_share + self.unavailable_share

    @classmethod
    def from_document(cls, document: Any) -> Faults:
        """Read a JSON object; what it leaves out is 0. Raises InputError."""
        if not isinstance(document, dict):
            raise InputError("bedrock faults: give a JSON object")
        known = [f.name for f in fields(cls)]
        for name in document:
            if name not in known:
                raise InputError(f"bedrock faults: unknown key {name!r}; known: {', '.join(known)}")
        return cls(**document)

    def kind(self, uniform: float) -> str | None:
        """Give the fault of a draw on [0, 1), None for none."""
        edge = 0.0
        for name in ("throttled", "timeout", "error", "unavailable"):
            edge += getattr(self, f"{name}_share")
            if uniform < edge:
                return name
        return None
