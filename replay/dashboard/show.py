"""The board in a terminal: one table a version, a sparkline a figure, and what is missing said."""

from __future__ import annotations

import math
from datetime import UTC

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from replay.dashboard.result import Board, Line
from simulator.terminal import number, sparkline

MAX_COLUMNS = 40
_OVER = {"sum": "sum", "mean": "mean", "highest": "highest"}


def print_board(board: Board, out: Console) -> None:
    """Print every version's figures, then those of the function and its API."""
    start, end = board.start.astimezone(UTC), board.end.astimezone(UTC)
    span = f"{start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC"
    out.print(Text(f"{board.function}: {span}", style="bold"))
    for version, roles in board.roles.items():
        _print_lines(f"version {version} ({', '.join(roles)})", board.of_version(version), board, out)
    _print_lines("function and API", board.of_version(None), board, out)
    for note in board.notes:
        out.print(Text(f"! {note}", style="yellow"))


def _print_lines(title: str, lines: list[Line], board: Board, out: Console) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("last", justify="right", no_wrap=True)
    table.add_column("whole time", justify="right", no_wrap=True)
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("", style="cyan", no_wrap=True)
    for line in (one for one in lines if one.points):
        unit = f" {line.figure.unit}" if line.figure.unit else ""
        table.add_row(
            line.figure.title,
            number(line.last, unit),
            number(line.over, unit),
            _OVER[line.figure.over],
            _sparkline(line, board),
        )
    if table.row_count:
        out.print(table)
    else:
        out.print(Text(title))
    missing = [line.figure.title for line in lines if not line.points]
    if missing:
        out.print(Text(f"  no data: {', '.join(missing)}", style="dim"))


def _sparkline(line: Line, board: Board) -> str:
    """Draw the periods in order, empty ones as blanks; joined to the mean where there are more than fit."""
    first = math.floor(board.start.timestamp() / line.period_s)
    last = math.floor(board.end.timestamp() / line.period_s)
    values = np.full(last - first + 1, np.nan)
    for at_s, value in line.points.items():
        index = math.floor(at_s / line.period_s) - first
        if 0 <= index < values.size:
            values[index] = value
    if values.size > MAX_COLUMNS:
        joined = math.ceil(values.size / MAX_COLUMNS)
        padded = np.concatenate([values, np.full(-values.size % joined, np.nan)]).reshape(-1, joined)
        some = np.isfinite(padded).any(axis=1)
        values = np.where(some, np.nansum(padded, axis=1) / np.maximum(1, np.isfinite(padded).sum(axis=1)), np.nan)
    known = values[np.isfinite(values)]
    return sparkline(values, float(known.max())) if known.size else ""
