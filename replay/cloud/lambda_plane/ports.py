"""What the data plane needs from the control plane, as protocols, so that each can be tested without the other.

The control plane (moto with our extensions) implements :class:`FunctionCatalog`, :class:`LogSink` and
:class:`MetricSink`; the data plane (:class:`replay.cloud.lambda_plane.plane.LambdaPlane`) calls them from its event
loop, so each call must be short and must not block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class FunctionVersion:
    """One immutable version of a function (or ``$LATEST`` at one moment): all that an environment needs to start."""

    function_name: str
    version: str
    function_arn: str
    """Unqualified ARN."""
    revision: str
    """Changes whenever code or configuration change; equal revisions may share environments."""
    code_sha256: str
    code_zip: bytes = field(repr=False)
    handler: str
    runtime: str
    timeout_s: float
    memory_mb: int
    environment: Mapping[str, str]
    log_group: str
    log_format: str = "Text"
    """``Text`` or ``JSON``."""
    layers: tuple[str, ...] = ()
    """ARNs of layer versions; none is unpacked, one tells Lambda Web Adapter (``web_adapter``)."""


@dataclass(frozen=True)
class Route:
    """What a qualifier points at: versions with the probability of each (they sum to 1)."""

    function_name: str
    qualifier: str
    """As the caller gave it, ``$LATEST`` where it gave none."""
    invoked_arn: str
    weights: Mapping[str, float]


class UnknownFunctionError(LookupError):
    """No such function, version or alias; ``str()`` is AWS's message for ``ResourceNotFoundException``."""


class FunctionCatalog(Protocol):
    """Read access to the functions as the control plane holds them."""

    def route(self, function: str, qualifier: str | None) -> Route:
        """Resolve a name or ARN (partial, or qualified) and a qualifier. Raises UnknownFunctionError."""
        ...

    def version(self, function_name: str, version: str) -> FunctionVersion:
        """Give one version. Raises UnknownFunctionError."""
        ...

    def reserved_concurrency(self, function_name: str) -> int | None:
        """Give the function's reserved concurrency, None where none is set."""
        ...

    def account_reserved(self) -> Mapping[str, int]:
        """Give every function that has reserved concurrency, with its figure."""
        ...


@dataclass(frozen=True)
class LogEvent:
    """One line of a log stream."""

    timestamp_ms: int
    message: str


class LogSink(Protocol):
    """Write access to CloudWatch Logs; group and stream are made on first use."""

    def put(self, log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        """Append events. Never raises for a group deleted meanwhile: a log is lost before a request fails."""
        ...


@dataclass(frozen=True)
class MetricDatum:
    """One observation of a CloudWatch metric."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    value: float
    unit: str
    timestamp_ms: int


class MetricSink(Protocol):
    """Write access to CloudWatch metrics."""

    def put(self, data: Sequence[MetricDatum]) -> None:
        """Add observations."""
        ...
