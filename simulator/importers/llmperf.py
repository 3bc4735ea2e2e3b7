"""Individual responses of ray-project/llmperf: its JSON file, or a CSV table of the same.

https://github.com/ray-project/llmperf. The caller asks the model directly, so the client's latency is the inference.
``error_code`` -100 only means that fewer tokens came than were asked for; the latency is valid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from simulator.importers.base import ImportOptions, TextTable, finish, read_text_table
from simulator.importers.closed_loop import closed_loop_arrivals_us, closed_loop_note
from simulator.importers.json_rows import is_json, json_table
from simulator.trace import Trace, TraceMetadata

_NAMES: Final = {  # in llmperf's own file → in tables made from it
    "error_code": "error_code",
    "ttft_s": "ttft_s",
    "end_to_end_latency_s": "e2e_s",
    "number_input_tokens": "input_tokens",
    "number_output_tokens": "output_tokens",
}
_TOO_FEW_TOKENS: Final = -100
_THROTTLED: Final = 429


def read(path: Path, options: ImportOptions) -> Trace:
    """Read the responses of one run. See :func:`simulator.importers.import_trace`."""
    table = json_table(path, list(_NAMES)) if is_json(path) else read_text_table(path)
    table = table.renamed(_NAMES)
    table.require(("ttft_s", "e2e_s", "input_tokens", "output_tokens"), "an llmperf recording")
    status = _status(table)
    answered = status == "ok"
    latency_ms = _where(answered, table.number("e2e_s") * 1000.0)
    columns = {
        "client_ms": latency_ms,
        "inference_ms": latency_ms,
        "ttft_ms": _where(answered, table.number("ttft_s") * 1000.0),
        "input_tokens": table.whole("input_tokens"),
        "output_tokens": _where(answered, table.whole("output_tokens")),
        "status": status,
    }
    clients = options.clients or 1
    return finish(
        columns,
        origin=str(path),
        options=options,
        arrival_us=closed_loop_arrivals_us(latency_ms, clients),
        absolute=False,
        metadata=TraceMetadata(notes=closed_loop_note(clients)),
    )


def _status(table: TextTable) -> pl.Series:
    if "error_code" not in table.columns:
        return pl.Series(["ok"] * table.frame.height)
    code = table.frame["error_code"].str.strip_chars().cast(pl.Float64, strict=False)
    bad = table.frame["error_code"].is_not_null() & code.is_null()
    return (
        pl.DataFrame({"code": code, "bad": bad})
        .select(
            pl.when(pl.col("bad"))
            .then(pl.lit("error"))  # llmperf sometimes puts a name there
            .when(pl.col("code").is_null() | pl.col("code").is_in([0.0, float(_TOO_FEW_TOKENS)]))
            .then(pl.lit("ok"))
            .when(pl.col("code") == _THROTTLED)
            .then(pl.lit("throttled"))
            .otherwise(pl.lit("error"))
            .alias("status")
        )
        .to_series()
    )


def _where(rows: pl.Series, values: pl.Series) -> pl.Series:
    """Give the values of ``rows``, null elsewhere: llmperf writes 0 where nothing came."""
    return pl.DataFrame({"rows": rows, "values": values}).select(pl.when("rows").then("values")).to_series()
