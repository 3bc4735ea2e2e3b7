"""Sorted files of joined requests, and what becomes of them together: a trace in order of arrival, span by span."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.importers.base import US_PER_S, ImportOptions, filled
from simulator.importers.lambda_events import LogCounts, model_pairs, trace_columns
from simulator.trace import make_trace

ROW_GROUP: Final = 50_000
"""Rows that are read and written at once."""
_SPAN_ROWS: Final = 60_000
_ARRIVAL: Final = pl.col("arrival_us")


@dataclass(frozen=True)
class Part:
    """Joined requests in a file, sorted by arrival; ``key_us`` are the known arrivals."""

    path: Path
    key_us: NDArray[np.int64] = field(repr=False)
    untimed: int
    """Requests without an arrival that count."""
    first: int
    """Where the first request with an arrival is: those without come before it, also those that count no more."""
    pairs: pl.DataFrame = field(repr=False)
    """Of variant and model, see :func:`~simulator.importers.lambda_events.model_pairs`."""
    left_out: pl.Expr | None = field(default=None, repr=False)
    """Those that count no more: they are joined anew in another part."""

    def rows(self, begin: int, end: int) -> pl.DataFrame:
        """Give those of the requests from ``begin`` to ``end`` of the known arrivals that count."""
        frame = pl.scan_parquet(self.path, glob=False).slice(self.first + begin, end - begin).collect()
        return frame if self.left_out is None else frame.filter(~self.left_out)

    def without(self, some: pl.Expr) -> tuple[pl.DataFrame, Part]:
        """Take the requests of which ``some`` says so (by their id): give them, and the part without them."""
        stored = pl.scan_parquet(self.path, glob=False)
        taken = stored.filter(some).collect()
        if not taken.height:
            return taken, self
        pairs = model_pairs(stored.filter(~some).select("own_variant", "own_model", "row").collect())
        untimed = self.untimed - taken["arrival_us"].null_count()
        return taken, replace(self, untimed=untimed, pairs=pairs, left_out=some)


@dataclass(frozen=True)
class Joined:
    """All requests of a log, in parts."""

    parts: list[Part]
    counts: LogCounts


def write_part(path: Path, requests: pl.DataFrame, row_group: int = ROW_GROUP) -> Part:
    """Write joined requests (:func:`~simulator.importers.lambda_events.join_tables`), sorted.

    ``row_group`` is how many rows can be read by themselves.
    """
    arrival_us = trace_columns()[0]
    frame = requests.with_columns(arrival_us).sort("arrival_us", "row")
    frame.write_parquet(path, compression="lz4", statistics=False, row_group_size=row_group)
    key_us = frame["arrival_us"].drop_nulls().to_numpy()
    untimed = frame.height - len(key_us)
    return Part(path, key_us, untimed, untimed, model_pairs(frame))


def spans(parts: list[Part], first_us: int, options: ImportOptions, origin: str) -> Iterator[pl.DataFrame]:
    """Merge the parts span by span; every request of one arrival lies in the same span."""
    keys = np.concatenate([part.key_us for part in parts])
    keys.sort()
    cuts = np.unique(keys[_SPAN_ROWS::_SPAN_ROWS])
    del keys
    at = [np.concatenate(([0], np.searchsorted(part.key_us, cuts), [len(part.key_us)])) for part in parts]
    arrival_s = ((_ARRIVAL - first_us) / US_PER_S).alias("arrival_s")
    for span in range(len(cuts) + 1):
        pieces = [
            part.rows(int(rows[span]), int(rows[span + 1]))
            for part, rows in zip(parts, at, strict=True)
            if rows[span + 1] > rows[span]
        ]
        # Of what lies in a span, all may be left out.
        pieces = [piece for piece in pieces if piece.height]
        if not pieces:
            continue
        merged = pieces[0] if len(pieces) == 1 else pl.concat(pieces).sort("arrival_us", "row")
        frame = merged.select(arrival_s, *trace_columns()[1:])
        yield make_trace(filled(frame, options), origin=origin).frame
