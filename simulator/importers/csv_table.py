"""Any CSV table with a header: columns named like those of a trace are taken as they are, others through a mapping.

A mapping's right side is a SQL expression over the table's columns (``elapsed * 1000``,
``CASE WHEN code = 429 THEN 'throttled' ELSE 'ok' END``, ``"Client Time" / 1000``), which Polars computes; nothing of it
is run as Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from simulator.errors import ParameterError, TraceError
from simulator.importers.base import (
    DATES_END_S,
    NO_DATE,
    US_PER_S,
    ImportOptions,
    TextTable,
    finish,
    read_text_table,
    time_us,
)
from simulator.trace import SCHEMA, Trace

_TRUTH: Final = {"true": True, "false": False}
_EPOCH_S: Final = 1e8
"""Arrivals beyond this are seconds since 1970 (from 1973 on), not since a trace's start (three years long)."""


def read(path: Path, options: ImportOptions) -> Trace:
    """Read a table. See :func:`simulator.importers.import_trace`."""
    table = read_text_table(path)
    typed = pl.DataFrame([_typed(table.frame[name]) for name in table.columns])
    mapping = {name: f'"{name}"' for name in table.columns if name in SCHEMA} | dict(options.mapping)
    computed = {name: _computed(table, typed, name, expression, options) for name, expression in mapping.items()}
    if "arrival_s" not in computed:
        computed["arrival_s"] = _spaced(table, options)
    for name, values in computed.items():
        _check(table.origin, name, values)
    arrival_s = computed["arrival_s"]
    if not arrival_s.dtype.is_numeric():
        raise TraceError(f"{table.origin}: column 'arrival_s' holds {arrival_s.dtype}, not numbers of seconds or times")
    _refuse(table.origin, "arrival_s", arrival_s, arrival_s.is_null(), "must not be empty")
    if float(arrival_s.min()) < _EPOCH_S:  # type: ignore[arg-type]  # Polars types a column's figure as anything
        return finish(computed, origin=table.origin, options=options)
    _refuse(table.origin, "arrival_s", arrival_s, arrival_s >= DATES_END_S, NO_DATE)
    del computed["arrival_s"]
    arrival_us = (arrival_s.cast(pl.Float64) * US_PER_S).round().cast(pl.Int64)
    return finish(computed, origin=table.origin, options=options, arrival_us=arrival_us)


def _typed(text: pl.Series) -> pl.Series:
    """Take a column for numbers or truth values where all its cells are."""
    stripped = text.str.strip_chars()
    number = stripped.cast(pl.Float64, strict=False)
    if number.null_count() == text.null_count():
        return number.alias(text.name)
    truth = stripped.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
    return truth.alias(text.name) if truth.null_count() == text.null_count() else text


def _computed(table: TextTable, typed: pl.DataFrame, name: str, expression: str, options: ImportOptions) -> pl.Series:
    place = f"--map {name}={expression}" if name in options.mapping else f"column {name!r}"
    if name not in SCHEMA:
        raise ParameterError(f"{place}: {name!r} is not a trace column; known: {', '.join(SCHEMA)}")
    try:
        parsed = pl.sql_expr(expression)
        used = parsed.meta.root_names()
        values = typed.with_columns(parsed.alias("\0value"))["\0value"]
    except pl.exceptions.ColumnNotFoundError as error:
        missing = next((each for each in used if each not in typed.columns), "a column")
        raise ParameterError(
            f"{place}: no column {missing!r} in {table.origin}; it has: {', '.join(typed.columns)}"
        ) from error
    except pl.exceptions.PolarsError as error:
        for column in pl.sql_expr(expression).meta.root_names() if _parses(expression) else ():
            _refuse_odd_cell(table, column)
        raise ParameterError(
            f"{place}: not a SQL expression that fits {table.origin} ({_first_line(error)})"
        ) from error
    kind = SCHEMA[name]
    if name == "arrival_s" and (values.dtype == pl.String() or values.dtype.is_temporal()):
        for column in used:
            _refuse_odd_cell(table, column)
        return _times_s(table, place, values.cast(pl.String))
    if values.dtype == pl.String() and kind != pl.String():
        for column in used:
            _refuse_odd_cell(table, column)
        raise ParameterError(
            f"{table.origin}: {place}: gives text such as {values.drop_nulls()[0]!r}, not {_wanted(kind)}"
        )
    return values.cast(pl.Float64) if values.dtype.is_decimal() else values


def _parses(expression: str) -> bool:
    try:
        pl.sql_expr(expression)
    except pl.exceptions.PolarsError:
        return False
    return True


def _refuse_odd_cell(table: TextTable, column: str) -> None:
    """Name the first cell that keeps a column, most of whose cells are numbers, from being one of numbers."""
    if column not in table.columns:
        return
    text = table.frame[column]
    odd = text.is_not_null() & text.str.strip_chars().cast(pl.Float64, strict=False).is_null()
    if 0 < int(odd.sum()) <= text.count() // 2:
        table.number(column)


def _times_s(table: TextTable, place: str, values: pl.Series) -> pl.Series:
    """Read arrivals given as ISO times."""
    times = values.to_frame("time").select(time_us(pl.col("time"))).to_series()
    bad = (times.is_null()).arg_true()
    if len(bad):
        row = int(bad[0])
        raise TraceError(
            f"{table.origin}: row {row + 1}, {place}: {values[row]!r} is neither a number of seconds nor a time such "
            "as 2026-11-20T12:00:00.123Z"
        )
    return times / US_PER_S


def _spaced(table: TextTable, options: ImportOptions) -> pl.Series:
    if options.spacing_s is None:
        raise TraceError(
            f"{table.origin}: no arrival times; map a column (--map arrival_s=...), or give rows a distance "
            "(--spacing 1), which keeps latencies but says nothing of load"
        )
    return pl.Series("arrival_s", [row * options.spacing_s for row in range(table.frame.height)], dtype=pl.Float64)


def _check(origin: str, name: str, values: pl.Series) -> None:
    """Refuse what a trace cannot hold while rows still stand as in the file."""
    if not values.dtype.is_numeric():
        return
    _refuse(origin, name, values, ~values.cast(pl.Float64).is_finite(), "is not a finite number")
    _refuse(origin, name, values, values < 0, "is negative")


def _refuse(origin: str, name: str, values: pl.Series, bad: pl.Series, why: str) -> None:
    rows = bad.fill_null(False).arg_true()
    if len(rows):
        row = int(rows[0])
        raise TraceError(f"{origin}: row {row + 1}, column {name!r}: {values[row]!r} {why}")


def _wanted(kind: pl.DataType) -> str:
    return "true or false" if kind == pl.Boolean() else "a number"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
