"""Work in parts: a pure function over indices, on this process, on several, or wherever a caller's own workers are.

Nothing depends on who does which part, or on how many do: a part's randomness is addressed by seed and replication, and
results carry their index. So the answer is the same with one worker and with twenty, and a part that was lost with its
worker is simply done again.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

from simulator.errors import ParameterError, SimulatorError

Shared = TypeVar("Shared")
Result = TypeVar("Result")

_RESTARTS: Final = 3
"""How often lost workers are replaced before the work is given up."""


class WorkersError(SimulatorError):
    """Worker processes kept dying."""


class Workers(Protocol):
    """Who does the parts."""

    @property
    def count(self) -> int:
        """How many work at once."""
        ...

    def map(
        self, task: Callable[[Shared, int], Result], shared: Shared, indices: Sequence[int]
    ) -> Iterator[tuple[int, Result]]:
        """Do ``task(shared, index)`` for each of ``indices``; give each index with its result as it is done.

        Parameters
        ----------
        task
            A function of a module's top level: pure, so that it may be done twice.
        shared
            What all parts need; it is handed to each worker once.
        """
        ...


class InProcess:
    """Everything in this process, one part after the other."""

    count = 1

    def map(
        self, task: Callable[[Shared, int], Result], shared: Shared, indices: Sequence[int]
    ) -> Iterator[tuple[int, Result]]:
        """Do the parts, see :meth:`Workers.map`."""
        for index in indices:
            yield index, task(shared, index)


class Threads:
    """Several threads of this process: for parts that spend their time in code which lets other threads run.

    Parameters
    ----------
    count
        How many, 1 or more.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def map(
        self, task: Callable[[Shared, int], Result], shared: Shared, indices: Sequence[int]
    ) -> Iterator[tuple[int, Result]]:
        """Do the parts, see :meth:`Workers.map`."""
        with ThreadPoolExecutor(self.count) as pool:
            doing = {pool.submit(task, shared, index): index for index in indices}
            try:
                for future in as_completed(doing):
                    yield doing[future], future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


class Processes:
    """Several processes of this machine, started when there is something to do and kept until :meth:`close`.

    Parameters
    ----------
    count
        How many, 1 or more.

    Raises
    ------
    ParameterError
        A count below 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ParameterError(f"workers={count!r} must be 1 or more")
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(
        self, task: Callable[[Shared, int], Result], shared: Shared, indices: Sequence[int]
    ) -> Iterator[tuple[int, Result]]:
        """Do the parts, see :meth:`Workers.map`.

        Raises
        ------
        WorkersError
            Workers died several times in a row.
        """
        left = list(indices)
        with tempfile.NamedTemporaryFile(prefix="tailcast-shared-") as handed:
            pickle.dump((task, shared), handed, protocol=pickle.HIGHEST_PROTOCOL)
            handed.flush()
            deaths = 0
            while deaths <= _RESTARTS:
                try:
                    for index, result in self._map_once(handed.name, tuple(left)):
                        left.remove(index)
                        deaths = 0  # a long sweep may lose a worker now and then
                        yield index, result
                    return
                except BrokenProcessPool:
                    self.close()  # a worker was killed: what it had not given back is done again
                    deaths += 1
        raise WorkersError(
            f"worker processes died {deaths} times in a row, {len(left)} parts undone; "
            "if memory ran out, use fewer workers (--workers 1)"
        )

    def close(self) -> None:
        """End the processes; the next :meth:`map` starts new ones."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        processes = list((pool._processes or {}).values())  # noqa: SLF001  (no public way to end them at once)
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(10.0)

    def _map_once(self, handed: str, indices: Sequence[int]) -> Iterator[tuple[int, Any]]:
        if self._pool is None:
            # Spawned, not forked: a fork of a process with threads (Polars, a progress bar) may inherit a held lock.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=_begin)
        pool, waiting = self._pool, iter(indices)
        doing: dict[Future[Any], int] = {}
        try:
            # A few ahead only, so that an interrupt does not find a long queue.
            doing |= {pool.submit(_do, handed, index): index for index in islice(waiting, 2 * self.count)}
            while doing:
                done, _ = wait(doing, return_when=FIRST_COMPLETED)
                for future in done:
                    index = doing.pop(future)
                    result = future.result()
                    doing |= {pool.submit(_do, handed, following): following for following in islice(waiting, 1)}
                    yield index, result
        finally:
            if doing:
                self.close()


def usable_cores() -> int:
    """Give how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_work: dict[str, Any] = {}
"""In a worker: where its present work was read from, and what it is."""


def _begin() -> None:
    # Ctrl-C reaches the whole group; whoever started the work decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A killed parent tells nobody: without this, its workers would wait for work for ever.
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: Any) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _do(handed: str, index: int) -> Any:
    if handed not in _work:
        _work.clear()
        with Path(handed).open("rb") as file:
            _work[handed] = pickle.load(file)  # noqa: S301  (written by the process that started this one)
    task, shared = _work[handed]
    return task(shared, index)
