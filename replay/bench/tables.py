"""The tables of a report: rows of text, drawn by rich in a terminal or as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from replay.bench.comparison import Difference
from replay.bench.floor import Part
from replay.bench.records import Measurement, Run
from replay.bench.summary import LEVELS, METRICS, CellSummary, Comparison, Summary
from simulator.intervals import Estimate

_OF_WORDS: Final = ("how", "ended", "served in", "status", "the first is", "part")
"""Columns of words: left-aligned, and folded where they are long."""


@dataclass(frozen=True)
class Table:
    """Text in rows and columns. The first column is left-aligned, the others right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Draw it in Markdown."""
        head = "| " + " | ".join(self.columns) + " |"
        rule = "| --- |" + " ---: |" * (len(self.columns) - 1)
        body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        return "\n".join([f"### {self.title}", "", head, rule, *body, ""])

    def rich(self) -> Group:
        """Draw it for a terminal."""
        table = RichTable(box=None, pad_edge=False)
        for index, column in enumerate(self.columns):
            first, words = index == 0, column in _OF_WORDS
            table.add_column(
                column,
                justify="left" if first or words else "right",
                overflow="fold",
                no_wrap=not first and not words,
                min_width=18 if first else 10 if words else None,
            )
        for row in self.rows:
            # A figure's doubt stands below it: side by side, seven figures do not fit a terminal.
            cells = (cell.replace(" [", "\n[").replace(" (n≥", "\n(n≥") for cell in row)
            table.add_row(*(Text(cell) for cell in cells))
        # Above the table, not in it: a narrow table would fold its title.
        return Group(Text(self.title, style="bold"), table)


def summary_tables(summary: Summary) -> list[Table]:
    """Give one table per metric, and one of what else happened in each cell."""
    tables = [table for metric in METRICS if (table := _metric_table(summary.cells, metric)) is not None]
    return [*tables, _cell_table(summary.cells), *filter(None, [_first_table(summary.cells)])]


def comparison_tables(summary: Summary) -> list[Table]:
    """Give the ranks, and the differences between cells that the data can tell."""
    tables = []
    for comparison in summary.comparisons:
        if comparison.figure == "p50":
            tables += [_rank_table(comparison), _difference_table(comparison)]
    return tables


def floor_table(parts: Sequence[Part]) -> Table | None:
    """Give the decomposition; None where there is none."""
    if not parts:
        return None
    rows = tuple(
        (part.target, part.name, "not measured" if part.estimate is None else interval(part.estimate), part.how)
        for part in parts
    )
    return Table("Where the time to first token goes, ms", ("target", "part", "median [95 %]", "how"), rows)


def run_table(run: Run) -> Table:
    """Give every request."""
    rows = tuple(_request_row(m, run.label(m.cell)) for m in run.measurements)
    columns = (
        "request",
        "phase",
        "at s",
        "connection",
        "connect ms",
        "TTFT ms",
        "total ms",
        "server ms",
        "in/read/write/out",
        "region",
        "status",
    )
    return Table("Every request", columns, rows)


def _request_row(m: Measurement, label: str) -> tuple[str, ...]:
    counts = (m.input_tokens, m.cache_read_tokens, m.cache_write_tokens, m.output_tokens)
    return (
        f"#{m.sequence} {label}",
        m.phase,
        f"{m.intended_s:.2f}",
        m.connection,
        *(_ms(value) for value in (m.connect_ms, m.ttft_ms, m.total_ms, m.server_ms)),
        "/".join("–" if tokens is None else str(tokens) for tokens in counts),
        m.region or "–",
        m.status if m.error is None else f"{m.status}: {m.error[:60]}",
    )


def interval(estimate: Estimate) -> str:
    """Write ``412 [398–431]``, or ``412 (n≥368)`` where the sample carries no interval."""
    if not math.isfinite(estimate.value):
        return "–"
    value = _figure(estimate.value)
    if estimate.low is not None and estimate.high is not None:
        # A dash between two numbers reads as a minus where one is negative.
        between = " to " if estimate.low < 0 else "–"
        return f"{value} [{_figure(estimate.low)}{between}{_figure(estimate.high)}]"
    return f"{value} (n≥{estimate.needed})" if estimate.needed else value


def _metric_table(cells: Sequence[CellSummary], metric: str) -> Table | None:
    rows = []
    for cell in cells:
        found = cell.metrics.get(metric)
        if found is None:
            continue
        rows.append(
            (
                cell.label,
                str(found.mean.samples),
                interval(found.mean),
                *(interval(found.quantiles[name]) for name in LEVELS),
                interval(found.standard_deviation),
                f"{found.worst_to_best:.1f}",
            )
        )
    if not rows:
        return None
    title = f"{METRICS[metric].capitalize()}, ms [95 % interval]"
    return Table(title, ("cell", "n", "mean", *LEVELS, "std dev", "worst/best"), tuple(rows))


def _cell_table(cells: Sequence[CellSummary]) -> Table:
    rows = []
    for cell in cells:
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(cell.statuses.items()))
        rows.append(
            (
                cell.label,
                statuses,
                _whole(cell.input_tokens),
                _whole(cell.output_tokens),
                "–" if cell.cache_hit_share is None else f"{cell.cache_hit_share:.0%}",
                f"{cell.dispatch_p99_ms:.1f}",
                "unknown" if cell.cost_usd_per_1000 is None else f"{cell.cost_usd_per_1000:.4f}",
                " ".join(f"{region}×{count}" for region, count in sorted(cell.regions.items())) or "–",
            )
        )
    columns = ("cell", "ended", "tokens in", "tokens out", "cache hits", "late p99 ms", "USD/1,000", "served in")
    return Table("What happened", columns, tuple(rows))


def _first_table(cells: Sequence[CellSummary]) -> Table | None:
    rows = tuple(
        (
            cell.label,
            _ms(cell.first.ttft_ms),
            _ms(cell.first.total_ms),
            "–" if cell.first.times_median is None else f"{cell.first.times_median:.2f}",
            "spike" if cell.first.is_spike else "like the others",
        )
        for cell in cells
        if cell.first is not None
    )
    if not rows:
        return None
    columns = ("cell", "TTFT ms", "total ms", "× median", "")
    return Table("First request to each target, in no figure above", columns, rows)


def _rank_table(comparison: Comparison) -> Table:
    rows = tuple(
        (rank.arm, str(rank.best) if rank.best == rank.worst else f"{rank.best}–{rank.worst}")
        for rank in comparison.ranks
    )
    return Table(
        f"Rank by {comparison.figure} of {METRICS[comparison.metric]}, all at once 95 %", ("cell", "rank"), rows
    )


def _difference_table(comparison: Comparison) -> Table:
    words: Mapping[str, str] = {
        "lower": "faster",
        "higher": "slower",
        "unclear": "cannot be told",
        "too few": "too few samples",
    }

    def row(difference: Difference) -> tuple[str, ...]:
        verdict = words[difference.verdict]
        return f"{difference.first} − {difference.second}", interval(difference.estimate), verdict

    rows = tuple(row(difference) for difference in comparison.differences)
    title = f"Differences in {comparison.figure} of {METRICS[comparison.metric]}, ms, intervals that hold together"
    return Table(title, ("pair", "difference", "the first is"), rows)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _ms(value: float | None) -> str:
    return "–" if value is None else _figure(value)


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
