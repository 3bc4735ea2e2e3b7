"""The functions' error tree.

::

    ConfigurationError        an environment variable is missing or wrong; INIT fails with this line
    ServiceError              a request that ends without a completion; becomes the HTTP answer
    ├── RejectedError         the caller's mistake: 400
    │   ├── NotFoundError     a path that nothing answers: 404
    │   ├── MethodError       another method than POST: 405 with Allow
    │   ├── TooLargeError     a body beyond the limit: 413
    │   ├── MediaTypeError    a body that does not say it is JSON: 415
    │   └── RateLimitedError  more requests than the caller's key may make: 429 with Retry-After
    ├── ThrottledError        the model has no capacity left for us: 429 with Retry-After
    ├── DisconnectedError     the caller has left in the middle of a stream: nobody to tell, 499 in the record
    ├── DeadlineError         the model cannot answer before the function's time-out: 504
    └── UpstreamError         any other failure of the model call: 502
        └── UnavailableError  the model is down or out of reach: 502; another model may answer

``str(error)`` goes to the caller, so it never holds internals; ``cause`` goes to the log, and never holds a prompt or
an answer.
"""

from __future__ import annotations


class ConfigurationError(Exception):
    """An environment variable that the function cannot start with."""


class ServiceError(Exception):
    """Base of every failure that a caller gets to see.

    Parameters
    ----------
    message
        For the caller.
    cause
        For the log: the name of what went wrong, such as the SDK's error code.
    """

    http_status = 500
    status = "error"
    code = "InternalError"

    def __init__(self, message: str, *, cause: str | None = None) -> None:
        super().__init__(message)
        self.cause = cause or self.code


class RejectedError(ServiceError):
    """A request that no retry would mend."""

    http_status = 400
    status = "rejected"
    code = "BadRequest"


class NotFoundError(RejectedError):
    """A path that nothing answers."""

    http_status = 404
    code = "NotFound"


class MethodError(RejectedError):
    """A method that the route does not have."""

    http_status = 405
    code = "MethodNotAllowed"


class TooLargeError(RejectedError):
    """A body that is longer than the function reads."""

    http_status = 413
    code = "PayloadTooLarge"


class MediaTypeError(RejectedError):
    """A body of another type than JSON."""

    http_status = 415
    code = "UnsupportedMediaType"


class RateLimitedError(RejectedError):
    """More requests than the caller's key may make.

    The caller's doing, and no sign of a version or a model that fails; so it does not count as a throttle.

    Parameters
    ----------
    retry_after_s
        When the next one will pass: whole seconds, at least 1.
    """

    http_status = 429
    code = "RateLimited"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, retry_after_s)


class ThrottledError(ServiceError):
    """The model refused for rate or capacity.

    Parameters
    ----------
    retry_after_s
        What the caller is told to wait: whole seconds, at least 1.
    """

    http_status = 429
    status = "throttled"
    code = "Throttled"

    def __init__(self, message: str, *, cause: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, cause=cause)
        self.retry_after_s = max(1, retry_after_s)


class DisconnectedError(ServiceError):
    """The caller is no longer there; whatever answers is stopped."""

    http_status = 499
    status = "disconnected"
    code = "ClientDisconnected"


class DeadlineError(ServiceError):
    """The answer would come after the function's time-out."""

    http_status = 504
    status = "timeout"
    code = "DeadlineExceeded"


class UpstreamError(ServiceError):
    """The model call failed in a way that is not the caller's business."""

    http_status = 502
    status = "error"
    code = "UpstreamFailure"


class UnavailableError(UpstreamError):
    """The model is down or out of reach, which another model need not be."""
