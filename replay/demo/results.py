"""What a demo leaves behind: files, and the table of forecast beside fact."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.backtest import Comparison, ComparisonRow
from simulator.figures import METRICS
from simulator.files import write_text
from simulator.fitting_table import FittingTable
from simulator.terminal import number

_NAMES: Final[Mapping[str, str]] = {
    "p50_ms": "p50 (ms)",
    "p95_ms": "p95 (ms)",
    "p99_ms": "p99 (ms)",
    "cold_share": "cold share (%)",
    "cost_usd_per_1000": "cost (USD per 1,000)",
}
_PICTURE_COLUMNS: Final = 108
_SCALES: Final[Mapping[str, float]] = {"cold_share": 100.0}


@dataclass(frozen=True)
class DemoResults:
    """Everything that a demo found."""

    run_dir: Path
    comparison: Comparison
    document: Mapping[str, Any]
    """What stands in ``results.json``."""
    warnings: tuple[str, ...]


def write_json(path: Path, document: Any) -> str:
    """Write ``document`` beside its place, rename it, and give the SHA-256 of the file's bytes."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    write_text(path, text)
    return hashlib.sha256(text.encode()).hexdigest()


def widths(comparison: Comparison) -> dict[str, float]:
    """Give the mean width of the checked intervals by metric.

    As a share of the figure, except for ``cold_share``, which may be 0: there in shares of the requests.
    """
    found = {}
    for metric in METRICS:
        rows = [row for row in comparison.rows if row.metric == metric and row.inside is not None]
        values = [row.width if metric == "cold_share" else row.width_share for row in rows]
        known = [value for value in values if value is not None]
        if known:
            found[metric] = sum(known) / len(known)
    return found


def summary(comparison: Comparison) -> str:
    """Say in a line how many figures lie inside, and how wide the intervals are."""
    if comparison.coverage is None:
        return "no figure could be compared"
    parts = [
        f"{_NAMES[metric].partition(' (')[0]} ±{50.0 * width:.2g}{' points' if metric == 'cold_share' else '%'}"
        for metric, width in widths(comparison).items()
    ]
    return (
        f"{comparison.inside} of {comparison.checked} observed figures lie inside their 95% intervals "
        f"({comparison.coverage:.0%}); mean half width: {', '.join(parts)}"
    )


def print_results(results: DemoResults, out: Console) -> None:
    """Print the table, the summary and what must be known about them."""
    out.print(Text("Forecast and fact, latency as the caller sees it", style="bold"))
    out.print(comparison_table(results.comparison))
    out.print(Text(summary(results.comparison), style="bold"))
    if any(row.note and "extrapolated" in row.note for row in results.comparison.rows):
        out.print(Text("* beyond what the recordings carry: extrapolated", style="dim"))
    for warning in results.warnings:
        out.print(Text(f"! {warning}", style="yellow"))
    out.print(Text(f"traces and results: {results.run_dir}"))


def write_picture(path: Path, results: DemoResults) -> None:
    """Draw what :func:`print_results` prints as an SVG, for pages and messages."""
    canvas = Console(record=True, width=_PICTURE_COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    print_results(results, canvas)
    write_text(path, canvas.export_svg(title="tailcast demo"))


def comparison_table(comparison: Comparison) -> Table:
    """Give a row for each figure, grouped by step and variant."""
    table = FittingTable(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("step", "variant"):
        table.add_column(heading)
    table.add_column("requests", justify="right")
    table.add_column("figure")
    for heading in ("forecast", "95% interval", "observed"):
        table.add_column(heading, justify="right")
    table.add_column("inside?")
    group: tuple[str, str] | None = None
    for row in comparison.rows:
        first = (row.step, row.variant) != group
        if first and group is not None and row.step != group[0]:
            table.add_section()
        group = (row.step, row.variant)
        labels = (row.step, row.variant, number(row.requests_observed)) if first else ("", "", "")
        table.add_row(*labels, *_cells(row))
    return table


def _cells(row: ComparisonRow) -> tuple[str | Text, ...]:
    scale = _SCALES.get(row.metric, 1.0)

    def shown(value: float | None) -> str:
        return number(None if value is None else value * scale)

    star = "*" if row.note and "extrapolated" in row.note else ""
    interval = f"{shown(row.low)} – {shown(row.high)}" if row.low is not None else "–"
    verdict = {True: Text("yes", "green"), False: Text("no", "red"), None: Text("unknown", "yellow")}[row.inside]
    return (_NAMES.get(row.metric, row.metric), shown(row.estimate) + star, interval, shown(row.observed), verdict)
