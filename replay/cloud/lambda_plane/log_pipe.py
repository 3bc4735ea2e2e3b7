"""The pipe that carries a process's stdout and stderr, read line by line."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from collections.abc import Callable
from typing import Final

MAX_EVENT_BYTES: Final = 262_144
"""Longest log event before it is cut (256 KB, CloudWatch Logs quota of old, still what Lambda cuts at)."""
_CHUNK_BYTES: Final = 65_536


class LogPipe:
    """One pipe for both streams, so that their order is kept; the read end belongs to the event loop.

    Parameters
    ----------
    on_line
        Called with each line, without its newline.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._partial = b""
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        """``write_end`` is to be handed to the process, which closes it here."""
        os.set_blocking(self._read_end, False)
        self._open = True
        self._loop.add_reader(self._read_end, self._on_readable)

    def drain(self) -> None:
        """Read everything written so far, an unfinished last line included.

        What a handler wrote before its answer is in the pipe before the answer is: so after this call the log holds
        every line of the invocation. What is written meanwhile stays: a process that writes without end, a handler
        that is about to time out in its loop, would otherwise never let go of its reader.
        """
        left = self._waiting()
        while self._open and left > 0 and (size := self._read()):
            left -= size
        if self._partial:
            line, self._partial = self._partial, b""
            self._emit(line)

    def close(self) -> None:
        """Read the rest, then close the read end."""
        self.drain()
        self._shut()

    def _on_readable(self) -> None:
        self._read()

    def _waiting(self) -> int:
        """Give how many bytes lie in the pipe."""
        if not self._open:
            return 0
        found = fcntl.ioctl(self._read_end, termios.FIONREAD, bytes(4))
        return int.from_bytes(found, sys.byteorder)

    def _read(self) -> int:
        """Read what is there, up to a chunk; give its size."""
        try:
            chunk = os.read(self._read_end, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            chunk = b""
        if not chunk:
            self._shut()
            return 0
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._partial) > MAX_EVENT_BYTES:
            line, self._partial = self._partial[:MAX_EVENT_BYTES], self._partial[MAX_EVENT_BYTES:]
            self._emit(line)
        return len(chunk)

    def _emit(self, line: bytes) -> None:
        # The runtime client joins the lines of a stack trace with "\r", to keep them one event.
        for start in range(0, max(1, len(line)), MAX_EVENT_BYTES):
            self._on_line(line[start : start + MAX_EVENT_BYTES].decode(errors="replace").replace("\r", "\n"))

    def _shut(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
