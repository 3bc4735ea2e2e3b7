"""What an invocation is asked with, what it answers, and how it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_SYNC_PAYLOAD_BYTES: Final = 6_291_456
"""Request and response of a synchronous invocation: 6 MB (Lambda quotas)."""
MAX_EVENT_PAYLOAD_BYTES: Final = 1_048_576
"""Request of an asynchronous invocation: 1 MB since 2025-10 (Lambda quotas)."""

INVOCATION_TYPES: Final = ("RequestResponse", "Event", "DryRun")


@dataclass(frozen=True)
class Invocation:
    """The answer to ``Invoke``, as the HTTP layer has to send it."""

    status_code: int
    """200, 202 (``Event``) or 204 (``DryRun``)."""
    payload: bytes
    request_id: str
    executed_version: str | None = None
    """``X-Amz-Executed-Version``; None for ``Event`` and ``DryRun``."""
    function_error: str | None = None
    """``X-Amz-Function-Error``: None, or ``Unhandled``."""
    log_tail: str | None = None
    """``X-Amz-Log-Result``: base64 of the last 4 KB of this invocation's log, where it was asked for."""


@dataclass(frozen=True)
class ProvisionedStatus:
    """Provisioned concurrency of one version, with the names of ``GetProvisionedConcurrencyConfig``."""

    requested: int
    allocated: int
    available: int
    status: str
    """``IN_PROGRESS``, ``READY`` or ``FAILED``."""
    reason: str | None = None


class ThrottledError(Exception):
    """429 ``TooManyRequestsException``; ``str()`` is AWS's message."""

    def __init__(self, reason: str, message: str = "Rate Exceeded.") -> None:
        super().__init__(message)
        self.reason = reason
        """AWS's ``Reason``: ``ReservedFunctionConcurrentInvocationLimitExceeded`` and the like."""
        self.message = message


class PayloadTooLargeError(Exception):
    """413 ``RequestTooLargeException``; ``str()`` is AWS's message."""


class InvalidRequestError(Exception):
    """400 ``InvalidParameterValueException`` or ``InvalidRequestContentException``; ``str()`` is AWS's message."""


class ProvisioningRefusedError(InvalidRequestError):
    """400: more provisioned concurrency than the reservation or the account leaves."""
