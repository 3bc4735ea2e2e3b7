"""What ``tailcast forecast --explain`` prints: the events of single requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from simulator.engine.event_log import Event
from simulator.request_log import BEFORE, LoggedRequest
from simulator.terminal import console, number

_UNITS = {"ms": "ms", "s": "s"}


def log_json(logged: Sequence[LoggedRequest], seed: int, replication: int) -> dict[str, Any]:
    """Give the document of ``--json``."""
    return {"seed": seed, "run": replication, "requests": [one.to_json() for one in logged]}


def print_log(logged: Sequence[LoggedRequest], seed: int, replication: int) -> None:
    """Print a table of events for each request."""
    out = console()
    out.print(Text(f"Run {replication} of seed {seed}; times since the request was first sent"))
    for one in logged:
        where = "before the first step" if one.step == BEFORE else f"step {one.step}"
        title = f"request {one.request}, {where}: {one.status} after {number(one.client_ms)} ms"
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        table.add_column("ms", justify="right", no_wrap=True)
        table.add_column("attempt", justify="right")
        table.add_column("event", no_wrap=True)
        table.add_column("")
        zero_s = min((event.at_s for event in one.events), default=0.0)
        for event in one.events:
            at_ms = f"{1000.0 * (event.at_s - zero_s):,.1f}"
            table.add_row(at_ms, str(event.attempt + 1), event.what.value, describe(event))
        out.print(table)


def describe(event: Event) -> str:
    """Write an event's circumstances: ``environment 3, INIT 512 ms``."""
    return ", ".join(_detail(name, value) for name, value in event.details.items())


def _detail(name: str, value: Any) -> str:
    words, _, unit = name.rpartition("_")
    if unit in _UNITS and words:
        text = words.replace("_", " ").replace("init", "INIT")
        return f"{text} {number(value)} {_UNITS[unit]}"
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name} {value}".replace("_", " ")
