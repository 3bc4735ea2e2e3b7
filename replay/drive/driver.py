"""The open-loop driver: each request leaves at its intended time, and its latency counts from that time.

A closed loop, which waits for an answer before it sends the next request, stops measuring just when the system is slow
(coordinated omission). So nothing here waits for an answer before sending; what the driver itself is late by is part of
the latency and is reported beside it.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import aiohttp
import numpy as np
import polars as pl
from numpy.typing import NDArray

from replay.cloud.precise_loop import new_event_loop
from replay.drive.interrupts import signals_cancel_this_task
from replay.drive.prompts import BUILT_IN_PROMPTS
from replay.drive.result import DriveResult, Lateness
from replay.drive.targets import Reply, Target
from replay.errors import CloudError, InputError
from simulator.trace import TraceMetadata, make_trace

_PROGRESS_EVERY_S: Final = 0.25
_UNREACHABLE_AFTER: Final = 20
"""Stop when this many requests have ended and none of them reached the target."""
_MOST_REASONS: Final = 20
_START_DELAY_S: Final = 0.05
_USE_PROMPT: Final = 1
"""Names the one use of randomness here, so that prompts do not share a stream with arrivals of the same seed."""


@dataclass(frozen=True)
class Progress:
    """How far a drive is."""

    planned: int
    sent: int
    ended: int
    failed: int
    elapsed_s: float
    duration_s: float


def drive(
    target: Target,
    arrivals_s: NDArray[np.float64],
    *,
    prompts: Sequence[str] = BUILT_IN_PROMPTS,
    deadline_s: float = 35.0,
    max_in_flight: int = 2_000,
    variant: str | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> DriveResult:
    """Send one request for each arrival and measure what the caller sees.

    Parameters
    ----------
    target
        Where to; opened and closed here.
    arrivals_s
        Intended starts in seconds from now, ascending, shape ``(n,)``.
    prompts
        One is drawn for each request.
    deadline_s
        A request that has no answer this long after its intended start has ended as ``timeout``.
    max_in_flight
        A bound for memory: above it requests are not sent, and counted.
    variant
        Written into the trace.
    seed
        Fixes which prompt goes with which request.
    progress
        Called about four times a second, in the event loop: keep it short.

    Returns
    -------
    DriveResult
        Also after Ctrl-C, with ``interrupted`` set and what was measured until then.

    Raises
    ------
    InputError
        No arrival, arrivals out of order, no prompt, or a deadline that is not above 0.
    CloudError
        Nothing reached the target.
    KeyboardInterrupt
        Interrupted before any request ended.
    """

    async def load() -> DriveResult:
        with signals_cancel_this_task():
            return await drive_async(
                target,
                arrivals_s,
                prompts=prompts,
                deadline_s=deadline_s,
                max_in_flight=max_in_flight,
                variant=variant,
                seed=seed,
                progress=progress,
            )

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(load())


async def drive_async(
    target: Target,
    arrivals_s: NDArray[np.float64],
    *,
    prompts: Sequence[str] = BUILT_IN_PROMPTS,
    deadline_s: float = 35.0,
    max_in_flight: int = 2_000,
    variant: str | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> DriveResult:
    """Do what :func:`drive` does, inside a running event loop; a cancelled call gives what was measured."""
    _check(arrivals_s, prompts, deadline_s, max_in_flight)
    chosen = np.random.default_rng([seed, _USE_PROMPT]).integers(len(prompts), size=arrivals_s.size)
    run = _Run(target, arrivals_s, [prompts[index] for index in chosen], deadline_s, max_in_flight)
    await target.open()
    ticker = asyncio.create_task(_tick(run, progress)) if progress is not None else None
    try:
        with _garbage_collected_before():
            await run.carry_out()
    finally:
        if ticker is not None:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker
        await target.close()
    if progress is not None:
        progress(run.progress())
    return _result(run, variant)


@dataclass
class _Run:
    """One drive as it goes."""

    target: Target
    arrivals_s: NDArray[np.float64]
    prompts: list[str]
    deadline_s: float
    max_in_flight: int
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    start: float = 0.0
    """The loop's time at which arrival 0 is meant."""
    sent: int = 0
    ended: int = 0
    unsent: int = 0
    unreached: int = 0
    interrupted: bool = False
    failures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        size = self.arrivals_s.size
        self.late_ms = np.full(size, np.nan)
        self.client_ms = np.full(size, np.nan)
        self.ttft_ms = np.full(size, np.nan)
        self.replies: list[Reply | None] = [None] * size
        self._in_flight: set[asyncio.Task[None]] = set()
        self._given_up = asyncio.Event()
        self._defect: BaseException | None = None

    async def carry_out(self) -> None:
        """Send everything, then wait for the answers; end early, with what there is, when cancelled."""
        loop = asyncio.get_running_loop()
        self.start = loop.time() + _START_DELAY_S
        self.started_at = datetime.fromtimestamp(datetime.now(UTC).timestamp() + _START_DELAY_S, UTC)
        try:
            await self._dispatch(loop)
            while self._in_flight and not self._given_up.is_set():
                await asyncio.wait(self._in_flight, timeout=1.0)
        except asyncio.CancelledError:
            self.interrupted = True
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        finally:
            await self._abandon()

    async def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        for index, arrival_s in enumerate(self.arrivals_s.tolist()):
            # Even when behind, let the loop run: answers must be taken off the wire at their time.
            await asyncio.sleep(max(0.0, self.start + arrival_s - loop.time()))
            if self._given_up.is_set():
                return
            if len(self._in_flight) >= self.max_in_flight:
                self.unsent += 1
                continue
            task = loop.create_task(self._one(index, self.start + arrival_s))
            self._in_flight.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect in a target must not look like a slow network.
            self._defect = self._defect or error
            self._given_up.set()

    async def _one(self, index: int, intended: float) -> None:
        loop = asyncio.get_running_loop()
        self.late_ms[index] = (loop.time() - intended) * 1e3
        self.sent += 1
        try:
            async with asyncio.timeout_at(intended + self.deadline_s):
                reply = await self.target.send(self.prompts[index])
        except TimeoutError:
            reply = Reply("timeout", failure=f"no answer within {self.deadline_s:g} s")
        except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
            reply = Reply("error", reached=False, failure=_reason(error))
        except (aiohttp.ClientError, OSError) as error:
            reply = Reply("error", failure=_reason(error))
        self.client_ms[index] = (loop.time() - intended) * 1e3
        if reply.first_token_s is not None:
            self.ttft_ms[index] = (reply.first_token_s - intended) * 1e3
        self.replies[index] = reply
        self.ended += 1
        if reply.failure is not None and (reply.failure in self.failures or len(self.failures) < _MOST_REASONS):
            self.failures[reply.failure] += 1
        self.unreached += not reply.reached
        if self.unreached == self.ended >= _UNREACHABLE_AFTER:
            self._given_up.set()

    async def _abandon(self) -> None:
        tasks = tuple(self._in_flight)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._defect is not None:
            raise self._defect

    def progress(self) -> Progress:
        elapsed_s = max(0.0, asyncio.get_running_loop().time() - self.start)
        return Progress(
            self.arrivals_s.size,
            self.sent,
            self.ended,
            self.failures.total(),
            elapsed_s,
            float(self.arrivals_s[-1]),
        )


async def _tick(run: _Run, progress: Callable[[Progress], None]) -> None:
    while True:
        progress(run.progress())
        await asyncio.sleep(_PROGRESS_EVERY_S)


@contextmanager
def _garbage_collected_before() -> Iterator[None]:
    """Keep long collector pauses out of the measurement: what exists before the load is not looked at again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _reason(error: Exception) -> str:
    """Name an error in one line; aiohttp's own text names host and port, never a body."""
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _check(arrivals_s: NDArray[np.float64], prompts: Sequence[str], deadline_s: float, max_in_flight: int) -> None:
    if arrivals_s.size == 0:
        raise InputError("the plan holds no request; raise the rate or the duration")
    if arrivals_s[0] < 0 or np.any(np.diff(arrivals_s) < 0):
        raise InputError("arrivals_s must be ascending and start at 0 or later; sort it")
    if not prompts:
        raise InputError("prompts is empty; give at least one")
    if not deadline_s > 0:
        raise InputError(f"deadline_s={deadline_s!r} must be above 0 seconds")
    if max_in_flight < 1:
        raise InputError(f"max_in_flight={max_in_flight!r} must be at least 1")


def _result(run: _Run, variant: str | None) -> DriveResult:
    ended = np.array([reply is not None for reply in run.replies])
    if run.unreached and run.unreached == run.ended:
        reason = next(iter(run.failures), "no connection")
        raise CloudError(f"drive: none of {run.ended} requests reached {run.target.label}: {reason}; is it up?")
    if not ended.any():
        if run.interrupted:
            raise KeyboardInterrupt
        raise CloudError(f"drive: no request of {run.arrivals_s.size} to {run.target.label} was sent")
    replies = [reply for reply in run.replies if reply is not None]
    frame = pl.DataFrame(
        {
            "arrival_s": run.arrivals_s[ended],
            "variant": pl.Series([variant] * len(replies), dtype=pl.String),
            "client_ms": np.maximum(run.client_ms[ended], 0.0),
            "ttft_ms": pl.Series(run.ttft_ms[ended], nan_to_null=True),
            "attempts": pl.Series([1] * len(replies), dtype=pl.Int64),
            "status": [reply.status for reply in replies],
            "request_id": pl.Series([reply.request_id for reply in replies], dtype=pl.String),
        }
    )
    metadata = TraceMetadata(source="drive", recorded_at=run.started_at.isoformat(), notes={"target": run.target.label})
    return DriveResult(
        trace=make_trace(frame, metadata, origin="drive"),
        lateness=Lateness.of(run.late_ms[~np.isnan(run.late_ms)]),
        started_at=run.started_at,
        ended_at=datetime.now(UTC),
        planned=run.arrivals_s.size,
        unsent=run.unsent,
        unfinished=run.sent - run.ended,
        interrupted=run.interrupted,
        failures=dict(run.failures),
    )
