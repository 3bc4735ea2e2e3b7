"""The execution environment that this process is."""

from __future__ import annotations

from collections.abc import Mapping

PROVISIONED = "provisioned-concurrency"


class ExecutionEnvironment:
    """What Lambda says of the process, and whether a request has found it cold.

    Parameters
    ----------
    environment
        The process environment: ``AWS_LAMBDA_LOG_STREAM_NAME`` names it uniquely, ``AWS_LAMBDA_INITIALIZATION_TYPE``
        says what it was started for.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment_id = environment.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.initialization_type = environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        self._served = False

    def serve(self) -> bool:
        """Count a request in, and tell whether it waited for INIT: the first one, unless started ahead."""
        cold = not self._served and self.initialization_type != PROVISIONED
        self._served = True
        return cold
