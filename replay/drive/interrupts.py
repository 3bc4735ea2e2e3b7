"""Signals that end a program, turned into a cancellation while an event loop runs.

A handler that raises does so wherever the loop happens to be, inside the task of some request for example, whose
failure it then becomes. A cancelled task can put its things in order and give what it has.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_cancel_this_task() -> Iterator[None]:
    """Cancel the current task, once, when a signal comes whose handler raises KeyboardInterrupt.

    The handler that was there before is still called. Signals without a Python handler keep their default, and
    outside of the main thread, which is the only one that gets signals, nothing is changed.
    """
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {}
    cancelled = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal cancelled
        try:
            before[signal.Signals(number)](number, frame)
        except KeyboardInterrupt:
            if not cancelled:
                cancelled = True
                # Thread-safe not for threads: it wakes the loop, which sleeps on through a signal.
                loop.call_soon_threadsafe(task.cancel)

    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            before[number] = handler
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
