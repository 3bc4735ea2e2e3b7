"""A run's report: Markdown, JSON and pictures in its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from replay.bench.floor import decompose
from replay.bench.plots import MISSING, write_plots
from replay.bench.records import Run
from replay.bench.summary import Summary, summarise, to_json
from replay.bench.tables import Table, comparison_tables, floor_table, run_table, summary_tables
from simulator.files import write_text

_KEY = (
    "Figures are of the measured requests that were answered; `x [a–b]` is a figure with its 95 % interval, "
    "`x (n≥k)` one whose interval would need k samples. Latencies count from the intended start. First requests "
    "and warm-ups stand apart. Intervals take requests as independent."
)


def report_tables(run: Run, summary: Summary) -> list[Table]:
    """Give the tables of a report, in order."""
    floor = floor_table(decompose(run))
    return [*summary_tables(summary), *comparison_tables(summary), *([floor] if floor else [])]


def write_report(run: Run, folder: Path, formats: Sequence[str] = ("svg",)) -> list[str]:
    """Write ``report.md``, ``summary.json`` and the plots; give notes on what could not be written."""
    summary = summarise(run)
    plots = write_plots(run, folder / "plots", formats)
    write_text(folder / "report.md", markdown(run, summary, [path.name for path in plots or []]))
    write_text(folder / "summary.json", json.dumps(to_json(summary), indent=2) + "\n")
    return [] if plots is not None else [MISSING]


def markdown(run: Run, summary: Summary, plots: Sequence[str] = ()) -> str:
    """Give the report in Markdown."""
    lines = ["# Bedrock benchmark", "", f"{headline(run)}", "", _KEY, ""]
    if summary.notes:
        lines += ["## To know", "", *(f"- {note}" for note in summary.notes), ""]
    lines += ["## Figures", ""]
    lines += [table.markdown() for table in report_tables(run, summary)]
    if plots:
        lines += [
            "## Plots",
            "",
            *(f"![{name}](plots/{name})" for name in plots if name.endswith((".svg", ".png"))),
            "",
        ]
    lines += ["## Requests", "", run_table(run).markdown()]
    return "\n".join(lines)


def headline(run: Run) -> str:
    """Say in one line what was measured."""
    spent = run.spent_usd()
    cost = "cost unknown" if spent is None else f"{spent:.4f} USD"
    measured = len(run.measured())
    return (
        f"{run.started_at}: {measured} of {run.planned} requests measured, {len(run.targets)} targets × "
        f"{len(run.arms)} arms × {len(run.loads)} loads, seed {run.seed}, {cost}, {run.ended}."
    )
