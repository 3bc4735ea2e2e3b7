"""A bar on standard error while replications run; nothing where that is not a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulator.forecast import Progress as Advance
from simulator.terminal import console


@contextmanager
def simulating(replications: int, what: str = "simulating") -> Iterator[Advance]:
    """Show how many of ``replications`` are done; gives what is to be called after each of them."""
    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal or replications < 1) as bar:
        task = bar.add_task(what, total=replications)
        yield lambda _done, _of: bar.advance(task)
