"""A Lambda handler called in this process, as a target of the driver.

No environment is started and nothing is isolated: what is measured is the handler's own time under the recorded
arrivals, with threads where Lambda would have environments. Cold starts, limits and time-outs need the local cloud.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from replay.drive.targets import Reply, reply_of_payload
from replay.errors import InputError

Handler = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class InProcessContext:
    """The part of Lambda's context object that handlers use."""

    aws_request_id: str
    deadline: float
    """On the monotonic clock."""
    function_name: str = "in-process"
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "1024"
    log_group_name: str = "/aws/lambda/in-process"
    log_stream_name: str = "in-process"
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:in-process"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the time-out."""
        return max(0, int((self.deadline - time.monotonic()) * 1e3))


@dataclass
class InProcessTarget:
    """Calls ``handler({"prompt": …}, context)`` in a thread.

    Parameters
    ----------
    handler
        A Lambda handler; it is called by several threads at once.
    concurrency
        Threads; a request that finds none free waits, and its latency includes the wait.
    timeout_s
        What the context says; a handler that overstays it cannot be killed and is not.
    """

    handler: Handler
    concurrency: int = 32
    timeout_s: float = 30.0
    _pool: ThreadPoolExecutor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise InputError(f"concurrency={self.concurrency!r} must be at least 1")

    @property
    def label(self) -> str:
        """The handler's name."""
        return f"in-process:{getattr(self.handler, '__qualname__', type(self.handler).__name__)}"

    async def open(self) -> None:
        """Make the threads."""
        self._pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="tailcast-handler")

    async def send(self, prompt: str) -> Reply:
        """Call the handler once."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, prompt)

    async def close(self) -> None:
        """Let the threads go, without waiting for a handler that hangs."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _call(self, prompt: str) -> Reply:
        started = time.monotonic()
        context = InProcessContext(str(uuid.uuid4()), started + self.timeout_s)
        try:
            answer = self.handler({"prompt": prompt}, context)
            payload = json.dumps(answer).encode()
        except (Exception, SystemExit) as error:  # a handler that exits ends its environment, not its caller
            return Reply("error", context.aws_request_id, failure=f"function error {type(error).__name__}")
        return reply_of_payload(payload, None, context.aws_request_id, time.monotonic() - started)
