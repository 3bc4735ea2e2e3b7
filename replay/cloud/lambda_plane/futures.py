"""One small thing that asyncio spells long."""

from __future__ import annotations

import asyncio
from typing import Any


async def first_of(*futures: asyncio.Future[Any], timeout_s: float) -> None:
    """Wait until one of ``futures`` is done or cancelled, or the time is over; none of them is cancelled by it."""
    await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
