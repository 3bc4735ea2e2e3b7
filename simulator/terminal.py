"""Drawings for the terminal: a histogram, a timeline, and numbers as people read them."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.intervals import Estimate
from simulator.quantiles import FloatArray

_PIPE_WIDTH: Final = 130
_LEVELS: Final = " ▁▂▃▄▅▆▇█"
_EIGHTHS: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def console(*, stderr: bool = False) -> Console:
    """Give a console for the command line; wide enough for its tables where the output is not a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def number(value: float | None, unit: str = "") -> str:
    """Write a figure with three significant digits, or all before the point: ``0.421``, ``8.12``, ``1,240``, ``3``.

    None and NaN become a dash.
    """
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 100 or value == round(value):
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.3g}"
    return text + unit


def with_interval(estimate: Estimate, scale: float = 1.0, unit: str = "") -> Text:
    """Write an estimate as ``661 [640–702]``, or as ``661 (needs 368)`` where the sample carries no interval."""
    if not math.isfinite(estimate.value):
        return Text("–", style="dim")
    text = Text(number(estimate.value * scale, unit))
    if estimate.low is not None and estimate.high is not None:
        text.append(f" [{number(estimate.low * scale)}–{number(estimate.high * scale)}]", style="dim")
    elif estimate.needed is not None:
        text.append(f" (needs {estimate.needed:,})", style="yellow")
    return text


def histogram(
    groups: Mapping[str, FloatArray],
    marks: Mapping[str, float],
    *,
    unit: str = "ms",
    width: int = 60,
    max_bins: int = 16,
) -> Table:
    """Draw how values are spread, one bar a bin, the groups laid end to end in it.

    Bins grow geometrically where the values span more than a factor of four, so that a tail ten times the median does
    not squeeze everything else into one bar.

    Parameters
    ----------
    groups
        Name → values; the first is drawn solid, the second shaded.
    marks
        Name → value: written at the bin that holds it.
    unit
        Of the values.
    width
        Characters of the longest bar.
    max_bins
        Most bars.
    """
    values = np.concatenate(list(groups.values()))
    edges = _edges(values, max_bins)
    counts = {name: np.histogram(each, edges)[0] for name, each in groups.items()}
    most = int(sum(counts.values()).max())  # type: ignore[union-attr]  # there is at least one
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    last = len(edges) - 2
    for index in range(last + 1):
        low, high = edges[index], edges[index + 1]
        here = [name for name, value in marks.items() if low <= value < high or (index == last and value == high)]
        bar = Text()
        total = 0
        for (name, count), (fill, style) in zip(counts.items(), (("█", "cyan"), ("▒", "magenta")), strict=False):
            del name
            bar.append(_bar(int(count[index]), most, width, fill), style=style)
            total += int(count[index])
        table.add_row(f"{number(low)} – {number(high)} {unit}", f"{total:,}", bar, " ".join(here))
    return table


def timeline(rows: Sequence[tuple[str, FloatArray]], duration_s: float) -> Table:
    """Draw series over time, one line a series, each over its own range from zero.

    Parameters
    ----------
    rows
        Label and values; all of one length, one value a column, NaN where nothing happened.
    duration_s
        What the whole width stands for.
    """
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(style="dim", no_wrap=True)
    for label, values in rows:
        known = values[np.isfinite(values)]
        top = float(known.max()) if known.size else math.nan
        table.add_row(label, sparkline(values, top), f"≤ {number(top)}" if known.size else "")
    columns = len(rows[0][1]) if rows else 0
    end = f"{duration_s:,.0f} s"
    table.add_row("", Text("0 s" + " " * max(1, columns - 3 - len(end)) + end, style="dim"), "")
    return table


def sparkline(values: FloatArray, top: float) -> str:
    """Draw values between 0 and ``top`` as one line of blocks; NaN is a space, and so is 0."""
    if not top > 0:
        return " " * len(values)
    scaled = np.ceil(np.nan_to_num(values) / top * (len(_LEVELS) - 1))
    return "".join(_LEVELS[int(level)] for level in np.clip(scaled, 0, len(_LEVELS) - 1))


def _edges(values: FloatArray, max_bins: int) -> FloatArray:
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.asarray([low, low + max(abs(low) * 0.01, 1e-9)])
    bins = min(max_bins, max(4, math.ceil(math.log2(values.size)) + 1))  # Sturges, within reason
    spaced = np.geomspace if low > 0 and high / low > 4 else np.linspace
    edges = spaced(low, high, bins + 1)
    edges[0], edges[-1] = low, high  # the spaces may round past the extremes
    return np.asarray(edges, dtype=np.float64)


def _bar(count: int, most: int, width: int, fill: str) -> str:
    eighths = round(count / most * width * 8) if most else 0
    if count and not eighths:
        eighths = 1
    whole, rest = divmod(eighths, 8)
    if fill != "█":
        return fill * (whole + (rest > 0))
    return fill * whole + _EIGHTHS[rest]
