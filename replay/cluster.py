"""A Dask cluster as the workers of a simulation: see :mod:`simulator.parallel`.

What all parts share (fitted traces, prices, settings) is sent to the cluster once and kept there; a part is an index. A
worker that dies takes nothing with it: the scheduler gives its parts to another, and since every part's randomness is
addressed by seed and replication, it comes to the same result there.

Scheduler, workers and this process send each other pickles, and so run each other's code: use a cluster of your own, in
a network that strangers do not reach, or by ``tls://`` as Dask is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from replay.errors import CloudError, InputError
from simulator.parallel import Workers

if TYPE_CHECKING:
    from distributed import Client

Shared = TypeVar("Shared")
Result = TypeVar("Result")

CONNECT_DEADLINE_S: Final = 15.0
_AHEAD: Final = 4
"""Parts in flight for each worker: enough to keep it busy, few enough to end soon when interrupted."""
_RETRIES: Final = 3
"""How often a part may take its worker with it before it is given up for broken."""


@contextmanager
def cluster(address: str) -> Iterator[Workers]:
    """Connect to the scheduler at ``address`` (``tcp://host:port``).

    Raises
    ------
    InputError
        Dask is not installed, or the address is none.
    CloudError
        No scheduler answers there, or it has no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--scheduler needs Dask, which is not installed; pip install 'tailcast[cluster]'") from error
    try:
        client = Client(address, timeout=CONNECT_DEADLINE_S, set_as_default=False)
    except ValueError as error:
        raise InputError(f"--scheduler {address}: no scheduler's address; write tcp://HOST:8786") from error
    except (OSError, TimeoutError) as error:
        raise CloudError(
            f"--scheduler {address}: no scheduler answers there after {CONNECT_DEADLINE_S:g} s; "
            "start one with `dask scheduler`"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_DEADLINE_S)
        except TimeoutError as error:
            raise CloudError(f"--scheduler {address}: no worker; start `dask worker {address}`") from error
        _check_same(client, address)
        yield DaskWorkers(client)


def _check_same(client: Client, address: str) -> None:
    """Hold the workers' tailcast to this one: another version might come to other results. Raises CloudError."""
    # A worker that is just ending or starting answers with an error of the network: it is asked for nothing here.
    found = client.run(metadata.version, "tailcast", on_error="return")
    for worker, version in found.items():
        if isinstance(version, ImportError):
            raise CloudError(
                f"--scheduler {address}: worker {worker} has no tailcast; install {_version()} where the workers run"
            ) from version
        if isinstance(version, str) and version != _version():
            raise CloudError(
                f"--scheduler {address}: worker {worker} has tailcast {version}, this is {_version()}; "
                "install the same one"
            )


def _version() -> str:
    return metadata.version("tailcast")


class DaskWorkers:
    """The workers of a cluster.

    Parameters
    ----------
    client
        Connected; whoever made it closes it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def count(self) -> int:
        """How many threads the cluster's workers have."""
        return max(1, sum(int(threads) for threads in self._client.nthreads().values()))

    def map(
        self, task: Callable[[Shared, int], Result], shared: Shared, indices: Sequence[int]
    ) -> Iterator[tuple[int, Result]]:
        """Do the parts, see :meth:`simulator.parallel.Workers.map`.

        Raises
        ------
        CloudError
            The cluster is gone, or a part took its worker with it again and again.
        """
        from distributed import as_completed
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker, NoValidWorkerError

        client = self._client
        waiting = iter(indices)
        doing: dict[Any, int] = {}
        try:
            # On every worker there is, so that none has to fetch it from another, and its death loses nothing.
            held = client.scatter(shared, broadcast=True, hash=False)

            def submit(index: int) -> Any:
                future = client.submit(task, held, index, pure=False, retries=_RETRIES)
                doing[future] = index
                return future

            first = [submit(index) for index in islice(waiting, _AHEAD * self.count)]
            finished = as_completed(first, loop=client.loop)
            for future in finished:
                result = future.result()
                index = doing.pop(future)
                following = next(waiting, None)
                if following is not None:
                    finished.add(submit(following))
                yield index, result
        except KilledWorker as error:
            raise CloudError(
                f"the cluster's workers died while they did part {error.task!r}; see their logs (out of memory?)"
            ) from error
        except (CommClosedError, FutureCancelledError, NoValidWorkerError, OSError, TimeoutError) as error:
            raise CloudError(
                f"the cluster is gone ({type(error).__name__}); start it and repeat the command"
            ) from error
        finally:
            client.cancel(list(doing), force=True)
