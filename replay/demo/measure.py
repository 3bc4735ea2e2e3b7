"""One phase of load: drive it, record it from the logs, and join the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import polars as pl

from replay.drive import DriveResult, Progress, Target, drive
from replay.errors import CloudError
from replay.record import ClientJoin, Recording, Settle, join_client, record
from simulator.quantiles import FloatArray
from simulator.trace import Trace

_SETTLE: Final = Settle(poll_s=0.25, quiet_s=2.0, timeout_s=30.0)
_AROUND: Final = timedelta(seconds=2)
_LEAST_OK: Final = 0.5
"""With fewer good answers than this, something is broken and a forecast would be about nothing."""


@dataclass(frozen=True)
class Measured:
    """A phase of load, measured from both ends."""

    driven: DriveResult
    recording: Recording
    joined: ClientJoin

    @property
    def trace(self) -> Trace:
        """Both views in one trace, on the driver's clock."""
        return self.joined.trace

    def warnings(self) -> list[str]:
        """Say what makes it doubtful."""
        return [*self.driven.warnings(), *self.recording.warnings()]

    def to_json(self) -> dict[str, Any]:
        """Give everything but the rows."""
        return {
            "requests": len(self.trace),
            "started_at": self.driven.started_at.isoformat(),
            "status": self.driven.status_counts(),
            "driver_lateness_ms": self.driven.to_json()["lateness_ms"],
            "joined_by_request_id": self.joined.matched,
            "without_logs": self.joined.client_only,
            "warnings": self.warnings(),
        }


def measure(
    target: Target,
    arrivals_s: FloatArray,
    *,
    logs: Any,
    log_group: str,
    function: str,
    seed: int,
    progress: Callable[[str], None],
) -> Measured:
    """Drive ``arrivals_s`` at ``target``, then record what the logs say of it.

    Raises
    ------
    CloudError
        Nothing answered, or most answers were failures.
    KeyboardInterrupt
        Interrupted while driving.
    """

    def show(now: Progress) -> None:
        bad = f", {now.failed} not ok" if now.failed else ""
        progress(f"{now.ended} of {now.planned} requests{bad}")

    driven = drive(target, arrivals_s, seed=seed, progress=show)
    if driven.interrupted:
        raise KeyboardInterrupt
    answered = driven.trace.frame.filter(pl.col("status") == "ok")
    if answered.height < _LEAST_OK * len(driven.trace):
        reason = next(iter(driven.failures), "no reason given")
        raise CloudError(
            f"only {answered.height} of {len(driven.trace)} requests to {target.label} were answered ({reason}); "
            f"look into the log group {log_group}"
        )
    progress("reading CloudWatch Logs")
    recording = record(
        logs,
        log_group,
        start=driven.started_at - _AROUND,
        end=driven.ended_at + _AROUND,
        expected=[str(one) for one in answered["request_id"].drop_nulls()],
        settle=_SETTLE,
        function=function,
    )
    return Measured(driven, recording, join_client(recording.trace, driven.trace))
