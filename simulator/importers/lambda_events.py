"""From a Lambda function's log events to a trace: reports, starts and the function's own records, joined by request id.

A request's arrival is its START less its INIT, which runs before it; where the log holds no START, the time of its
REPORT less duration and INIT. Either is the platform's time to the millisecond, without gateway and network.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from simulator.errors import TraceError
from simulator.importers.base import US_PER_S, ImportOptions, finish
from simulator.importers.function_records import is_record, record_columns
from simulator.importers.report_lines import is_report, report_columns
from simulator.trace import STATUSES, Trace, TraceMetadata

EVENT: Final = {"line": pl.String(), "time_us": pl.Int64(), "stream": pl.String()}
"""Columns of the events that :func:`trace_of_events` takes; time and stream may be null."""

_START: Final = r"(?:^|[^_\w])START RequestId: (\S+)(?: Version: (\S+))?"
_JSON_START: Final = r'"type"\s*:\s*"platform\.start"'
_STREAM_VERSION: Final = r"\[([^\]]+)\]"


def trace_of_events(events: pl.LazyFrame, options: ImportOptions, origin: str) -> Trace:
    """Make the trace of a function's log.

    Parameters
    ----------
    events
        With the columns of :data:`EVENT`, in the log's order.
    options
        ``spacing_s`` serves events without time.
    origin
        The log's path, for messages.

    Raises
    ------
    TraceError
        No report among the events, or reports without a time and no ``spacing_s``.
    """
    line = pl.col("line")
    reports_plan = events.filter(is_report(line)).select(*report_columns(line), "time_us", "stream")
    starts_plan = events.filter(_is_start(line)).select(*_start_columns(line), pl.col("time_us").alias("start_us"))
    records_plan = events.filter(is_record(line)).select(record_columns(line))
    reports, starts, records = pl.collect_all([reports_plan, starts_plan, records_plan])
    complete = reports.drop_nulls(["request_id", "duration_ms"])
    if complete.height == 0:
        raise TraceError(
            f"{origin}: no REPORT of an invocation in it; export the log group of a Lambda function whose system log "
            "level is INFO"
        )
    distinct = complete.unique(["request_id", "time_us", "duration_ms"], keep="first", maintain_order=True)
    notes = {"reports": f"{distinct.height:,}"}
    if complete.height > distinct.height:
        notes["dropped"] = f"{complete.height - distinct.height:,} reports that stood twice in the log"
    joined = distinct.join(
        starts.drop_nulls("request_id").unique("request_id", keep="first"),
        on="request_id",
        how="left",
        maintain_order="left",
    ).join(
        records.drop_nulls("request_id").unique("request_id", keep="last").rename(lambda name: f"own_{name}"),
        left_on="request_id",
        right_on="own_request_id",
        how="left",
        maintain_order="left",
    )
    if records.height:
        notes["records"] = f"{joined['own_inference_ms'].count():,} of the function's own records joined"
    trace_frame = joined.select(_trace_columns())
    metadata = TraceMetadata(models=_models(joined), notes=notes)
    columns = {name: trace_frame[name] for name in trace_frame.columns if name != "arrival_us"}
    arrival_us = trace_frame["arrival_us"]
    if arrival_us.null_count() == 0:
        return finish(columns, origin=origin, options=options, arrival_us=arrival_us, metadata=metadata)
    if options.spacing_s is None:
        raise TraceError(
            f"{origin}: {arrival_us.null_count():,} of {len(arrival_us):,} reports have no time; export the log with "
            "times (as `aws logs tail` prints it), or give rows a distance (--spacing 1), which keeps latencies but "
            "says nothing of load"
        )
    spaced = pl.Series([round(row * options.spacing_s * US_PER_S) for row in range(len(arrival_us))], dtype=pl.Int64)
    return finish(columns, origin=origin, options=options, arrival_us=spaced, absolute=False, metadata=metadata)


def _is_start(line: pl.Expr) -> pl.Expr:
    return line.str.contains(_START) | line.str.contains(_JSON_START)


def _start_columns(line: pl.Expr) -> list[pl.Expr]:
    return [
        pl.coalesce(line.str.extract(_START, 1), line.str.extract(r'"requestId"\s*:\s*"([^"]+)"', 1)).alias(
            "request_id"
        ),
        pl.coalesce(line.str.extract(_START, 2), line.str.extract(r'"version"\s*:\s*"([^"]+)"', 1)).alias(
            "start_version"
        ),
    ]


def _trace_columns() -> list[pl.Expr]:
    init_ms = pl.coalesce("init_ms", "restore_ms")
    provisioned = pl.col("own_initialization_type") == "provisioned-concurrency"
    # An environment of provisioned concurrency reports its INIT with the first request, which did not wait for it.
    cold = init_ms.is_not_null() & ~provisioned.fill_null(value=False)
    waited_ms = pl.when(cold).then(init_ms).otherwise(0.0)
    from_start = pl.col("start_us") - (waited_ms * 1000.0).round().cast(pl.Int64)
    from_end = pl.col("time_us") - ((pl.col("duration_ms") + waited_ms) * 1000.0).round().cast(pl.Int64)
    own_status = pl.when(pl.col("own_status").is_in(list(STATUSES))).then(pl.col("own_status"))
    return [
        pl.coalesce(from_start, from_end).alias("arrival_us"),
        pl.col("own_variant").alias("variant"),
        pl.coalesce("own_version", "start_version", pl.col("stream").str.extract(_STREAM_VERSION, 1)).alias("version"),
        pl.coalesce("own_environment_id", "stream").alias("environment_id"),
        provisioned.alias("provisioned"),
        cold.alias("cold"),
        pl.when(cold).then(init_ms).alias("init_ms"),
        pl.col("duration_ms"),
        pl.col("billed_ms"),
        pl.col("own_inference_ms").alias("inference_ms"),
        *(
            pl.col(f"own_{name}").alias(name)
            for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
        ),
        # The platform knows of a time-out or a crash; only the function knows of an answer that was a refusal.
        pl.when(pl.col("status") == "ok")
        .then(pl.coalesce(own_status, "status"))
        .otherwise(pl.col("status"))
        .alias("status"),
        pl.col("memory_mb"),
        pl.col("max_memory_mb"),
        pl.col("request_id"),
    ]


def _models(joined: pl.DataFrame) -> dict[str, str]:
    pairs = joined.select("own_variant", "own_model").drop_nulls().unique(keep="last", maintain_order=True)
    return {str(variant): str(model) for variant, model in pairs.iter_rows()}
