"""Cold starts as X-Ray saw them: the whole, and in it setup, INIT and the handler.

https://github.com/simplybusiness/lambda-coldstart-comparison. ``setup`` (finding a place and fetching the code) is in
no REPORT line: in the trace it is ``client_ms - init_ms - duration_ms``.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from simulator.importers.base import ImportOptions, finish, read_text_table
from simulator.trace import Trace, TraceMetadata


def read(path: Path, options: ImportOptions) -> Trace:
    """Read a table of cold starts; the variant is the function's name."""
    table = read_text_table(path)
    table.require(("function", "timestamp", "total", "setup", "initialization", "execution"), "an X-Ray table")
    memory_mb = table.frame["function"].str.extract(r"memory-(\d+)", 1).cast(pl.Int64, strict=False)
    columns = {
        "variant": table.frame["function"],
        "cold": pl.Series([True] * table.frame.height),
        "client_ms": table.number("total"),
        "init_ms": table.number("initialization"),
        "duration_ms": table.number("execution"),
        "memory_mb": memory_mb,
    }
    notes = {"client": "X-Ray's total, without the network; what INIT and handler leave of it is setup"}
    return finish(
        columns,
        origin=str(path),
        options=options,
        arrival_us=table.time_us("timestamp"),
        metadata=TraceMetadata(notes=notes),
    )
