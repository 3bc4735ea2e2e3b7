"""Ending a blocking call in time.

botocore's read time-out belongs to a client, not to a call, counts each read anew, and knows nothing of the retries
and their pauses around it. What a request may use is only known when it arrives. So the call runs under an interval
timer, whose signal interrupts whatever the main thread waits for: a connect, a TLS handshake, a read, a retry's sleep.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

REPEAT_S = 0.05
"""The timer fires again until the call has ended: an exception raised while a finaliser runs is swallowed there. It is
also how often a ``watch`` looks."""

Watch = Callable[[], Exception | None]
"""Looks, while a call waits, for another reason to end it: gives that, or None. It runs in the main thread between two
instructions of the call, so it must be short, and touch nothing that the call may be in the middle of."""


class CallExpiredError(Exception):
    """The call was ended because its time was up."""


class _Alarm(BaseException):
    """Raised by the signal. Not an Exception: the SDK takes any of those for a failed attempt, and tries again."""


def call_within(limit_s: float, call: Callable[[], Result], watch: Watch | None = None) -> Result:
    """Give ``call()``, or end it after ``limit_s`` seconds.

    Outside the main thread no signal can be caught: the call then runs unguarded, bounded by the client's own
    time-outs. Lambda runs handlers in the main thread.

    Parameters
    ----------
    limit_s
        From now.
    call
        What waits.
    watch
        Asked every :data:`REPEAT_S`; what it gives ends the call.

    Raises
    ------
    CallExpiredError
        The time was up, or there was none.
    Exception
        What ``watch`` gave, or ``call`` raised.
    """
    if limit_s <= 0:
        raise CallExpiredError
    if threading.current_thread() is not threading.main_thread():
        return call()
    end_s = time.monotonic() + limit_s
    armed = True
    reason: Exception | None = None

    def expire(_signal: int, _frame: object) -> None:
        nonlocal reason
        # A signal that was already on its way when the call ended must not hit what comes after it.
        if not armed:
            return
        if watch is None or time.monotonic() >= end_s:
            raise _Alarm
        if reason is None:
            reason = watch()
        if reason is not None:
            raise _Alarm

    previous = signal.signal(signal.SIGALRM, expire)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, limit_s if watch is None else min(limit_s, REPEAT_S), REPEAT_S)
            return call()
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Alarm:
        raise reason or CallExpiredError from None
    finally:
        signal.signal(signal.SIGALRM, previous)
