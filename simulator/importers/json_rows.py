"""Recordings in JSON: an array of objects, or one object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from simulator.errors import TraceError
from simulator.importers.base import TextTable, check_file


def is_json(path: Path) -> bool:
    """Say whether the file's first character that is no space starts a JSON array or object."""
    check_file(path)
    with path.open("rb") as content:
        return content.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{")


def read_json_rows(path: Path) -> list[dict[str, Any]]:
    """Read an array of objects, or one object a line (empty lines are passed over).

    Raises
    ------
    TraceError
        The file is missing, empty or not UTF-8, or holds something else; the message names the line.
    """
    check_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: not UTF-8 text (byte {error.start}); convert it first") from error
    if text.lstrip()[:1] == "[":
        rows = _parsed(text, str(path), line=None)
        numbered = list(enumerate(rows, start=1))
        what = "row"
    else:
        # Not splitlines(): a text in JSON may hold Unicode's other line ends as they are.
        lines = enumerate(text.split("\n"), start=1)
        numbered = [(number, _parsed(line, str(path), line=number)) for number, line in lines if line.strip()]
        what = "line"
    for number, row in numbered:
        if not isinstance(row, dict):
            raise TraceError(f"{path}: {what} {number}: {_short(row)} is not an object")
    if not numbered:
        raise TraceError(f"{path}: no object in it; there is nothing to import")
    return [row for _, row in numbered]


def json_table(path: Path, columns: Sequence[str]) -> TextTable:
    """Read ``columns`` of JSON rows as a table of text; a key that no row has is no column, null is an empty cell."""
    rows = read_json_rows(path)
    there = [name for name in columns if any(name in row for row in rows)]
    cells = {name: [None if row.get(name) is None else as_text(row[name]) for row in rows] for name in there}
    return TextTable(pl.DataFrame(cells, schema=dict.fromkeys(there, pl.String)), str(path))


def as_text(value: object) -> str:
    """Give a value as text that UTF-8 can hold: JSON may escape half of a character that lies beyond 16 bits."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _parsed(text: str, origin: str, line: int | None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno if line is None else line}, character {error.colno}"
        raise TraceError(f"{origin}: {place}: not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or brackets within brackets without end.
        raise TraceError(f"{origin}: line {line or 1}: no JSON that can be read ({error})") from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
