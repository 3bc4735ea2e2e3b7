"""A CSV export of CloudWatch Logs Insights over a Lambda function's REPORT lines.

Of a query such as ``fields @timestamp, @requestId, @duration, @billedDuration, @initDuration, @memorySize,
@maxMemoryUsed, @logStream | filter @type = "REPORT"``. Insights gives memory in bytes (of 1,000 × 1,000 a megabyte) and
the time of the REPORT line, which is the end of the invocation. ``@message`` alone, with ``@timestamp``, serves too.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from simulator.errors import TraceError
from simulator.importers.base import ImportOptions, TextTable, finish, read_text_table
from simulator.importers.lambda_events import trace_of_events
from simulator.trace import Trace

_STREAM_VERSION = r"\[([^\]]+)\]"


def read(path: Path, options: ImportOptions) -> Trace:
    """Read an export. See :func:`simulator.importers.import_trace`."""
    raw = read_text_table(path)
    table = raw.renamed({name: name.removeprefix("@") for name in raw.columns})
    if "duration" not in table.columns and "message" in table.columns:
        table.require(("timestamp", "message"), "an Insights export")
        stream = table.frame["logStream"] if "logStream" in table.columns else pl.lit(None, dtype=pl.String)
        events = table.frame.select(pl.col("message").alias("line"), table.time_us("timestamp").alias("time_us"))
        return trace_of_events(events.with_columns(stream.alias("stream")).lazy(), options, table.origin)
    table.require(("timestamp", "duration"), "an Insights export over REPORT lines")
    end_us = table.time_us("timestamp")
    values = {
        "duration_ms": table.number("duration"),
        "billed_ms": _optional(table, "billedDuration"),
        "init_ms": _optional(table, "initDuration"),
        "memory_mb": (_optional(table, "memorySize") / 1e6).round().cast(pl.Int64),
        "max_memory_mb": (_optional(table, "maxMemoryUsed") / 1e6).round().cast(pl.Int64),
        "request_id": _text(table, "requestId"),
        "environment_id": _text(table, "logStream"),
        "end_us": end_us,
    }
    frame = pl.DataFrame(values).filter(pl.col("duration_ms").is_not_null())
    if frame.height == 0:
        raise TraceError(f'{path}: no row has a @duration; add | filter @type = "REPORT" to the query')
    # Without any INIT in the export, nobody knows whether its column was left out or nothing was cold.
    cold = pl.col("init_ms").is_not_null() if "initDuration" in table.columns else pl.lit(None, dtype=pl.Boolean)
    frame = frame.with_columns(
        cold.alias("cold"), pl.col("environment_id").str.extract(_STREAM_VERSION, 1).alias("version")
    )
    busy_us = (frame["duration_ms"] + frame["init_ms"].fill_null(0.0)) * 1000.0
    arrival_us = frame["end_us"] - busy_us.round().cast(pl.Int64)
    columns = {name: frame[name] for name in frame.columns if name != "end_us"}
    return finish(columns, origin=str(path), options=options, arrival_us=arrival_us)


def _optional(table: TextTable, name: str) -> pl.Series:
    if name in table.columns:
        return table.number(name)
    return pl.Series([None] * table.frame.height, dtype=pl.Float64)


def _text(table: TextTable, name: str) -> pl.Series:
    return table.frame[name] if name in table.columns else pl.Series([None] * table.frame.height, dtype=pl.String)
