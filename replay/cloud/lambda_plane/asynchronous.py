"""Asynchronous invocations: accepted at once, run behind, tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from replay.cloud.lambda_plane.attempt import Attempt
from replay.cloud.lambda_plane.invocation import ThrottledError
from replay.cloud.lambda_plane.ports import UnknownFunctionError
from replay.cloud.lambda_plane.requests import Request
from replay.errors import LocalCloudError

MAX_AGE_S: Final = 6 * 3_600.0
BACKOFF_S: Final = (1.0, 300.0)
"""A throttled event is tried again after 1 s, doubling up to 5 min, for up to 6 h (Lambda developer guide, "Error
handling for asynchronous invocation")."""


async def run_event(
    run: Callable[[Request], Awaitable[Attempt]], request: Request, retry_delays_s: Sequence[float]
) -> None:
    """Run ``request`` until it succeeds, has used up its retries, or is too old.

    Parameters
    ----------
    run
        Runs it once; its errors are the data plane's.
    retry_delays_s
        The pause before each retry of a function that failed; throttled attempts do not count as retries.
    """
    loop = asyncio.get_running_loop()
    gives_up_s = loop.time() + MAX_AGE_S
    delays = iter(retry_delays_s)
    backoff_s, longest_s = BACKOFF_S
    while loop.time() < gives_up_s:
        try:
            attempt = await run(request)
        except ThrottledError:
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, longest_s)
            continue
        except (UnknownFunctionError, LocalCloudError):
            return  # deleted meanwhile, or the plane is ending: nobody is left to tell
        delay_s = next(delays, None)
        if not attempt.failed or delay_s is None:
            return
        await asyncio.sleep(delay_s)
