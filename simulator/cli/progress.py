"""What long work says on standard error: that the engine is compiled first, and a bar while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from simulator.runs import Progress as Advance
from simulator.terminal import console


@contextmanager
def simulating(replications: int, what: str = "simulating") -> Iterator[Advance]:
    """Show how many of ``replications`` are done; gives what is to be called after each of them.

    Nothing is shown where standard error is no terminal.
    """
    out = console(stderr=True)
    if not out.is_terminal or replications < 1:
        yield lambda _done, _of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(what, total=replications)
        yield lambda _done, _of: bar.advance(task)


def ready_engine() -> None:
    """Compile what this machine has not compiled yet, and say so: it takes a few seconds, once."""
    from simulator import lookup, running_sum
    from simulator.engine.compiled import warm

    if not warm.is_warm():
        click.echo("compiling the simulator for this machine; the next command will not have to", err=True)
        warm.warm()
        lookup.warm()
        running_sum.warm()
