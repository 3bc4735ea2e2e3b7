"""Who does the work of a command: this process, several of this machine, or a cluster's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from simulator.cli.progress import ready_engine
from simulator.cli.world import the_world
from simulator.errors import ParameterError
from simulator.parallel import InProcess, Processes, Threads, Workers, usable_cores


def workers_option(default: str) -> Callable[[Any], Any]:
    """Give ``--workers``, whose help names its default."""
    return click.option("--workers", type=click.IntRange(1), help=f"Processes of this machine.  [default: {default}]")


scheduler_option = click.option(
    "--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers do it, such as tcp://10.0.0.5:8786."
)


@contextmanager
def workers_for(options: Mapping[str, Any], *, threads: bool = False) -> Iterator[Workers]:
    """Give the workers that ``--workers`` or ``--scheduler`` ask for, else processes, one a core, or as ``threads``.

    Short work is done before further processes have imported what they need; its threads share a few long steps.

    Raises
    ------
    ParameterError
        Both were given, or this program cannot reach a cluster.
    """
    count, address = options.get("workers"), options.get("scheduler")
    if address is not None:
        if count is not None:
            raise ParameterError("--workers and --scheduler exclude each other; a cluster's workers are its own")
        world = the_world()
        if world is None:
            raise ParameterError(f"--scheduler {address}: this program knows no cluster; leave it out")
        with world.connect(address) as workers:
            yield workers
        return
    ready_engine()
    if count is None and threads:
        yield Threads(usable_cores())
        return
    count = count or usable_cores()
    if count == 1:
        yield InProcess()
        return
    with Processes(count) as workers:
        yield workers
