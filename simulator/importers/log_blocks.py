"""A text log read block by block: two blocks at a time, each on a core of its own, in the log's order.

Polars reads a whole file fastest, but its string columns then hold the file several times over. A block of a few tens
of megabytes keeps memory the same whatever the log's size.
"""

from __future__ import annotations

import gzip
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from io import BufferedReader
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal

import polars as pl

from simulator.errors import TraceError
from simulator.importers.log_scan import load_scanner, scan_block
from simulator.importers.log_tables import LogTables, tables_of_block, tables_of_lines

_BLOCK_BYTES: Final = 16 * 2**20
SCANNED_BYTES: Final = 128 * 2**20
"""Smaller logs are read before the scanner would be loaded."""
_FEW: Final = 8
_WORKERS: Final = 2
_AHEAD: Final = 4
"""Blocks that are read while their tables are waited for."""
_LOADING_S: Final = 1.0
_LINE_BYTES: Final = 64 * 2**10
"""Room for the line that a block's end cuts in two; for a longer one a buffer grows."""
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
    buffers = _Buffers(block_bytes)
    with ThreadPoolExecutor(_WORKERS + 1, thread_name_prefix="log-block") as pool:
        try:
            large = path.stat().st_size >= scanned_bytes
            loading = pool.submit(load_scanner) if large else None
            if loading is not None:
                # Worth half a second; compiling it, the first time, is not, so that the first blocks go without.
                wait([loading], timeout=_LOADING_S)
            for number, block in enumerate(_blocks(path, block_bytes, buffers)):
                scanned = loading is not None and loading.done()
                waiting.append(pool.submit(_tables, block, number, scanned, buffers))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError) as error:
            raise TraceError(f"{path}: not a readable text log ({str(error).splitlines()[0]})") from error
        finally:
            for each in waiting:
                each.cancel()


def is_gzipped(path: Path) -> bool:
    """Say whether the file begins as gzip does."""
    with path.open("rb") as content:
        return content.read(2) == _GZIP


class _Buffers:
    """Memory for blocks, used again: fresh memory costs as much as reading a block does."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._free: SimpleQueue[bytearray] = SimpleQueue()

    def take(self, at_least: int) -> bytearray:
        """Give a buffer of ``at_least`` so many bytes."""
        while not self._free.empty():
            buffer = self._free.get()
            if len(buffer) >= at_least:
                return buffer
        return bytearray(max(at_least, self._block_bytes + _LINE_BYTES))

    def give_back(self, block: memoryview) -> None:
        """Let a block's buffer be used again."""
        if isinstance(block.obj, bytearray):
            self._free.put(block.obj)


def _blocks(path: Path, block_bytes: int, buffers: _Buffers) -> Iterator[memoryview]:
    """Give the file's bytes in blocks of whole lines, each in a buffer that is to be given back."""
    with _opened(path) as content:
        buffer = buffers.take(block_bytes)
        held = 0
        while True:
            if len(buffer) < held + block_bytes:
                larger = buffers.take(2 * (held + block_bytes))
                larger[:held] = memoryview(buffer)[:held]
                buffer = larger
            fresh = content.readinto(memoryview(buffer)[held : held + block_bytes])
            if not fresh:
                break
            end = buffer.rfind(b"\n", held, held + fresh) + 1
            held += fresh
            if end == 0:
                continue  # a line longer than a block
            following = buffers.take(held - end + block_bytes)
            following[: held - end] = memoryview(buffer)[end:held]
            yield memoryview(buffer)[:end]
            buffer, held = following, held - end
        if held:
            yield memoryview(buffer)[:held]


def _opened(path: Path) -> BufferedReader | gzip.GzipFile:
    return gzip.GzipFile(path) if is_gzipped(path) else path.open("rb")


def _tables(block: memoryview, number: int, scanned: bool, buffers: _Buffers) -> LogTables:
    try:
        return _read(block, number * _ROWS_OF_A_BLOCK, scanned)
    finally:
        buffers.give_back(block)


def _read(block: memoryview, first: int, scanned: bool) -> LogTables:
    if scanned:
        found = scan_block(block, first)
        # Where the scanner knows few of the lines (a log in JSON), Polars splits them sooner than Python.
        if found.other_rows.size < found.lines / _FEW:
            return tables_of_block(found)
    content = bytes(block)
    lines = _lines(content) if content.strip() else pl.DataFrame(schema={"line": pl.String})
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
            extra_columns="ignore",  # of a first line that holds the separator
        )

    try:
        return split("utf8")  # a third faster
    except pl.exceptions.PolarsError:
        return split("utf8-lossy")
