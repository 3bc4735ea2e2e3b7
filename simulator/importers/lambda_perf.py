"""INIT durations of maxday/lambda-perf: a handful of cold starts a day of an empty function, per memory size.

https://github.com/maxday/lambda-perf. A row is one cold start; its time is known to the day, its duration only as the
day's average, which is left out here: an average is no measurement.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from simulator.importers.base import ImportOptions, finish, read_text_table
from simulator.trace import Trace, TraceMetadata


def read(path: Path, options: ImportOptions) -> Trace:
    """Read a table of cold starts; the variant names runtime, package, architecture and memory."""
    table = read_text_table(path)
    table.require(("day", "runtime", "pkg", "arch", "mem_mb", "init_ms"), "a lambda-perf table")
    memory_mb = table.whole("mem_mb")
    variant = table.frame.select(
        pl.concat_str(pl.col("runtime", "pkg", "arch"), pl.Series("mem_mb", memory_mb).cast(pl.String), separator="-")
    ).to_series()
    columns = {
        "variant": variant,
        "cold": pl.Series([True] * table.frame.height),
        "init_ms": table.number("init_ms"),
        "memory_mb": memory_mb,
    }
    if "mem_used_mb" in table.columns:
        columns["max_memory_mb"] = table.number("mem_used_mb").ceil().cast(pl.Int64)
    notes = {"arrivals": "known to the day", "duration": "recorded as a day's average only, so left out"}
    days = pl.Series("day", table.frame["day"] + "T00:00:00Z")
    return finish(
        columns,
        origin=str(path),
        options=options,
        arrival_us=type(table)(days.to_frame(), table.origin).time_us("day"),
        metadata=TraceMetadata(notes=notes),
    )
