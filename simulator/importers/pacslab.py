"""Runs of pacslab's serverless performance modeling data set: Poisson arrivals to one Lambda function, 2020.

https://github.com/pacslab/serverless-performance-modeling. ``client_*`` are seconds since 1970 on the client's clock,
``aws_*`` milliseconds from the REPORT line; ``exist_id`` names the execution environment. INIT was neither reported nor
billed; a cold start's INIT lies between client and AWS time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from simulator.importers.base import ImportOptions, finish, read_text_table
from simulator.trace import Trace, TraceMetadata

_COLUMNS: Final = (
    "is_cold",
    "exist_id",
    "aws_duration",
    "aws_billed_duration",
    "client_start_time",
    "client_elapsed_time",
)
_MEMORY_MB: Final = 128  # of the published runs; the files do not say it


def read(path: Path, options: ImportOptions) -> Trace:
    """Read one run. See :func:`simulator.importers.import_trace`."""
    table = read_text_table(path)
    table.require(_COLUMNS, "a pacslab run")
    columns = {
        "environment_id": table.frame["exist_id"],
        "cold": table.truth("is_cold"),
        "duration_ms": table.number("aws_duration"),
        "billed_ms": table.number("aws_billed_duration"),
        "client_ms": table.number("client_elapsed_time") * 1000.0,
        "memory_mb": pl.Series([options.memory_mb or _MEMORY_MB] * table.frame.height, dtype=pl.Int64),
    }
    metadata = TraceMetadata(
        function="pacslab",
        region="us-east-1",
        notes={"init": "neither reported nor billed; it lies between client_ms and duration_ms of the cold rows"},
    )
    start_us = table.since_1970_us("client_start_time")
    return finish(columns, origin=str(path), options=options, arrival_us=start_us, metadata=metadata)
