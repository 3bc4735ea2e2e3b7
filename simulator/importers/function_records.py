r"""The function's own record of a request: one JSON object in the log, known by its key ``tailcast``.

It may stand by itself, after a time and a stream, or wrapped into Lambda's JSON log envelope, as an object or as text
in which the quotes are escaped; the expressions match all of these. One table of them reads whole columns of a log
(:func:`record_columns`) and single lines (:func:`read_record`) alike.
"""

from __future__ import annotations

import re
from typing import Any, Final

import polars as pl

_KEY: Final = r'\\?"{}\\?"\s*:\s*'
_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
_TEXT: Final = r'\\?"([^"\\]*)'
_TRUTH: Final = r"(true|false)"
_IS_RECORD: Final = _KEY.format("tailcast") + r'\\?"[a-z_]+\\?"'
"""Whichever of our functions wrote it: ``inference``, ``stream``."""

_FIELDS: Final[dict[str, tuple[str, pl.DataType]]] = {
    "request_id": (_TEXT, pl.String()),
    "variant": (_TEXT, pl.String()),
    "model": (_TEXT, pl.String()),
    "version": (_TEXT, pl.String()),
    "environment_id": (_TEXT, pl.String()),
    "cold": (_TRUTH, pl.Boolean()),
    "initialization_type": (_TEXT, pl.String()),
    "inference_ms": (_NUMBER, pl.Float64()),
    "ttft_ms": (_NUMBER, pl.Float64()),
    "input_tokens": (_NUMBER, pl.Int64()),
    "output_tokens": (_NUMBER, pl.Int64()),
    "cache_read_tokens": (_NUMBER, pl.Int64()),
    "cache_write_tokens": (_NUMBER, pl.Int64()),
    "status": (_TEXT, pl.String()),
}


RECORD_SCHEMA: Final[dict[str, pl.DataType]] = {name: kind for name, (_, kind) in _FIELDS.items()}
"""Columns that :func:`record_columns` gives."""


def is_record(line: pl.Expr) -> pl.Expr:
    """Give true for the lines of a column that hold a function's record."""
    return line.str.contains(_IS_RECORD)


def record_columns(line: pl.Expr) -> list[pl.Expr]:
    """Give the expressions that read a column of such lines, one a field, null where a record lacks it."""
    columns = []
    for name, (value, kind) in _FIELDS.items():
        found = line.str.extract(_KEY.format(name) + value, 1)
        if kind == pl.Boolean():
            found = found == "true"
        elif kind == pl.Int64():
            found = found.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
        elif kind == pl.Float64():
            found = found.cast(pl.Float64, strict=False)
        columns.append(found.alias(name))
    return columns


_HOLDS_RECORD: Final = re.compile(_IS_RECORD)
_EXPRESSIONS: Final = {name: re.compile(_KEY.format(name) + value) for name, (value, _) in _FIELDS.items()}


def read_record(line: str) -> dict[str, Any] | None:
    """Read one line as :func:`record_columns` reads many; None where it holds no record.

    What is no measurement (a negative number, a truth in place of a number) is None, as what is missing.
    """
    if _HOLDS_RECORD.search(line) is None:
        return None
    found: dict[str, Any] = {}
    for name, (_, kind) in _FIELDS.items():
        match = _EXPRESSIONS[name].search(line)
        text = None if match is None else match[1]
        if text is None:
            found[name] = None
        elif kind == pl.Boolean():
            found[name] = text == "true"
        elif kind == pl.String():
            found[name] = text or None
        else:
            found[name] = int(float(text)) if kind == pl.Int64() else float(text)
    return found
