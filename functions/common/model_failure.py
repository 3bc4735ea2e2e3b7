"""What a failed model call means to a caller, however it was made."""

from __future__ import annotations

from typing import Final

from functions.common.errors import DeadlineError, ServiceError, ThrottledError, UnavailableError, UpstreamError

DEFAULT_RETRY_AFTER_S: Final = 1
THROTTLING_CODES: Final = frozenset(
    {"ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException", "ModelNotReadyException"}
)
TIMEOUT_CODES: Final = frozenset({"ModelTimeoutException"})
UNAVAILABLE_CODES: Final = frozenset(
    {
        "ServiceUnavailableException",
        "InternalServerException",
        "InternalFailure",
        "ModelErrorException",
        "ModelStreamErrorException",
    }
)


def model_failure(
    code: str, *, http_status: int | None, retry_after_s: int | None = None, timed_out: bool = False
) -> ServiceError:
    """Translate a failure.

    Parameters
    ----------
    code
        Bedrock's error code, or the name of what went wrong on the way.
    http_status
        None where no answer came.
    retry_after_s
        What the answer asks to wait.
    timed_out
        No answer came in time.
    """
    if code in THROTTLING_CODES or http_status == 429:
        wait_s = DEFAULT_RETRY_AFTER_S if retry_after_s is None else retry_after_s
        return ThrottledError("the model is at its rate limit; try again later", cause=code, retry_after_s=wait_s)
    if code in TIMEOUT_CODES or timed_out:
        return DeadlineError("the model took too long", cause=code)
    # A fault without a code of Bedrock's own comes from what stands before it, and no answer from the way there.
    if code in UNAVAILABLE_CODES or http_status is None or http_status >= 500:
        return UnavailableError("the model call failed", cause=code)
    return UpstreamError("the model call failed", cause=code)
