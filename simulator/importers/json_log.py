"""A Lambda function's log as JSON events, in the shapes that AWS hands them out.

- ``{"events": [{"timestamp", "message", "logStreamName"}, …]}``: ``aws logs filter-log-events``, ``get-log-events``;
- ``{"logStream", "logEvents": [{"timestamp", "message"}, …]}``: a subscription's payload, one or many, one a line;
- ``{"timestamp": 1763640000123, "message": "…", "logStream": "…"}``: one event a line;
- ``{"time": "…Z", "type": "platform.report", …}``: what Lambda writes where its log format is JSON, one a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from simulator.errors import TraceError
from simulator.importers.base import DATES_END_S, ImportOptions, check_file
from simulator.importers.json_rows import as_text, read_json_rows
from simulator.importers.lambda_events import EVENT, trace_of_events
from simulator.importers.log_tables import event_columns
from simulator.trace import Trace


def read(path: Path, options: ImportOptions) -> Trace:
    """Read a log. See :func:`simulator.importers.import_trace`."""
    events = pl.DataFrame(list(_events(path)), schema=EVENT, orient="row").lazy()
    # What an event does not say of itself may stand in its message.
    said = events.select(
        pl.col("line"),
        pl.col("time_us").alias("event_us"),
        pl.col("stream").alias("event_stream"),
        *(column.alias(f"line_{name}") for name, column in zip(EVENT, event_columns(pl.col("line")), strict=True)),
    ).select(
        "line",
        pl.coalesce("event_us", "line_time_us").alias("time_us"),
        pl.coalesce("event_stream", "line_stream").alias("stream"),
    )
    return trace_of_events(said, options, str(path))


def _events(path: Path) -> Iterator[tuple[str, int | None, str | None]]:
    for row, document in enumerate(_documents(path), start=1):
        for key in ("events", "logEvents"):
            if isinstance(document.get(key), list):
                stream = document.get("logStream") or document.get("logStreamName")
                for each in document[key]:
                    yield _event(path, row, each, stream)
                break
        else:
            yield _event(path, row, document, None)


def _documents(path: Path) -> list[dict[str, Any]]:
    """Read one document that may run over many lines, or one a line."""
    check_file(path)
    try:
        whole = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        whole = None
    return [whole] if isinstance(whole, dict) else read_json_rows(path)


def _event(path: Path, row: int, event: Any, stream: Any) -> tuple[str, int | None, str | None]:
    if not isinstance(event, dict):
        raise TraceError(f"{path}: document {row}: the event {event!r} is not an object")
    message, time_ms = event.get("message"), event.get("timestamp")
    if not isinstance(message, str) or not isinstance(time_ms, int | float):
        # Not CloudWatch's envelope: the object is itself what Lambda or the function wrote.
        return json.dumps(event), None, _text(stream)
    # What is no date (microseconds, NaN) is none of CloudWatch's.
    time_us = round(time_ms * 1000) if 0 <= time_ms < 1000 * DATES_END_S else None
    return as_text(message), time_us, _text(event.get("logStreamName") or event.get("logStream") or stream)


def _text(stream: Any) -> str | None:
    return as_text(stream) if isinstance(stream, str) else None
