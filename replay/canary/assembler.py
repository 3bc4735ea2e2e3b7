"""Requests put together from log lines that come late, twice, in any order, or not at all."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from replay.canary.ports import StepSpan
from replay.record.collect import LogLine
from replay.record.lines import FunctionRecord, Start, read_line, version_in_stream
from simulator.importers.report_lines import Report

LATE_S: Final = 900.0
"""Log lines later than this are lost: as long as Lambda's longest invocation."""


_ENOUGH: Final = 200
"""Requests without any record, after which the function is taken to write none."""


@dataclass
class Invocation:
    """What is known of one request."""

    request_id: str
    stream: str
    version: str | None = None
    report: Report | None = None
    report_ms: int = 0
    record: FunctionRecord | None = None
    first_seen_s: float = 0.0

    @property
    def executed_version(self) -> str | None:
        """Published version that ran it."""
        return (self.record.version if self.record else None) or self.version or version_in_stream(self.stream)

    @property
    def init_ms(self) -> float:
        """INIT that the caller waited for; a provisioned environment's was over before."""
        if self.report is None or (self.record is not None and self.record.provisioned):
            return 0.0
        return self.report.init_ms or self.report.restore_ms or 0.0

    @property
    def status(self) -> str:
        """``ok``, ``throttled``, ``timeout``, ``error`` or ``rejected``."""
        if self.report is not None and self.report.status != "ok":
            return self.report.status
        return (self.record.status if self.record else None) or "ok"

    @property
    def execution_ms(self) -> float:
        """INIT and handler."""
        return (self.report.duration_ms if self.report else 0.0) + self.init_ms

    @property
    def arrival_s(self) -> float:
        """When it arrived, seconds since the epoch."""
        return (self.report_ms - self.execution_ms) / 1000

    def step(self, spans: Sequence[StepSpan]) -> int | None:
        """Give the index of the step during which it arrived; None before the first."""
        place = bisect.bisect_right([span.start_s for span in spans], self.arrival_s) - 1
        return spans[place].index if place >= 0 else None


@dataclass
class Assembler:
    """Takes lines, gives each request once, when it is complete.

    Parameters
    ----------
    grace_s
        How long a request with a REPORT waits for the function's own record, which alone knows of failures that were
        handled. One that timed out or crashed left none, and is not waited for.
    unrecorded_grace_s
        The same for a function that writes no records: of the first requests, none had one.
    """

    grace_s: float = 180.0
    unrecorded_grace_s: float = 15.0
    duplicates: int = 0
    incomplete: int = 0
    _events: dict[str, float] = field(default_factory=dict)
    _open: dict[str, Invocation] = field(default_factory=dict)
    _given: dict[str, float] = field(default_factory=dict)
    _records: int = 0

    def add(self, lines: Iterable[LogLine], now_s: float) -> None:
        """Take lines; one that was seen before is skipped, so that a time range may be read again."""
        for line in lines:
            if line.event_id in self._events:
                continue
            self._events[line.event_id] = now_s
            said = read_line(line.message)
            if said is None:
                continue
            if said.request_id in self._given:
                self.duplicates += not isinstance(said, Start)
                continue
            one = self._open.setdefault(said.request_id, Invocation(said.request_id, line.stream, first_seen_s=now_s))
            if isinstance(said, Start):
                one.version = said.version
            elif isinstance(said, Report):
                self.duplicates += one.report is not None
                one.report, one.report_ms = said, line.timestamp_ms
            else:
                self.duplicates += one.record is not None
                one.record = said
                self._records += 1

    def complete(self, now_s: float) -> list[Invocation]:
        """Give the requests that are complete now, or as complete as they will get."""
        found = []
        writes_none = not self._records and len(self._open) + len(self._given) >= _ENOUGH
        grace_s = min(self.grace_s, self.unrecorded_grace_s) if writes_none else self.grace_s
        for request_id, one in list(self._open.items()):
            if one.report is None:
                if now_s - one.first_seen_s > LATE_S:
                    del self._open[request_id]
                    self.incomplete += 1
                continue
            waited = now_s - one.first_seen_s > grace_s
            if one.record is None and one.report.status == "ok" and not waited:
                continue
            self.incomplete += one.record is None and one.report.status == "ok"
            del self._open[request_id]
            self._given[request_id] = now_s
            found.append(one)
        self._forget(now_s)
        return found

    def _forget(self, now_s: float) -> None:
        for seen in (self._events, self._given):
            # Both are in order of time, so the old ones are in front.
            for name, _ in list(itertools.takewhile(lambda one: now_s - one[1] > 2 * LATE_S, seen.items())):
                del seen[name]
