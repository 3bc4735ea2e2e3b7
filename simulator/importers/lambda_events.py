"""From a Lambda function's log events to a trace: reports, starts and the function's own records, joined by request id.

A request's arrival is its START less its INIT, which runs before it; where the log holds no START, the time of its
REPORT less duration and INIT. Either is the platform's time to the millisecond, without gateway and network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from simulator.errors import TraceError
from simulator.importers.base import US_PER_S, ImportOptions, finish
from simulator.importers.log_tables import LogTables, tables_of_events
from simulator.trace import STATUSES, Trace, TraceMetadata

EVENT: Final = {"line": pl.String(), "time_us": pl.Int64(), "stream": pl.String()}
"""Columns of the events that :func:`trace_of_events` takes; time and stream may be null."""

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
    whole = events.with_row_index("row").collect()
    return trace_of_tables(tables_of_events(whole, whole, whole), options, origin)


def trace_of_tables(tables: LogTables, options: ImportOptions, origin: str) -> Trace:
    """Do the same as :func:`trace_of_events` for a log that is read already."""
    joined = join_tables(tables)
    if joined.height == 0:
        raise no_report(origin)
    counts = LogCounts.of(tables, joined)
    metadata = TraceMetadata(models=models_of([model_pairs(joined)]), notes=counts.notes())
    trace_frame = joined.select(trace_columns())
    columns = {name: trace_frame[name] for name in trace_frame.columns if name != "arrival_us"}
    arrival_us = trace_frame["arrival_us"]
    if arrival_us.null_count() == 0:
        return finish(columns, origin=origin, options=options, arrival_us=arrival_us, metadata=metadata)
    if options.spacing_s is None:
        raise no_time(origin, arrival_us.null_count(), len(arrival_us))
    spaced = pl.Series([round(row * options.spacing_s * US_PER_S) for row in range(len(arrival_us))], dtype=pl.Int64)
    return finish(columns, origin=origin, options=options, arrival_us=spaced, absolute=False, metadata=metadata)


@dataclass(frozen=True)
class LogCounts:
    """How many reports and records a log held; those of parts add up."""

    reports: int = 0
    repeated: int = 0
    records: int = 0
    joined_records: int = 0

    @classmethod
    def of(cls, tables: LogTables, joined: pl.DataFrame) -> LogCounts:
        """Count the tables of a log, or of some of its requests, and what :func:`join_tables` made of them."""
        return cls(
            reports=joined.height,
            repeated=tables.reports.height - joined.height,
            records=tables.records.height,
            joined_records=joined.height - joined["own_inference_ms"].null_count(),
        )

    def __add__(self, other: LogCounts) -> LogCounts:
        """Count two parts together."""
        return LogCounts(
            self.reports + other.reports,
            self.repeated + other.repeated,
            self.records + other.records,
            self.joined_records + other.joined_records,
        )

    def notes(self) -> dict[str, str]:
        """Say it in the trace's metadata."""
        notes = {"reports": f"{self.reports:,}"}
        if self.repeated:
            notes["dropped"] = f"{self.repeated:,} reports that stood twice in the log"
        if self.records:
            notes["records"] = f"{self.joined_records:,} of the function's own records joined"
        return notes


def no_report(origin: str) -> TraceError:
    """Give the error of a log without a report."""
    return TraceError(
        f"{origin}: no REPORT of an invocation in it; export the log group of a Lambda function whose system log "
        "level is INFO"
    )


def no_time(origin: str, untimed: int, reports: int) -> TraceError:
    """Give the error of reports without a time."""
    return TraceError(
        f"{origin}: {untimed:,} of {reports:,} reports have no time; export the log with "
        "times (as `aws logs tail` prints it), or give rows a distance (--spacing 1), which keeps latencies but "
        "says nothing of load"
    )


def join_tables(tables: LogTables) -> pl.DataFrame:
    """Join a log's tables by request id: a row a distinct report, in the log's order, for :func:`trace_columns`.

    All that a request left must be in ``tables``; the log's other requests need not be.
    """
    distinct = tables.reports.unique(["request_id", "time_us", "duration_ms"], keep="first", maintain_order=True)
    starts = tables.starts.drop("row").unique("request_id", keep="first", maintain_order=True)
    records = tables.records.drop("row").unique("request_id", keep="last", maintain_order=True)
    return distinct.join(starts, on="request_id", how="left", maintain_order="left").join(
        records.rename(lambda name: f"own_{name}"),
        left_on="request_id",
        right_on="own_request_id",
        how="left",
        maintain_order="left",
    )


def trace_columns() -> list[pl.Expr]:
    """Give the expressions from :func:`join_tables` to a trace's columns, with ``arrival_us`` for ``arrival_s``."""
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
        pl.col("own_ttft_ms").alias("ttft_ms"),
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


def model_pairs(joined: pl.DataFrame) -> pl.DataFrame:
    """Give the pairs of ``own_variant`` and ``own_model``, each with the last ``row`` that named it."""
    pairs = joined.select("own_variant", "own_model", "row").drop_nulls()
    return pairs.group_by("own_variant", "own_model").agg(pl.col("row").max())


def models_of(pairs: Sequence[pl.DataFrame]) -> dict[str, str]:
    """Give variant → model of the pairs of a log's parts: where a variant has two, the one named last."""
    last = pl.concat(pairs).sort("row").select("own_variant", "own_model")
    return {str(variant): str(model) for variant, model in last.iter_rows()}
