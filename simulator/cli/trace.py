"""``tailcast trace``: the group; its commands are in ``trace_commands.py``, imported when one of them is used."""

from __future__ import annotations

from typing import Final

import click

from simulator.cli.lazy import LazyGroup, Table

_COMMANDS: Final[Table] = {
    "show": (
        "simulator.cli.trace_commands:show",
        "Show what a trace holds: figures, how requests ended, and when.",
    ),
    "import": ("simulator.cli.trace_commands:import_", "Turn a foreign recording into a trace."),
    "merge": ("simulator.cli.trace_commands:merge_", "Join traces into one."),
    "cut": ("simulator.cli.trace_commands:cut_", "Cut a span of time out of a trace."),
    "sample": ("simulator.cli.trace_commands:sample_", "Keep a random part of a trace's requests."),
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def trace() -> None:
    r"""Look into recorded traces, import recordings, reshape traces.

    A trace is a Parquet file with one row an invocation.

    \b
    Examples:
      tailcast trace show baseline.parquet
      tailcast trace import log.txt --format report-log --out baseline.parquet
      tailcast trace cut baseline.parquet --from 60 --to 120 --out minute.parquet
    """
