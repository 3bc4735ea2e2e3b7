"""A Lambda function's log as text, one event a line.

Lines as ``aws logs tail`` prints them (time, stream, message), as an export to S3 holds them (time, message; also
gzipped), or bare messages. REPORT lines in either log format are read, with the START lines and the function's own
records around them; everything else is passed over. The file is read in a stream, by expressions, not line by line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from simulator.errors import TraceError
from simulator.importers.base import ImportOptions, check_file, time_us
from simulator.importers.lambda_events import trace_of_events
from simulator.trace import Trace

_TIME: Final = r"^(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)"
_JSON_TIME: Final = r'"(?:time|timestamp)"\s*:\s*"([^"]+)"'
_EPOCH_MS: Final = r"^(\d{13})\b"
_STREAM: Final = r"(\d{4}/\d{2}/\d{2}/\S*\[[^\]]+\][0-9a-zA-Z]+)"


def read(path: Path, options: ImportOptions) -> Trace:
    """Read a log. See :func:`simulator.importers.import_trace`."""
    check_file(path)
    # A CSV of one column whose separator never occurs: Polars' fastest way to read lines, streaming and gunzipping.
    lines = pl.scan_csv(
        path,
        has_header=False,
        separator="\x01",
        quote_char=None,
        schema={"line": pl.String},
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
    )
    try:
        return trace_of_events(lines.select(event_columns(pl.col("line"))), options, str(path))
    except pl.exceptions.PolarsError as error:
        raise TraceError(f"{path}: not a readable text log ({str(error).splitlines()[0]})") from error


def event_columns(line: pl.Expr) -> list[pl.Expr]:
    """Give the expressions that split a line into an event: line, time and stream."""
    stamp = pl.coalesce(line.str.extract(_TIME, 1), line.str.extract(_JSON_TIME, 1))
    epoch_us = line.str.extract(_EPOCH_MS, 1).cast(pl.Int64, strict=False) * 1000
    return [
        line,
        pl.coalesce(time_us(stamp), epoch_us).alias("time_us"),
        line.str.extract(_STREAM, 1).alias("stream"),
    ]
