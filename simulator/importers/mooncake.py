"""Mooncake traces, one JSON object a line: when requests came, and how many tokens went in and out.

https://github.com/kvcache-ai/Mooncake. ``timestamp`` is milliseconds since the trace's start. ``hash_ids`` (blocks of
the prompt that requests share) have no place in a trace and are left out; they hold no latency.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from simulator.importers.base import ImportOptions, finish
from simulator.importers.json_rows import json_table
from simulator.trace import Trace

_MOST_MS: Final = 1e15
"""As many microseconds fit into 64 bits."""


def read(path: Path, options: ImportOptions) -> Trace:
    """Read a trace. See :func:`simulator.importers.import_trace`."""
    names = ("timestamp", "input_length", "output_length")
    table = json_table(path, names)
    table.require(names, "a Mooncake trace")
    arrival_us = (table.number("timestamp", required=True, most=_MOST_MS) * 1000.0).round().cast(pl.Int64)
    columns = {"input_tokens": table.whole("input_length"), "output_tokens": table.whole("output_length")}
    return finish(columns, origin=str(path), options=options, arrival_us=arrival_us, absolute=False)
