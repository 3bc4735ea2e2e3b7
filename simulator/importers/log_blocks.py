"""A text log read block by block: two blocks at a time, each on a core of its own, in the log's order.

Polars reads a whole file fastest, but its string columns then hold the file several times over. A block of a few tens
of megabytes keeps memory the same whatever the log's size.
"""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final, Literal, cast

import polars as pl

from simulator.errors import TraceError
from simulator.importers.log_scan import load_scanner, scan_block
from simulator.importers.log_tables import LogTables, tables_of_block, tables_of_lines

_BLOCK_BYTES: Final = 16 * 2**20
SCANNED_BYTES: Final = 256 * 2**20
"""Smaller logs are read before the scanner would be loaded."""
_FEW: Final = 8
_WORKERS: Final = 2
_GZIP: Final = b"\x1f\x8b"
_ROWS_OF_A_BLOCK: Final = 2**32  # more lines than a block can hold, so that row numbers ascend over blocks


def read_blocks(path: Path, block_bytes: int = _BLOCK_BYTES, scanned_bytes: int = SCANNED_BYTES) -> Iterator[LogTables]:
    """Give the tables of each block of the log at ``path``, gunzipped where it is gzipped.

    Parameters
    ----------
    path
        The log.
    block_bytes
        Size of a block.
    scanned_bytes
        From which size of the file on the compiled scanner is worth loading.

    Raises
    ------
    TraceError
        The file cannot be read or gunzipped.
    """
    waiting: deque[Future[LogTables]] = deque()
    with ThreadPoolExecutor(_WORKERS + 1, thread_name_prefix="log-block") as pool:
        try:
            # The first blocks are read without it: it takes a second to load, and the first time some to compile.
            large = path.stat().st_size >= scanned_bytes
            loading = pool.submit(load_scanner) if large else None
            for number, block in enumerate(_blocks(path, block_bytes)):
                scanned = loading is not None and loading.done()
                waiting.append(pool.submit(_tables, block, number, scanned))
                if len(waiting) > _WORKERS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (OSError, EOFError, pl.exceptions.PolarsError) as error:
            raise TraceError(f"{path}: not a readable text log ({str(error).splitlines()[0]})") from error
        finally:
            for each in waiting:
                each.cancel()


def is_gzipped(path: Path) -> bool:
    """Say whether the file begins as gzip does."""
    with path.open("rb") as content:
        return content.read(2) == _GZIP


def _blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    """Give the file's bytes in blocks of whole lines."""
    with _opened(path) as content:
        rest = b""
        while fresh := content.read(block_bytes):
            end = fresh.rfind(b"\n") + 1
            if end == 0:
                rest += fresh  # a line longer than a block
                continue
            yield rest + fresh[:end]
            rest = fresh[end:]
        if rest:
            yield rest


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if is_gzipped(path) else path.open("rb")


def _tables(block: bytes, number: int, scanned: bool) -> LogTables:
    first = number * _ROWS_OF_A_BLOCK
    if scanned:
        found = scan_block(block, first)
        # Where the scanner knows few of the lines (a log in JSON), Polars splits them sooner than Python.
        if found.other_rows.size < found.lines / _FEW:
            return tables_of_block(found)
    lines = _lines(block) if block.strip() else pl.DataFrame(schema={"line": pl.String})
    return tables_of_lines(lines.with_columns(pl.int_range(first, first + pl.len(), dtype=pl.Int64).alias("row")))


def _lines(block: bytes) -> pl.DataFrame:
    def split(encoding: Literal["utf8", "utf8-lossy"]) -> pl.DataFrame:
        # A CSV of one column, cut off at a separator that a log hardly holds: Polars' fastest way to split lines.
        return pl.read_csv(
            block,
            has_header=False,
            separator="\x01",
            quote_char=None,
            schema={"line": pl.String},
            encoding=encoding,
            truncate_ragged_lines=True,
        )

    try:
        return split("utf8")  # a third faster
    except pl.exceptions.PolarsError:
        return split("utf8-lossy")
