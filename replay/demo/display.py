"""How the demo shows where it is: a list of its steps that fills in, or plain lines where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_REDRAW_EVERY_S: Final = 1.0
"""Drawing takes a few milliseconds of the process that drives the load, so it is done seldom."""
_MARKS: Final = {"waiting": ("·", "dim"), "running": ("▶", "cyan"), "done": ("✓", "green"), "failed": ("✗", "red")}


class Display(Protocol):
    """Takes what happens."""

    def start(self) -> None:
        """Get ready."""

    def begin(self, step: int) -> None:
        """Say that a step (from 0) begins."""

    def detail(self, text: str) -> None:
        """Say what the running step is doing; may come often."""

    def end(self, text: str) -> None:
        """Say that the running step is done, and what came of it."""

    def fail(self, text: str) -> None:
        """Say that the running step failed or was interrupted."""

    def stop(self) -> None:
        """Let go of the terminal. Stopping twice is no error."""


def make_display(titles: Sequence[str], console: Console) -> Display:
    """Give a live list for a terminal, plain lines for anything else."""
    return LiveDisplay(titles, console) if console.is_terminal else PlainDisplay(titles, console)


class PlainDisplay:
    """One line when a step begins, and one when it has ended."""

    def __init__(self, titles: Sequence[str], console: Console) -> None:
        self._titles = titles
        self._console = console
        self._step = 0
        self._began = 0.0

    def start(self) -> None:
        """Nothing to do."""

    def begin(self, step: int) -> None:
        """Name the step."""
        self._step, self._began = step, time.monotonic()
        self._console.print(f"[{step + 1}/{len(self._titles)}] {self._titles[step]}", markup=False)

    def detail(self, text: str) -> None:
        """Nothing: a log does not need every change."""

    def end(self, text: str) -> None:
        """Say what came of it."""
        self._console.print(f"      {text} ({time.monotonic() - self._began:.0f} s)", markup=False)

    def fail(self, text: str) -> None:
        """Say so."""
        self._console.print(f"      {text} ({time.monotonic() - self._began:.0f} s)", markup=False)

    def stop(self) -> None:
        """Nothing to do."""


class LiveDisplay:
    """All steps, the running one with what it is doing."""

    def __init__(self, titles: Sequence[str], console: Console) -> None:
        self._titles = titles
        self._states = ["waiting"] * len(titles)
        self._texts = [""] * len(titles)
        self._began = [0.0] * len(titles)
        self._took_s = [0.0] * len(titles)
        self._step = 0
        self._drawn = 0.0
        # No thread of its own: it would wake up in the middle of the load.
        self._live = Live(console=console, auto_refresh=False)

    def start(self) -> None:
        """Take the terminal."""
        self._live.start()

    def begin(self, step: int) -> None:
        """Mark the step as running."""
        self._step = step
        self._states[step] = "running"
        self._began[step] = time.monotonic()
        self._draw()

    def detail(self, text: str) -> None:
        """Show what it does, at most once a second."""
        self._texts[self._step] = text
        if time.monotonic() - self._drawn >= _REDRAW_EVERY_S:
            self._draw()

    def end(self, text: str) -> None:
        """Mark it as done."""
        self._finish("done", text)

    def fail(self, text: str) -> None:
        """Mark it as failed."""
        self._finish("failed", text)

    def stop(self) -> None:
        """Leave the last state on the terminal."""
        self._live.stop()

    def _finish(self, state: str, text: str) -> None:
        self._states[self._step], self._texts[self._step] = state, text
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._states[self._step] != "waiting":
            self._took_s[self._step] = self._drawn - self._began[self._step]
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", width=5)
        table.add_column(style="dim", overflow="ellipsis", no_wrap=True)
        for index, title in enumerate(self._titles):
            mark, style = _MARKS[self._states[index]]
            took = "" if self._states[index] == "waiting" else f"{self._took_s[index]:.0f} s"
            table.add_row(Text(mark, style), Text(f"{index + 1} {title}", style), took, Text(self._texts[index]))
        self._live.update(table, refresh=True)
