"""Running figures on stderr while a benchmark runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from replay.bench.benchmark import Benchmark, Expectation
from replay.bench.runner import Progress
from replay.bench.summary import by_cell, values_of
from simulator.quantiles import quantile

_EVERY_S = 0.5
"""A redraw takes milliseconds of the interpreter that the measurement shares: seldom is better."""
_LINE_EVERY_S = 10.0
_MOST_CELLS = 24


@contextmanager
def shown(benchmark: Benchmark, expected: Expectation) -> Iterator[Callable[[Progress], None]]:
    """Show running figures on stderr: a live table in a terminal, else a line now and then."""
    console = Console(stderr=True)
    redrawn_s = time.monotonic()
    if not console.is_terminal:

        def tell(progress: Progress) -> None:
            nonlocal redrawn_s
            now_s = time.monotonic()
            if now_s - redrawn_s >= _LINE_EVERY_S:
                redrawn_s = now_s
                console.print(_line(progress, benchmark, expected), soft_wrap=True, markup=False, highlight=False)

        yield tell
        return
    redrawn_s = 0.0
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(progress: Progress) -> None:
            nonlocal redrawn_s
            now_s = time.monotonic()
            if now_s - redrawn_s >= _EVERY_S:
                redrawn_s = now_s
                live.update(_picture(progress, benchmark, expected), refresh=True)

        yield show


def _line(progress: Progress, benchmark: Benchmark, expected: Expectation) -> str:
    limit = "" if benchmark.spend_limit_usd is None else f" of {benchmark.spend_limit_usd:g}"
    cost = "cost unknown" if expected.expected_usd is None else f"{progress.spent_usd:.4f}{limit} USD"
    return f"{progress.done} of {progress.planned} requests, {progress.under_way} under way, {cost}"


def _picture(progress: Progress, benchmark: Benchmark, expected: Expectation) -> Group:
    head = Text(_line(progress, benchmark, expected))
    table = Table(box=None, pad_edge=False)
    for column in ("cell", "n", "not ok", "TTFT p50 ms", "TTFT p95 ms", "total p50 ms"):
        table.add_column(column, justify="left" if column == "cell" else "right")
    measured = [m for m in progress.measurements if m.phase == "measured"]
    for cell, rows in list(by_cell(measured).items())[:_MOST_CELLS]:
        ttft, total = values_of(rows, "ttft_ms"), values_of(rows, "total_ms")
        failed = sum(1 for m in rows if m.status != "ok")
        figures = (quantile(ttft, 0.5), quantile(ttft, 0.95), quantile(total, 0.5))
        label = " · ".join(part for part in cell if part != "standard")
        table.add_row(label, str(ttft.size), str(failed), *(f"{value:.0f}" for value in figures))
    # A bar alone ends without a line break, and the table's head would stand beside it.
    bar = Padding(ProgressBar(total=progress.planned, completed=progress.done, width=60), 0)
    return Group(head, bar, table)
