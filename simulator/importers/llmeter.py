"""Responses of awslabs/llmeter: its ``responses.jsonl``, or a CSV table of the same.

https://github.com/awslabs/llmeter. The caller asks the model directly, so the client's latency is the inference. Where
a table has a column ``clients`` or ``arm``, each of its values is a variant, recorded by itself: the recordings are
laid one after the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from simulator.errors import TraceError
from simulator.importers.base import US_PER_S, ImportOptions, TextTable, finish, read_text_table
from simulator.importers.closed_loop import closed_loop_arrivals_us, closed_loop_note
from simulator.importers.json_rows import is_json, json_table
from simulator.trace import Trace, TraceMetadata

_NAMES: Final = {  # in LLMeter's own file → in tables made from it
    "time_to_first_token": "ttft_s",
    "time_to_last_token": "ttlt_s",
    "num_tokens_input": "input_tokens",
    "num_tokens_output": "output_tokens",
    "num_tokens_input_cached": "cache_read_tokens",
    "error": "error",
    "request_time": "request_time",
}
_PAUSE_US: Final = 60 * US_PER_S
"""Laid between the recordings of two variants."""


def read(path: Path, options: ImportOptions) -> Trace:
    """Read the responses of one run or of several. See :func:`simulator.importers.import_trace`."""
    table = json_table(path, list(_NAMES)) if is_json(path) else read_text_table(path)
    table = table.renamed(_NAMES)
    if "ttft_s" not in table.columns and "ttlt_s" not in table.columns:
        table.require(("time_to_first_token", "time_to_last_token"), "an LLMeter recording")
    columns: dict[str, pl.Series | pl.Expr] = {"status": _status(table)}
    if "ttft_s" in table.columns:
        columns["ttft_ms"] = table.number("ttft_s") * 1000.0
    if "ttlt_s" in table.columns:
        columns["client_ms"] = columns["inference_ms"] = table.number("ttlt_s") * 1000.0
    for name in ("input_tokens", "output_tokens", "cache_read_tokens"):
        if name in table.columns:
            columns[name] = table.whole(name)
    if "request_time" in table.columns:
        return finish(columns, origin=str(path), options=options, arrival_us=table.time_us("request_time"))
    return _reconstructed(table, columns, options, path)


def _reconstructed(
    table: TextTable, columns: dict[str, pl.Series | pl.Expr], options: ImportOptions, path: Path
) -> Trace:
    last_ms = table.number("ttlt_s" if "ttlt_s" in table.columns else "ttft_s") * 1000.0
    part = next((name for name in ("clients", "arm") if name in table.columns), None)
    label = table.frame[part] if part else pl.Series([""] * table.frame.height)
    if label.null_count():
        row = int(label.is_null().arg_true()[0])
        raise TraceError(f"{path}: row {row + 1}, column {part!r}: None must not be empty")
    in_loop = table.whole("clients") if part == "clients" else pl.Series([options.clients or 1] * len(label))
    arrivals = pl.Series([0] * len(label), dtype=pl.Int64)
    start_us = 0
    for value in label.unique(maintain_order=True):
        rows = (label == value).arg_true()
        part_ms = last_ms.gather(rows)
        part_us = closed_loop_arrivals_us(part_ms, int(in_loop[int(rows[0])])) + start_us
        arrivals = arrivals.scatter(rows, part_us)
        end_us = part_us + (part_ms.fill_null(0.0) * 1000.0).round().cast(pl.Int64)
        start_us = int(end_us.max()) + _PAUSE_US  # type: ignore[arg-type]  # Polars types a column's figure as anything
    if part:
        columns["variant"] = label if part == "arm" else label + " clients"
    notes = closed_loop_note(options.clients or 1)
    if part == "clients":
        notes = {"arrivals": "not recorded; reconstructed as closed loops of the recorded number of clients"}
    return finish(
        columns,
        origin=str(path),
        options=options,
        arrival_us=arrivals,
        absolute=False,
        metadata=TraceMetadata(notes=notes),
    )


def _status(table: TextTable) -> pl.Series:
    if "error" not in table.columns:
        return pl.Series(["ok"] * table.frame.height)
    error = table.frame["error"]
    return (
        pl.DataFrame({"error": error})
        .select(
            pl.when(pl.col("error").is_null())
            .then(pl.lit("ok"))
            .when(pl.col("error").str.contains("(?i)throttl|429|too many requests"))
            .then(pl.lit("throttled"))
            .when(pl.col("error").str.contains("(?i)timed? ?out"))
            .then(pl.lit("timeout"))
            .otherwise(pl.lit("error"))
            .alias("status")
        )
        .to_series()
    )
