"""From the lines of a Lambda log to three tables: reports, starts and the function's own records.

A line goes through the exact forms of :mod:`~simulator.importers.log_forms` first; what they do not match is read by
the general expressions. ``row`` is the line's place in the log, by which whatever follows keeps or restores the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from simulator.importers.base import time_us
from simulator.importers.function_records import RECORD_SCHEMA, is_record, record_columns
from simulator.importers.log_forms import JSON_REPORT, JSON_START, RECORD, TEXT_REPORT, TEXT_START, Form
from simulator.importers.log_scan import Scanned
from simulator.importers.report_lines import REPORT_SCHEMA, is_report, report_columns, status_of

_TIME: Final = r"^(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)"
_JSON_TIME: Final = r'"(?:time|timestamp)"\s*:\s*"([^"]+)"'
_EPOCH_MS: Final = r"^(\d{13})\b"
_STREAM: Final = r"(\d{4}/\d{2}/\d{2}/\S*\[[^\]]+\][0-9a-zA-Z]+)"
_START: Final = r"(?:^|[^_\w])START RequestId: (\S+)(?: Version: (\S+))?"
_JSON_START: Final = r'"type"\s*:\s*"platform\.start"'

_ROW: Final = {"row": pl.Int64()}
_REPORTS: Final = {**_ROW, **REPORT_SCHEMA, "time_us": pl.Int64(), "stream": pl.String()}
_STARTS: Final = {**_ROW, "request_id": pl.String(), "start_version": pl.String(), "start_us": pl.Int64()}
_RECORDS: Final = {**_ROW, **RECORD_SCHEMA}


@dataclass(frozen=True)
class LogTables:
    """What a log, or a block of one, says of its requests; each table is in the log's order."""

    reports: pl.DataFrame
    """A row a REPORT: the fields of :class:`~simulator.importers.report_lines.Report`, ``time_us`` and ``stream``."""
    starts: pl.DataFrame
    """``request_id``, ``start_version``, ``start_us``."""
    records: pl.DataFrame
    """The fields of :mod:`~simulator.importers.function_records`."""

    @classmethod
    def empty(cls) -> LogTables:
        """Give tables without a row."""
        return cls(*(pl.DataFrame(schema=schema) for schema in (_REPORTS, _STARTS, _RECORDS)))


def together(blocks: Sequence[LogTables]) -> LogTables:
    """Join the tables of successive blocks, at least one."""
    return LogTables(
        pl.concat([block.reports for block in blocks]),
        pl.concat([block.starts for block in blocks]),
        pl.concat([block.records for block in blocks]),
    )


def tables_of_lines(lines: pl.DataFrame) -> LogTables:
    """Read lines (columns ``row`` and ``line``), whose time and stream stand in themselves."""
    # One look decides for most lines that they hold nothing.
    told = lines.filter(pl.col("line").str.contains(_HOLDS_SOMETHING))
    reports, other_reports = _by_forms(told, (TEXT_REPORT, JSON_REPORT))
    starts, other_starts = _by_forms(told, (TEXT_START, JSON_START))
    records, other_records = _by_forms(told, (RECORD,))
    general = tables_of_events(
        other_reports.with_columns(event_columns(pl.col("line"))),
        other_starts.with_columns(event_columns(pl.col("line"))),
        other_records,
    )
    return LogTables(
        _sorted(_reports_of_groups(reports), general.reports),
        _sorted(_starts_of_groups(starts), general.starts),
        _sorted(_records_of_groups(records), general.records),
    )


def tables_of_block(found: Scanned) -> LogTables:
    """Finish what the scanner has read of a block, and read the lines that it left: as :func:`tables_of_lines` does."""
    scanned = LogTables(
        _typed(found.reports.with_columns(status_of(pl.col("status"))), _REPORTS),
        _typed(found.starts, _STARTS),
        _typed(found.records.with_columns(pl.col("cold") == "true"), _RECORDS),
    )
    if not found.other_rows.size:
        return scanned
    lines = [line.rstrip(b"\r").decode(errors="replace") for line in found.others.split(b"\n")[:-1]]
    table = pl.DataFrame({"row": found.other_rows, "line": lines}, schema={"row": pl.Int64(), "line": pl.String()})
    others = tables_of_lines(table)
    return LogTables(
        _sorted(scanned.reports, others.reports),
        _sorted(scanned.starts, others.starts),
        _sorted(scanned.records, others.records),
    )


def tables_of_events(for_reports: pl.DataFrame, for_starts: pl.DataFrame, for_records: pl.DataFrame) -> LogTables:
    """Read events (``row``, ``line``, ``time_us``, ``stream``; the last may lack the two latter) in any form."""
    line = pl.col("line")
    reports = for_reports.filter(is_report(line)).select("row", *report_columns(line), "time_us", "stream")
    starts = for_starts.filter(line.str.contains(_START) | line.str.contains(_JSON_START)).select(
        "row",
        pl.coalesce(line.str.extract(_START, 1), line.str.extract(r'"requestId"\s*:\s*"([^"]+)"', 1)).alias(
            "request_id"
        ),
        pl.coalesce(line.str.extract(_START, 2), line.str.extract(r'"version"\s*:\s*"([^"]+)"', 1)).alias(
            "start_version"
        ),
        pl.col("time_us").alias("start_us"),
    )
    records = for_records.filter(is_record(line)).select("row", *record_columns(line))
    return LogTables(
        reports.drop_nulls(["request_id", "duration_ms"]).cast(_REPORTS),  # type: ignore[arg-type]  # Polars' stubs want its own mapping
        starts.drop_nulls("request_id").cast(_STARTS),  # type: ignore[arg-type]  # Polars' stubs want its own mapping
        records.drop_nulls("request_id").cast(_RECORDS),  # type: ignore[arg-type]  # Polars' stubs want its own mapping
    )


def event_columns(line: pl.Expr) -> list[pl.Expr]:
    """Give the expressions that split a line into an event: line, time and stream."""
    stamp = pl.coalesce(line.str.extract(_TIME, 1), line.str.extract(_JSON_TIME, 1))
    epoch_us = line.str.extract(_EPOCH_MS, 1).cast(pl.Int64, strict=False) * 1000
    return [
        line,
        pl.coalesce(time_us(stamp), epoch_us).alias("time_us"),
        line.str.extract(_STREAM, 1).alias("stream"),
    ]


# Literals in every line that is_report, is_record or a start's expressions let through.
_HOLDS_SOMETHING: Final = r"REPORT RequestId: |START RequestId: |platform\.report|platform\.start|tailcast"


def _by_forms(lines: pl.DataFrame, forms: Sequence[Form]) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    """Read lines by the forms; give what they read and the lines with a form's literal that none of them matched."""
    read, left = [], []
    for form in forms:
        holds = lines["line"].str.contains(form.literal, literal=True)
        groups, others = form.read(lines.filter(holds))
        read.append(groups)
        left.append(others)
        lines = lines if form is forms[-1] else lines.filter(~holds)
    return read, pl.concat(left)


def _sorted(*tables: pl.DataFrame) -> pl.DataFrame:
    # A single table is not in the log's order by itself either: it comes form by form.
    return pl.concat([table for table in tables if table.height] or tables[:1]).sort("row")


def _clock_us(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).dt.timestamp("us")


def _when_us(table: pl.DataFrame) -> pl.Expr:
    names = [name for name in ("clock", "event_clock") if name in table.columns]
    return pl.coalesce(_clock_us(name) for name in names)


def _reports_of_groups(groups: Sequence[pl.DataFrame]) -> pl.DataFrame:
    tables = []
    for each in groups:
        status = pl.col("status") if "status" in each.columns else pl.lit(None, dtype=pl.String)
        full = each.with_columns(status_of(status).alias("status"), _when_us(each).alias("time_us"))
        tables.append(_typed(full, _REPORTS))
    return _sorted(*tables)


def _starts_of_groups(groups: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return _sorted(*(_typed(each.with_columns(_when_us(each).alias("start_us")), _STARTS) for each in groups))


def _records_of_groups(groups: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return _sorted(*(_typed(each.with_columns(pl.col("cold") == "true"), _RECORDS) for each in groups))


def _typed(table: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Give the columns of ``schema``: numbers out of their text, null where the form has no such field."""
    columns = []
    for name, kind in schema.items():
        if name not in table.columns:
            columns.append(pl.lit(None, dtype=kind).alias(name))
        elif kind == pl.Int64() and table.schema[name] == pl.String():
            columns.append(pl.col(name).cast(pl.Float64, strict=False).cast(pl.Int64, strict=False))
        else:
            columns.append(pl.col(name).cast(kind, strict=False))
    return table.select(columns)
