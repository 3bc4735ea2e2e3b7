"""Sockets that know when the network brought their bytes, whatever the process did meanwhile.

A thread that waits for bytes wakes up late when 50 others share its interpreter, by milliseconds at the tail, and a
clock read then says when the thread ran, not when the bytes came. Linux stamps each packet as it arrives
(``SO_TIMESTAMPNS``, socket(7)) and tells the stamp beside the data. A peek at one byte before each read gives it, under
TLS as well. Where there are no stamps (other systems), the moment of the read is what there is.
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


class _Arrivals:
    """What both kinds of socket share; mixed into a subclass of :class:`socket.socket`."""

    arrival_s: float | None = None
    """When the bytes last read came, of :func:`time.perf_counter`; None where the system does not say."""

    def note_arrival(self) -> None:
        """Wait for a byte, and note when it came."""
        # The base class's method: SSLSocket forbids its own, since it would read ciphertext. A peek takes nothing.
        _, ancillary, _, _ = socket.socket.recvmsg(self, 1, _ANCILLARY_BYTES, socket.MSG_PEEK)  # type: ignore[arg-type]
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = unpack(_TIMESPEC, data[: calcsize(_TIMESPEC)])
                self.arrival_s = on_perf_counter(seconds * 10**9 + nanoseconds)
                return
        self.arrival_s = None


class ArrivalSocket(_Arrivals, socket.socket):
    """A TCP socket."""

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        """Read as the base class does, and note when the bytes came."""
        if _STAMPED:
            self.note_arrival()
        return super().recv_into(*arguments, **more)


class ArrivalTlsSocket(_Arrivals, ssl.SSLSocket):
    """A TLS socket; the bytes are those of the record that is read."""

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        """Read as the base class does, and note when the record came."""
        if _STAMPED and not self.pending():
            self.note_arrival()
        return super().recv_into(*arguments, **more)


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
    for _ in range(3):
        before_s, now_ns, after_s = time.perf_counter(), time.time_ns(), time.perf_counter()
        pairs.append((after_s - before_s, before_s, now_ns))
        if after_s - before_s < 20e-6:
            break
    _, perf_s, wall_ns = min(pairs)
    age_ns = wall_ns - stamp_ns
    return perf_s - age_ns / 1e9 if 0 <= age_ns < _OLDEST_NS else None
