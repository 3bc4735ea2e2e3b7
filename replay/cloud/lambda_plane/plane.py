"""The Lambda data plane: from an ``Invoke`` to an execution environment and back."""

from __future__ import annotations

import time
from collections.abc import Callable

from replay.cloud.lambda_plane.invocation import Invocation, ProvisionedStatus
from replay.cloud.lambda_plane.ports import FunctionCatalog, LogSink, MetricSink
from replay.cloud.lambda_plane.settings import PlaneSettings


class LambdaPlane:
    """Runs deployed functions in processes of AWS's runtime client.

    Everything but :meth:`provision`, :meth:`provisioned`, :meth:`prepare` and :meth:`retire`, which any thread may
    call, belongs to the event loop in which :meth:`start` ran.
    """

    def __init__(
        self,
        catalog: FunctionCatalog,
        logs: LogSink,
        metrics: MetricSink,
        settings: PlaneSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._logs = logs
        self._metrics = metrics
        self._settings = settings
        self._clock = clock

    async def start(self) -> None:
        """Start the plane's helper process."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End every environment, write what is left of the logs, and remove the plane's folder."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Write out all log events and metrics of invocations that have been answered."""
        raise NotImplementedError

    async def invoke(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        invocation_type: str = "RequestResponse",
        client_context: str | None = None,
        log_tail: bool = False,
        trace_id: str | None = None,
    ) -> Invocation:
        """Invoke a function.

        Parameters
        ----------
        function
            Name, ARN or partial ARN.
        qualifier
            Version or alias; None for the one in the ARN, or ``$LATEST``.
        payload
            The event, JSON; empty means ``{}``.
        invocation_type
            ``RequestResponse``, ``Event`` or ``DryRun``.
        client_context
            The header ``X-Amz-Client-Context`` as it came: base64 of JSON.
        log_tail
            Whether to answer with the last 4 KB of the log.
        trace_id
            The header ``X-Amzn-Trace-Id`` as it came.

        Raises
        ------
        UnknownFunctionError, ThrottledError, PayloadTooLargeError, InvalidRequestError
            As their docstrings say.
        """
        raise NotImplementedError

    def provision(self, function: str, version: str, count: int) -> None:
        """Ask for ``count`` provisioned environments of a version; 0 takes them away. Returns at once.

        Raises
        ------
        ProvisioningRefusedError
            More than the function's reservation or the account leaves.
        """
        raise NotImplementedError

    def provisioned(self, function: str, version: str) -> ProvisionedStatus | None:
        """Give the state of a version's provisioned concurrency, None where none was asked for."""
        raise NotImplementedError

    def prepare(self, function: str, version: str) -> None:
        """Get ready for the first start of a version (unpack it, preload it): called when it is published."""
        raise NotImplementedError

    def retire(self, function: str, version: str | None) -> None:
        """End the environments of a version (None: of all), idle ones at once, busy ones after their answer."""
        raise NotImplementedError
