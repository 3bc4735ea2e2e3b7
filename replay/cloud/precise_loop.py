"""An event loop whose timers fire within some 0.1 ms, where asyncio's own are up to 1 ms late on Linux.

asyncio waits in ``epoll_wait``, whose time-out is in whole milliseconds, rounded up. The local cloud promises to answer
*at* a latency, and a token every few milliseconds, so that error would be in every figure. An epoll descriptor can
itself be waited for with ``select``, whose time-out is in microseconds: one more system call an iteration, and no limit
on the number of connections, since ``select`` sees that one descriptor only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import select
import selectors
import sys

_PR_SET_TIMERSLACK = 29  # prctl(2)
_FD_SETSIZE = 1024  # select() cannot watch a descriptor from here on


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop with precise timers; on systems other than Linux asyncio's own is precise enough (kqueue)."""
    if sys.platform != "linux":
        return asyncio.new_event_loop()
    _sharpen_timers()
    return asyncio.SelectorEventLoop(PreciseEpollSelector())


def _sharpen_timers() -> None:
    """Let this thread's timers fire when they are due; the kernel otherwise adds up to 50 µs to save power.

    Best effort: where it cannot be asked for, timers are those 50 µs later.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


if sys.platform == "linux":

    class PreciseEpollSelector(selectors.EpollSelector):
        """An epoll selector that waits with the precision of ``select``."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait as the base class does, without rounding ``timeout`` (seconds) up to milliseconds."""
            descriptor = self.fileno()
            if timeout is None or timeout <= 0 or descriptor >= _FD_SETSIZE:
                return super().select(timeout)
            try:
                ready, _, _ = select.select([descriptor], [], [], timeout)
            except InterruptedError:
                return []
            return super().select(0) if ready else []
