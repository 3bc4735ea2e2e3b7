"""What became of each request: the answer of an engine, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from simulator.quantiles import FloatArray


class Status(IntEnum):
    """How a request ended; the names in lower case are the trace's statuses."""

    OK = 0
    THROTTLED = 1
    TIMEOUT = 2


class Refusal(IntEnum):
    """Which limit refused a throttled request."""

    NONE = 0
    GATEWAY_RATE = 1
    ACCOUNT_CONCURRENCY = 2
    RESERVED_CONCURRENCY = 3
    VERSION_CONCURRENCY = 4
    SCALE_OUT = 5


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One entry per request, in order of arrival; each array has shape ``(n,)``.

    Parameters
    ----------
    arrival_s
        When the caller sent it.
    version
        Index of the version that the alias drew, −1 where the gateway refused before the draw.
    environment
        Number of the execution environment that served it, counted from 0 as they start; −1 where none did.
    cold
        The request waited for an INIT.
    provisioned
        The environment belonged to provisioned concurrency.
    status, refusal
        :class:`Status` and, where throttled, :class:`Refusal`.
    start_s, end_s
        The environment worked on it from–to (INIT included), also after the gateway gave up; NaN where none did.
    init_ms
        Reported INIT, 0 where warm.
    duration_ms
        The handler, cut off at the function's time-out; 0 where none ran.
    billed_ms
        What Lambda bills: INIT + duration, rounded up to whole milliseconds; 0 where none ran.
    client_ms
        From the sending to the answer, as the caller sees it.
    """

    arrival_s: FloatArray = field(repr=False)
    version: NDArray[np.int64] = field(repr=False)
    environment: NDArray[np.int64] = field(repr=False)
    cold: NDArray[np.bool_] = field(repr=False)
    provisioned: NDArray[np.bool_] = field(repr=False)
    status: NDArray[np.int64] = field(repr=False)
    refusal: NDArray[np.int64] = field(repr=False)
    start_s: FloatArray = field(repr=False)
    end_s: FloatArray = field(repr=False)
    init_ms: FloatArray = field(repr=False)
    duration_ms: FloatArray = field(repr=False)
    billed_ms: FloatArray = field(repr=False)
    client_ms: FloatArray = field(repr=False)

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return int(self.arrival_s.shape[0])
