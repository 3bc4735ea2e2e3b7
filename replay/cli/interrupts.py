"""Ending a long command in order, whatever signal asks for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end what a command started, as Ctrl-C does, and let the first one be the last.

    A second Ctrl-C, from impatience, would cut the teardown short and leave behind just what it is there to end. The
    teardown is bounded. Handlers that do nothing, not SIG_IGN: processes started later would inherit that.

    A SIGHUP that is ignored stays so: ``nohup`` says that the command is to outlive its terminal.
    """
    hangs_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    numbers = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hangs_up else []))
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            click.echo("stopping ...", err=True)
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        if not interrupted:
            for number, handler in before.items():
                signal.signal(number, handler)
