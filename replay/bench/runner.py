"""Makes the planned requests, within a budget, and keeps what was measured whatever happens.

A request is handed to a thread a little before its intended start, so that boto3 can build it in time; it leaves at the
intended start, and every latency counts from there. In a closed loop a caller's next request is intended for the moment
at which it is built. Garbage collection rests meanwhile: a collection stops all threads for milliseconds.
"""

from __future__ import annotations

import gc
import math
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from replay.bench.budget import PriceList, SpendLimit
from replay.bench.calls import Caller, Request
from replay.bench.clients import Endpoint
from replay.bench.measure import make_measurement
from replay.bench.plan import Item, Load, Stage
from replay.bench.records import Measurement, Phase

LEAD_S: Final = 0.02
"""How long before its intended start an open-loop request is handed to its thread. boto3 needs 1 to 5 ms."""
GIVE_UP_AFTER: Final = 3
"""So many refusals of a cell in a row, and no success, end it: the model does not do what the arm asks for."""
GRACE_S: Final = 3.0
"""How long an interrupted run waits for answers under way before it breaks their connections."""
_SWITCH_INTERVAL_S: Final = 0.0005


@dataclass
class Progress:
    """Running figures, for whoever shows them; written by the runner, read by the display."""

    planned: int
    done: int = 0
    under_way: int = 0
    spent_usd: float = 0.0
    measurements: list[Measurement] = field(default_factory=list)


@dataclass(frozen=True)
class Ended:
    """What a run gave, and how it ended."""

    measurements: tuple[Measurement, ...]
    reason: str
    """``complete``, ``interrupted``, or why it ended early: the spend limit, or credentials that expired."""
    warnings: tuple[str, ...]


class Runner:
    """Runs stages with one caller.

    Parameters
    ----------
    caller
        Makes the calls.
    prices, limit
        What they cost, and how much may be spent.
    max_in_flight
        Open loop: never more requests at once; one that has to wait for a place counts that as dispatch delay.
    on_progress
        Called from this thread after each request.
    """

    def __init__(
        self,
        caller: Caller,
        prices: PriceList,
        limit: SpendLimit,
        *,
        max_in_flight: int = 200,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._caller = caller
        self._prices = prices
        self._limit = limit
        self._max_in_flight = max_in_flight
        self._on_progress = on_progress or (lambda _: None)
        # Begins every prompt: a run that is made again within the cache's life must not meet what the first one wrote.
        self._own = secrets.token_hex(4)
        self._stop = threading.Event()
        self._over_limit = False
        self._expired = False
        self._refusals: dict[tuple[str, str], int] = {}
        self._given_up: dict[tuple[str, str], str] = {}
        self._warnings: list[str] = []

    def interrupt(self) -> None:
        """End the run soon; what is under way may finish for :data:`GRACE_S` seconds."""
        self._stop.set()

    def run(self, stages: Sequence[Stage]) -> Ended:
        """Make the requests; an interrupt (Ctrl-C) ends the run, and what was measured is given."""
        progress = Progress(sum(len(stage.items) + len(stage.firsts) for stage in stages))
        interrupted = False
        started_s = time.perf_counter()
        try:
            with _undisturbed():
                for stage in stages:
                    if self._stop.is_set():
                        break
                    self._prepare(stage, progress, started_s)
                    self._run_stage(stage, progress, started_s)
        except KeyboardInterrupt:
            interrupted = True
        interrupted = interrupted or (self._stop.is_set() and not self._over_limit and not self._expired)
        for (target, arm), why in self._given_up.items():
            self._warnings.append(f"{target}, {arm}: given up after {GIVE_UP_AFTER} refusals: {why}")
        reason = "interrupted" if interrupted else "complete"
        if self._over_limit:
            reason = f"spend limit reached; {progress.planned - progress.done} requests were not sent"
        elif self._expired:
            reason = f"the credentials expired; {progress.planned - progress.done} requests were not sent"
        # Once each: an interrupt while one is noted leaves it among those that are still to be collected.
        once = {id(m): m for m in progress.measurements}.values()
        ordered = tuple(sorted(once, key=lambda m: (m.intended_s, m.sequence)))
        return Ended(ordered, reason, tuple(self._warnings))

    def _prepare(self, stage: Stage, progress: Progress, started_s: float) -> None:
        """Open the connections that are to be reused, make the first requests, fill the caches that are to be read."""
        for item in {(item.target.label, item.target.region): item for item in stage.items}.values():
            self._caller.prepare(item.target)
        reusing = [item for item in stage.items if item.arm.connection == "reused"]
        by_host = {self._caller.host(item.target): item for item in reusing}
        for host, item in by_host.items():
            for _ in range(_connections(stage.load, len(reusing)) - self._caller.idle_connections(host)):
                if (why := self._caller.open_connection(item.target)) is not None:
                    self._warnings.append(f"{item.target.label}: no connection could be opened ahead: {why}")
                    break
        for item in stage.firsts:
            if not self._stop.is_set() and (estimate := self._reserve(item)) is not None:
                self._keep(self._one(item, "first", stage.load, None, started_s, estimate), progress)
                progress.done += 1
        # By cell: prompts of another length have another prefix, which the others' warm-up does not write.
        reading = {item.cell: item for item in stage.items if item.arm.cache == "read"}
        for item in reading.values():
            if not self._stop.is_set() and (estimate := self._reserve(item)) is not None:
                self._keep(self._one(item, "warmup", stage.load, None, started_s, estimate), progress)

    def _run_stage(self, stage: Stage, progress: Progress, started_s: float) -> None:
        load = stage.load
        width = load.concurrency or self._max_in_flight
        stage_s = time.perf_counter() + LEAD_S
        pending: set[Future[Measurement]] = set()
        with ThreadPoolExecutor(width, thread_name_prefix="bench") as pool:
            try:
                for item in stage.items:
                    intended_s = None if item.intended_s is None else stage_s + item.intended_s
                    if intended_s is None:
                        while len(pending) >= width and not self._stop.is_set():
                            pending = self._collect(pending, progress)
                    else:
                        pending = self._collect_until(intended_s - LEAD_S, pending, progress)
                    if self._stop.is_set():
                        break
                    if item.cell in self._given_up:
                        progress.done += 1
                        continue
                    estimate = self._reserve(item)
                    if estimate is None:
                        break
                    progress.under_way += 1
                    pending.add(pool.submit(self._one, item, "measured", load, intended_s, started_s, estimate))
                while pending and not self._stop.is_set():
                    pending = self._collect(pending, progress)
            except KeyboardInterrupt:
                self._stop.set()
                raise
            finally:
                self._finish(pending, progress)

    def _finish(self, pending: set[Future[Measurement]], progress: Progress) -> None:
        """Wait a little for what is under way, then break it; either way it is collected.

        At the spend limit it is waited for to its end: it will be paid for.
        """
        if self._stop.is_set() and not self._over_limit:
            pending = {future for future in pending if not future.cancel()}
        deadline_s = math.inf if self._over_limit else time.perf_counter() + GRACE_S
        try:
            while pending and time.perf_counter() < deadline_s:
                pending = self._collect(pending, progress, timeout_s=0.1)
        finally:
            if pending:
                self._caller.abort()
                for future in wait(pending, timeout=GRACE_S).done:
                    self._note(future, progress)

    def _collect(
        self, pending: set[Future[Measurement]], progress: Progress, timeout_s: float | None = 0.5
    ) -> set[Future[Measurement]]:
        done, rest = wait(pending, timeout=timeout_s, return_when=FIRST_COMPLETED)
        for future in done:
            self._note(future, progress)
        return rest

    def _collect_until(
        self, moment_s: float, pending: set[Future[Measurement]], progress: Progress
    ) -> set[Future[Measurement]]:
        while not self._stop.is_set() and (left_s := moment_s - time.perf_counter()) > 0:
            if pending and left_s > 0.05:
                pending = self._collect(pending, progress, timeout_s=min(left_s - 0.02, 0.5))
            else:
                time.sleep(min(left_s, 0.05))
        return pending

    def _note(self, future: Future[Measurement], progress: Progress) -> None:
        measurement = future.result()
        self._keep(measurement, progress)
        progress.done += 1
        progress.under_way -= 1
        progress.spent_usd = self._limit.spent_usd
        cell = (measurement.target, measurement.arm)
        if measurement.status == "rejected":
            self._refusals[cell] = self._refusals.get(cell, 0) + 1
            if self._refusals[cell] >= GIVE_UP_AFTER:
                self._given_up.setdefault(cell, measurement.error or "refused")
        elif measurement.status == "ok":
            self._refusals[cell] = -(10**9)  # it can do it: later refusals are not the arm's fault
        self._on_progress(progress)

    def _keep(self, measurement: Measurement, progress: Progress) -> None:
        progress.measurements.append(measurement)
        if Endpoint.is_expired(measurement.error):
            self._expired = True
            self._stop.set()

    def _reserve(self, item: Item) -> float | None:
        """Set the request's highest cost aside; None ends the run."""
        estimate = self._prices.at_most_usd(item.target.label, item.arm) or 0.0
        if self._limit.reserve(estimate):
            return estimate
        self._over_limit = True
        self._stop.set()
        return None

    def _one(
        self, item: Item, phase: Phase, load: Load, intended_s: float | None, started_s: float, estimate_usd: float
    ) -> Measurement:
        """Make one request; runs in a thread of its own."""
        moment = intended_s

        def wait_until() -> float:
            nonlocal moment
            now_s = time.perf_counter()
            if moment is None:
                moment = now_s
            elif moment > now_s:
                time.sleep(moment - now_s)
            return moment

        request = Request(item.target, item.arm, f"{self._own}/{item.key}")
        outcome = self._caller.call(request, wait_until)
        start_s = moment if moment is not None else outcome.called_s
        measurement = make_measurement(item, phase, load.label, outcome, start_s, started_s, self._prices)
        self._limit.settle(estimate_usd, measurement.cost_usd or 0.0)
        return measurement


def _connections(load: Load, requests: int) -> int:
    """Give how many connections a load can use at once: known in a closed loop, generously guessed in an open one."""
    if load.concurrency is not None:
        return min(load.concurrency, requests)
    return min(int((load.rate_rps or 5.0) * 4.0) + 4, requests, 100)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep garbage collection and long turns of one thread out of the measurement."""
    interval_s = sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.enable()
        gc.unfreeze()
