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
    REQUEST_RATE = 6
    MODEL_REQUESTS = 7
    MODEL_TOKENS = 8


@dataclass(frozen=True, eq=False)
class AttemptLog:
    """One entry per attempt that a caller sent: all first ones, then all second ones, each in order of the requests.

    Each array has shape ``(m,)``. Where nobody tries again, m = n and the log says what :class:`Outcomes` says.

    Parameters
    ----------
    request, attempt
        Which request, and its how-manieth attempt, from 0.
    sent_s
        When the caller sent it.
    version, environment, cold, provisioned, status, refusal, start_s, end_s, init_ms, duration_ms, billed_ms
        As in :class:`Outcomes`, of this attempt.
    billed_late_ms
        Of the billed time, what the environment worked after the gateway or the caller had given up.
    client_ms
        From the sending of this attempt to its answer, or until the caller gave it up.
    model_tries
        How often the handler's SDK asked the model; 0 where the version has no quota to meet.
    """

    request: NDArray[np.int64] = field(repr=False)
    attempt: NDArray[np.int64] = field(repr=False)
    sent_s: FloatArray = field(repr=False)
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
    billed_late_ms: FloatArray = field(repr=False)
    client_ms: FloatArray = field(repr=False)
    model_tries: NDArray[np.int64] = field(repr=False)

    @property
    def size(self) -> int:
        """How many attempts were sent."""
        return int(self.request.shape[0])


@dataclass(frozen=True, eq=False)
class ProvisionedHistory:
    """How many environments of provisioned concurrency one version was allotted, from each of ``from_s`` on."""

    from_s: FloatArray
    allotted: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One entry per request, in order of arrival; each array has shape ``(n,)``.

    Where the caller tried again, everything but ``arrival_s``, ``attempts`` and ``client_ms`` speaks of the last
    attempt; what the others did, and cost, is in ``log``.

    Parameters
    ----------
    arrival_s
        When the caller sent it first.
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
        From the first sending to the last answer, as the caller sees it: with all attempts and the waits between.
    attempts
        How many attempts the caller made, 1 or more.
    log
        Each attempt by itself.
    provisioned_history
        Of each version, in the platform's order.
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
    attempts: NDArray[np.int64] = field(repr=False)
    log: AttemptLog = field(repr=False)
    provisioned_history: tuple[ProvisionedHistory, ...] = field(repr=False)

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return int(self.arrival_s.shape[0])
