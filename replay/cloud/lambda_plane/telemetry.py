"""What leaves the data plane for CloudWatch: log events and metrics, written in batches off the hot path."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from replay.cloud.lambda_plane.embedded_metrics import embedded_metrics
from replay.cloud.lambda_plane.ports import LogEvent, LogSink, MetricDatum, MetricSink

FLUSH_AFTER_S: Final = 0.05
"""Longest that an event waits here."""


class Telemetry:
    """Buffers events and metrics in order; belongs to one event loop."""

    def __init__(self, logs: LogSink, metrics: MetricSink) -> None:
        self._logs = logs
        self._metrics = metrics
        self._events: dict[tuple[str, str], list[LogEvent]] = {}
        self._data: list[MetricDatum] = []
        self._timer: asyncio.TimerHandle | None = None

    def log(self, group: str, stream: str, event: LogEvent) -> None:
        """Append one event to a log stream."""
        self._events.setdefault((group, stream), []).append(event)
        self._schedule()

    def measure(self, data: Sequence[MetricDatum]) -> None:
        """Add observations."""
        self._data.extend(data)
        self._schedule()

    def flush(self) -> None:
        """Write everything out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        events, self._events = self._events, {}
        data, self._data = self._data, []
        for (group, stream), batch in events.items():
            self._logs.put(group, stream, batch)
            for event in batch:
                data.extend(embedded_metrics(event))
        if data:
            self._metrics.put(data)

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER_S, self.flush)
