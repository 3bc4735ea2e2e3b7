"""Joining log lines by request id, and the trace that comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from replay.record.lines import FunctionRecord, Start, read_line, version_in_stream
from simulator.importers.report_lines import Report
from simulator.trace import SCHEMA, Trace, TraceMetadata, make_trace


@dataclass(frozen=True)
class LogLine:
    """One event of CloudWatch Logs."""

    event_id: str
    stream: str
    timestamp_ms: int
    message: str


@dataclass(frozen=True)
class Counts:
    """How complete a recording is."""

    invocations: int
    """Rows of the trace."""
    joined: int
    """… with both Lambda's REPORT and the function's record."""
    without_report: int
    """… whose REPORT was not found: no duration, billing, INIT or memory."""
    without_record: int
    """… whose function's record was not found: no tokens, model latency or status of its own."""
    duplicates: int
    """Lines that said again what another had said; dropped."""
    outside: int
    """Invocations that began before or after the time range; left out."""


@dataclass
class _Invocation:
    """What is known of one request id so far."""

    stream: str
    version: str | None = None
    started_ms: int | None = None
    report: Report | None = None
    report_ms: int | None = None
    record: FunctionRecord | None = None
    record_ms: int | None = None

    @property
    def provisioned(self) -> bool | None:
        return self.record.provisioned if self.record else None

    @property
    def waited_init_ms(self) -> float | None:
        """INIT that the caller waited for. Provisioned environments report theirs too, but nobody waited for it."""
        if self.report is None or self.provisioned:
            return None
        return self.report.init_ms if self.report.init_ms is not None else self.report.restore_ms

    @property
    def cold(self) -> bool | None:
        if self.provisioned:
            return False
        if self.report is not None:
            return self.report.cold or bool(self.record and self.record.cold)
        return self.record.cold if self.record else None

    @property
    def arrival_ms(self) -> float:
        """When it arrived at Lambda: before START by the INIT that it waited for."""
        if self.started_ms is not None:
            return self.started_ms - (self.waited_init_ms or 0.0)
        if self.report is not None and self.report_ms is not None:
            return self.report_ms - self.report.duration_ms - (self.waited_init_ms or 0.0)
        return float(self.record_ms or 0)

    @property
    def status(self) -> str:
        if self.report is not None and self.report.status != "ok":
            return self.report.status
        return (self.record.status if self.record else None) or "ok"


@dataclass
class Collector:
    """Takes log lines in any order, as often as they come, and keeps what they say of each request."""

    _seen: set[str] = field(default_factory=set)
    _invocations: dict[str, _Invocation] = field(default_factory=dict)
    duplicates: int = 0

    def add(self, lines: Iterable[LogLine]) -> None:
        """Take lines; one whose event id was seen before is skipped, so that a time range may be read again."""
        for line in lines:
            if line.event_id in self._seen:
                continue
            self._seen.add(line.event_id)
            said = read_line(line.message)
            if said is not None:
                self._take(line, said)

    @property
    def progress(self) -> tuple[int, int, int]:
        """Numbers that stop growing once the logs are complete: starts, reports, records."""
        known = self._invocations.values()
        return (
            sum(one.started_ms is not None for one in known),
            sum(one.report is not None for one in known),
            sum(one.record is not None for one in known),
        )

    def missing(self, expected: Iterable[str]) -> set[str]:
        """Give the ids of ``expected`` whose REPORT has not been seen."""
        return {one for one in expected if one not in self._invocations or self._invocations[one].report is None}

    def trace(
        self, *, start_ms: float, end_ms: float, variants: Mapping[str, str], metadata: TraceMetadata
    ) -> tuple[Trace | None, Counts]:
        """Make the trace of the invocations that arrived in [``start_ms``, ``end_ms``), None where there is none.

        Parameters
        ----------
        start_ms, end_ms
            Milliseconds since the epoch.
        variants
            Version → variant, for requests whose record does not name it.
        metadata
            Completed with the time of the first arrival, and with models and versions by variant.
        """
        inside = {
            request_id: one for request_id, one in self._invocations.items() if start_ms <= one.arrival_ms < end_ms
        }
        counts = Counts(
            invocations=len(inside),
            joined=sum(one.report is not None and one.record is not None for one in inside.values()),
            without_report=sum(one.report is None for one in inside.values()),
            without_record=sum(one.record is None for one in inside.values()),
            duplicates=self.duplicates,
            outside=len(self._invocations) - len(inside),
        )
        if not inside:
            return None, counts
        first_ms = min(one.arrival_ms for one in inside.values())
        rows = [_row(request_id, one, first_ms, variants) for request_id, one in inside.items()]
        frame = pl.DataFrame(rows, schema=dict(SCHEMA)).sort("arrival_s", "request_id")
        models = {
            one.record.variant: one.record.model
            for one in inside.values()
            if one.record is not None and one.record.variant is not None and one.record.model is not None
        }
        versions = {
            row["variant"]: row["version"] for row in rows if row["variant"] is not None and row["version"] is not None
        }
        complete = TraceMetadata(
            source=metadata.source,
            recorded_at=datetime.fromtimestamp(first_ms / 1e3, UTC).isoformat(),
            function=metadata.function,
            region=metadata.region,
            models={**metadata.models, **models},
            versions={**metadata.versions, **versions},
            notes=metadata.notes,
        )
        return make_trace(frame, complete, origin="CloudWatch Logs"), counts

    def _take(self, line: LogLine, said: Start | Report | FunctionRecord) -> None:
        one = self._invocations.setdefault(said.request_id, _Invocation(line.stream))
        if isinstance(said, Start):
            if one.started_ms is not None:
                self.duplicates += 1
                return
            one.started_ms, one.version = line.timestamp_ms, said.version
        elif isinstance(said, Report):
            if one.report is not None:
                self.duplicates += 1
                return
            one.report, one.report_ms = said, line.timestamp_ms
        else:
            if one.record is not None:
                self.duplicates += 1
                return
            one.record, one.record_ms = said, line.timestamp_ms


def _row(request_id: str, one: _Invocation, first_ms: float, variants: Mapping[str, str]) -> dict[str, Any]:
    report, record = one.report, one.record
    version = (record.version if record else None) or one.version or version_in_stream(one.stream)
    row: dict[str, Any] = dict.fromkeys(SCHEMA)
    row |= {
        "arrival_s": (one.arrival_ms - first_ms) / 1e3,
        "variant": (record.variant if record else None) or variants.get(version or ""),
        "version": version,
        "environment_id": one.stream,
        "provisioned": one.provisioned,
        "cold": one.cold,
        "init_ms": one.waited_init_ms,
        "status": one.status,
        "request_id": request_id,
    }
    if report is not None:
        row |= {
            "duration_ms": report.duration_ms,
            "billed_ms": report.billed_ms,
            "memory_mb": report.memory_mb,
            "max_memory_mb": report.max_memory_mb,
        }
    if record is not None:
        row |= {
            name: getattr(record, name)
            for name in (
                "inference_ms",
                "ttft_ms",
                "input_tokens",
                "output_tokens",
                "cache_read_tokens",
                "cache_write_tokens",
            )
        }
    return row
