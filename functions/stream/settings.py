"""What this function is configured with besides what the inference function has too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from functions.common import variables


@dataclass(frozen=True)
class StreamSettings:
    """Validated settings of the server."""

    port: int
    """``AWS_LWA_PORT``, where Lambda Web Adapter looks for the application."""
    heartbeat_s: float
    """``HEARTBEAT_S``: a stream that was silent for this long gets a comment, so that nothing on the way gives up."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> StreamSettings:
        """Read and validate. Raises ConfigurationError with one line that names variable and value."""
        heartbeat_s = variables.number(environment, "HEARTBEAT_S", 15.0, low=0.1, high=300.0)
        return cls(
            port=variables.whole(environment, "AWS_LWA_PORT", 8080, low=1, high=65_535),
            heartbeat_s=15.0 if heartbeat_s is None else heartbeat_s,
        )
