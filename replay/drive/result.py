"""What a drive gives back: the trace as the caller saw it, and how well the driver itself kept time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.quantiles import quantile
from simulator.trace import Trace

LATENESS_THAT_MATTERS_MS: Final = 10.0
LATENESS_THAT_MATTERS_SHARE: Final = 0.05


@dataclass(frozen=True)
class Lateness:
    """How late requests left, measured from their intended start; latencies include it."""

    p50_ms: float
    p99_ms: float
    max_ms: float

    @staticmethod
    def of(late_ms: NDArray[np.float64]) -> Lateness:
        """Summarise delays in milliseconds, shape ``(n,)``; all figures are NaN where none was sent."""
        if late_ms.size == 0:
            return Lateness(float("nan"), float("nan"), float("nan"))
        return Lateness(quantile(late_ms, 0.5), quantile(late_ms, 0.99), float(late_ms.max()))


@dataclass(frozen=True)
class DriveResult:
    """One drive."""

    trace: Trace
    """A row for each request that ended: ``arrival_s`` (intended), ``client_ms``, ``status``, ``request_id``."""
    lateness: Lateness
    started_at: datetime
    """When ``arrival_s`` = 0 was, by this machine's clock (UTC)."""
    ended_at: datetime
    planned: int
    unsent: int
    """Not sent because too many were in flight: above 0 the load was not open loop."""
    unfinished: int
    """Given up when the drive was interrupted."""
    interrupted: bool
    failures: Mapping[str, int] = field(default_factory=dict)
    """Reason → how often, for what did not end well."""

    def status_counts(self) -> dict[str, int]:
        """Count the rows by status, most frequent first."""
        counts = self.trace.frame["status"].value_counts(sort=True)
        return {str(status): int(count) for status, count in counts.iter_rows()}

    def warnings(self) -> list[str]:
        """Say what makes this measurement doubtful, one line each."""
        found = []
        median_ms = quantile(self.trace.frame["client_ms"].drop_nulls().to_numpy(), 0.5)
        bound_ms = max(LATENESS_THAT_MATTERS_MS, LATENESS_THAT_MATTERS_SHARE * median_ms)
        if self.lateness.p99_ms > bound_ms:
            found.append(
                f"the driver was late: 1% of requests left {self.lateness.p99_ms:.1f} ms or more after their time "
                f"(more than {bound_ms:.1f} ms matters here), and the latencies include it; "
                "free a core or lower the rate"
            )
        if self.unsent:
            found.append(
                f"{self.unsent} of {self.planned} requests were not sent because too many were in flight; "
                "raise --max-in-flight or lower the rate"
            )
        if self.interrupted:
            found.append(f"interrupted: {len(self.trace)} of {self.planned} requests were measured")
        return found

    def to_json(self) -> dict[str, Any]:
        """Give everything but the rows, for ``--json``."""
        return {
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "planned": self.planned,
            "measured": len(self.trace),
            "unsent": self.unsent,
            "unfinished": self.unfinished,
            "interrupted": self.interrupted,
            "status": self.status_counts(),
            "failures": dict(self.failures),
            "lateness_ms": {
                "p50": self.lateness.p50_ms,
                "p99": self.lateness.p99_ms,
                "max": self.lateness.max_ms,
            },
            "warnings": self.warnings(),
        }
