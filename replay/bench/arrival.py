"""Sockets that know when the network brought their bytes, whatever the process did meanwhile.

A thread that waits for bytes wakes up late when 50 others share its interpreter, by milliseconds at the tail, and a
clock read then says when the thread ran, not when the bytes came. Linux stamps each packet as it arrives
(``SO_TIMESTAMPNS``, socket(7)) and tells the stamp beside the data; under TLS, beside a peek at the record. Packets
that are read at once share the last one's stamp: a moment may be late by what a reader missed, and is not early.
Where there are no stamps (other systems), the moment of the read is what there is.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from struct import calcsize, unpack
from typing import Any, Final

_SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h; the socket module does not name it
_TIMESPEC: Final = "qq" if sys.maxsize > 2**32 else "ll"
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(calcsize(_TIMESPEC)) if hasattr(socket, "CMSG_SPACE") else 0
_STAMPED: Final = sys.platform == "linux"
_OLDEST_NS: Final = 60 * 10**9
"""No byte waits longer to be read; an older stamp means that the clock was set meanwhile."""


class ArrivalSocket(socket.socket):
    """A TCP socket; the moment is that of the last packet that was read."""

    arrival_s: float | None = None
    """When the bytes last read came, of :func:`time.perf_counter`; None where the system does not say."""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read as the base class does, and note when the bytes came."""
        if not _STAMPED:
            return super().recv_into(buffer, nbytes, flags)
        view = memoryview(buffer).cast("B")
        received, ancillary, _, _ = self.recvmsg_into([view[:nbytes] if nbytes else view], _ANCILLARY_BYTES, flags)
        self.arrival_s = _stamp_in(ancillary)
        return received


class ArrivalTlsSocket(ssl.SSLSocket):
    """A TLS socket; the moment is that of the record that was read."""

    arrival_s: float | None = None
    """As of :class:`ArrivalSocket`."""

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        """Read as the base class does, and note when the record came."""
        if _STAMPED and not self.pending():
            # OpenSSL reads the descriptor itself, one record at a time; a peek at its first byte takes nothing away.
            # The base class's method, since SSLSocket forbids its own, which would read ciphertext.
            peek = socket.socket.recvmsg(self, 1, _ANCILLARY_BYTES, socket.MSG_PEEK)
            self.arrival_s = _stamp_in(peek[1])
        return super().recv_into(*arguments, **more)


def _stamp_in(ancillary: list[tuple[int, int, bytes]]) -> float | None:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = unpack(_TIMESPEC, data[: calcsize(_TIMESPEC)])
            return on_perf_counter(seconds * 10**9 + nanoseconds)
    return None


def connect(address: tuple[str, int], timeout_s: float) -> ArrivalSocket:
    """Open a TCP connection whose arrivals are stamped.

    Raises
    ------
    OSError
        It cannot be opened in time.
    """
    plain = socket.create_connection(address, timeout_s)
    stamped = ArrivalSocket(fileno=plain.detach())
    stamped.settimeout(timeout_s)
    if _STAMPED:
        stamped.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return stamped


def arrival_of(sock: Any) -> float:
    """Give when the bytes last read from a socket came, of perf_counter; now, where nothing is known."""
    stamp: float | None = getattr(sock, "arrival_s", None)
    return time.perf_counter() if stamp is None else stamp


def on_perf_counter(stamp_ns: int) -> float | None:
    """Give a moment of the wall clock on :func:`time.perf_counter`; None where it lies ahead, or too long ago."""
    # The two clocks are read one after the other; a thread that is stopped in between would shift the moment by that.
    pairs = []
    for _ in range(10):
        before_s, now_ns, after_s = time.perf_counter(), time.time_ns(), time.perf_counter()
        pairs.append((after_s - before_s, before_s, now_ns))
        if after_s - before_s < 5e-6:
            break
    _, perf_s, wall_ns = min(pairs)
    age_ns = wall_ns - stamp_ns
    return perf_s - age_ns / 1e9 if 0 <= age_ns < _OLDEST_NS else None
