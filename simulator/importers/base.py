"""What the importers share: options, tables of text with errors that name the cell, and the last step to a trace."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from simulator.errors import TraceError
from simulator.trace import Trace, TraceMetadata, make_trace

US_PER_S: Final = 1_000_000
DATES_END_S: Final = 253_402_300_800.0
"""The year 10000, in seconds since 1970. Milliseconds taken for seconds come later than that."""
NO_DATE: Final = "is no number of seconds since 1970; divide milliseconds by 1000"
_MOST: Final = 1e12
"""More than anybody measures; what is above it may not fit into 64 bits once it is microseconds."""
_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


@dataclass(frozen=True)
class ImportOptions:
    """What a recording does not say itself. Everything may be left out."""

    variant: str | None = None
    """Variant of every row that does not name its own."""
    function: str | None = None
    region: str | None = None
    memory_mb: int | None = None
    """Configured memory, where the recording does not say it."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Variant → Bedrock model or inference-profile id."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Trace column → SQL expression over the recording's columns (format ``csv``)."""
    spacing_s: float | None = None
    """For a recording without times: rows are taken to arrive this far apart. Latencies hold then; load does not."""
    clients: int | None = None
    """For a recording of a closed loop without times: how many clients asked, each waiting for its answer."""


class TextTable:
    """A table whose cells are text still, so that an error can quote the cell as it stands in the file.

    Rows count from 1, the header apart. Empty cells are null.
    """

    def __init__(self, frame: pl.DataFrame, origin: str) -> None:
        self.frame = frame
        self.origin = origin

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the file's order."""
        return self.frame.columns

    def renamed(self, names: Mapping[str, str]) -> TextTable:
        """Give the table with columns of other names; raise a :class:`TraceError` where two would have the same."""
        after = [names.get(name, name) for name in self.columns]
        for name in after:
            if after.count(name) > 1:
                both = [old for old, new in zip(self.columns, after, strict=True) if new == name]
                raise TraceError(f"{self.origin}: columns {both[0]!r} and {both[1]!r} both give {name!r}; drop one")
        return TextTable(self.frame.rename(dict(zip(self.columns, after, strict=True))), self.origin)

    def require(self, names: Iterable[str], what: str) -> None:
        """Raise a :class:`TraceError` unless all columns ``names`` are there; ``what`` says what the file should be."""
        for name in names:
            if name not in self.frame.columns:
                raise TraceError(
                    f"{self.origin}: column {name!r} is missing; {what} has {', '.join(names)}; "
                    f"this file has {', '.join(self.frame.columns)}"
                )

    def number(self, name: str, *, required: bool = False, most: float = _MOST) -> pl.Series:
        """Give a column as numbers from 0 to ``most``, null where the cell is empty."""
        text = self.frame[name]
        value = text.str.strip_chars().cast(pl.Float64, strict=False)
        self._refuse(name, text.is_not_null() & value.is_null(), "is not a number")
        self._refuse(name, ~value.is_finite(), "is not a finite number")
        self._refuse(name, value < 0, "is negative")
        self._refuse(name, value > most, f"is above {most:g}")
        if required:
            self._refuse(name, value.is_null(), "must not be empty")
        return value

    def whole(self, name: str) -> pl.Series:
        """Give a column as whole numbers ≥ 0, null where the cell is empty."""
        value = self.number(name)
        self._refuse(name, value != value.floor(), "is not a whole number")
        return value.cast(pl.Int64)

    def truth(self, name: str) -> pl.Series:
        """Give a column as truth values: true, false, yes, no, 1, 0 in any case; null where the cell is empty."""
        text = self.frame[name]
        value = text.str.strip_chars().str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
        self._refuse(name, text.is_not_null() & value.is_null(), "is neither true nor false")
        return value

    def time_us(self, name: str) -> pl.Series:
        """Give a column of ISO 8601 times (UTC where they do not say) as microseconds since 1970."""
        text = self.frame[name]
        value = parse_time_us(text)
        self._refuse(name, text.is_null(), "must not be empty")
        self._refuse(name, value.is_null(), "is not a time such as 2026-11-20T12:00:00.123Z")
        return value

    def since_1970_us(self, name: str) -> pl.Series:
        """Give a column of seconds since 1970, none of them empty, as microseconds."""
        value = self.number(name, required=True, most=math.inf)
        self._refuse(name, value >= DATES_END_S, NO_DATE)
        return (value * US_PER_S).round().cast(pl.Int64)

    def _refuse(self, name: str, bad: pl.Series, why: str) -> None:
        rows = bad.fill_null(False).arg_true()
        if len(rows):
            row = int(rows[0])
            more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
            raise TraceError(f"{self.origin}: row {row + 1}, column {name!r}: {self.frame[name][row]!r} {why}{more}")


def read_text_table(path: Path) -> TextTable:
    """Read a CSV file with a header, every cell as text.

    Raises
    ------
    TraceError
        The file is missing, empty or not UTF-8, a name stands twice in its header, a row has more cells than the
        header, or there is no row.
    """
    check_file(path)
    try:
        frame = pl.read_csv(path, infer_schema=False, glob=False)
    except pl.exceptions.PolarsError as error:
        raise TraceError(f"{path}: {_why_not_csv(path, error)}") from error
    if frame.height == 0:
        raise TraceError(f"{path}: a header and no row; there is nothing to import")
    table = TextTable(frame, str(path))
    return table.renamed({name: name.strip().lstrip("\ufeff") for name in table.columns})


def check_file(path: Path) -> None:
    """Raise a :class:`TraceError` unless ``path`` is a file that can be read, with something in it."""
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    try:
        path.open("rb").close()
    except OSError as error:
        raise TraceError(f"{path}: the file cannot be read ({error.strerror})") from error
    if path.stat().st_size == 0:
        raise TraceError(f"{path}: the file is empty; there is nothing to import")


def parse_time_us(text: pl.Series) -> pl.Series:
    """Read ISO 8601 times (``T`` or a space; UTC where no zone is given) as microseconds, null where it is none."""
    frame = text.to_frame("time").select(time_us(pl.col("time")))
    return frame.to_series().alias(text.name)


def time_us(text: pl.Expr) -> pl.Expr:
    """Do the same as :func:`parse_time_us` in an expression."""
    whole = text.str.strip_chars().str.replace(" ", "T", literal=True)
    zoned = pl.when(whole.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$")).then(whole).otherwise(whole + "Z")
    return zoned.str.to_datetime("%+", time_unit="us", strict=False).dt.timestamp("us")


def finish(
    columns: Mapping[str, pl.Series | pl.Expr],
    *,
    origin: str,
    options: ImportOptions,
    arrival_us: pl.Series | None = None,
    absolute: bool = True,
    metadata: TraceMetadata | None = None,
) -> Trace:
    """Make the trace: sort by arrival, count from the first one, and fill in what the options say.

    Parameters
    ----------
    columns
        Trace columns of one length, without ``arrival_s`` where ``arrival_us`` is given.
    origin
        The recording's path, for messages.
    options
        Supply ``variant`` and ``memory_mb`` where the columns do not.
    arrival_us
        Arrivals in microseconds. Kept whole, since a time of day in floating seconds has lost its last digits.
    absolute
        Whether ``arrival_us`` counts from 1970, so that the trace's start has a date.
    metadata
        What else the recording says.
    """
    said = metadata or TraceMetadata()
    given = dict(columns)
    recorded_at = said.recorded_at
    if arrival_us is not None:
        first_us = int(arrival_us.min())  # type: ignore[arg-type]  # Polars types a column's figure as anything
        given["arrival_s"] = (arrival_us - first_us) / US_PER_S
        if absolute:
            recorded_at = iso_time(first_us)
    frame = pl.DataFrame(given)
    frame = frame.sort("arrival_s", maintain_order=True)
    frame = filled(frame, options)
    return make_trace(
        frame,
        TraceMetadata(
            recorded_at=recorded_at,
            function=said.function,
            region=said.region,
            models=said.models,
            versions=said.versions,
            notes=said.notes,
        ),
        origin=origin,
    )


def filled(frame: pl.DataFrame, options: ImportOptions) -> pl.DataFrame:
    """Fill in what the options say where the rows do not."""
    for name, value in (("variant", options.variant), ("memory_mb", options.memory_mb)):
        if value is None:
            continue
        known = pl.col(name) if name in frame.columns else pl.lit(None)
        frame = frame.with_columns(pl.coalesce(known, pl.lit(value)).alias(name))
    return frame


def iso_time(time_us: int) -> str:
    """Write microseconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_us / US_PER_S, tz=UTC).isoformat()


def _first_odd_byte(path: Path) -> int:
    """Give where a file stops being UTF-8; the error of a text file counts from its last buffer on."""
    at = 0
    with path.open("rb") as content:
        for line in content:
            try:
                line.decode()
            except UnicodeDecodeError as bad:
                return at + bad.start
            at += len(line)
    return at


def _why_not_csv(path: Path, error: Exception) -> str:
    """Find the row that is not like the header; fall back on what Polars says."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            header = next(rows)
            twice = {name for name in header if header.count(name) > 1}
            if twice:
                return f"column {sorted(twice)[0]!r} stands twice in the header; rename one"
            for number, row in enumerate(rows, start=1):
                if len(row) > len(header):
                    cells = f"row {number} has {len(row)} cells, the header {len(header)}"
                    return f"{cells}; quote the cell that holds a comma"
    except UnicodeDecodeError:
        return f"not UTF-8 text (byte {_first_odd_byte(path)}); convert it first"
    except csv.Error:
        pass
    return f"not a readable CSV table ({str(error).splitlines()[0]})"
