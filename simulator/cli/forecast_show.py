"""What ``tailcast forecast`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from simulator.figures import METRICS, Figure
from simulator.forecast import Forecast
from simulator.objective import Verdict
from simulator.terminal import console, number

HEADINGS: Final[Mapping[str, str]] = {
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "cold_share": "cold %",
    "cost_usd_per_1000": "USD / 1,000",
}
_SCALES: Final[Mapping[str, float]] = {"cold_share": 100.0}
_STYLES: Final[Mapping[str, str]] = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


def print_forecast(found: Forecast, verdicts: Sequence[Mapping[str, Any]], overall: Verdict | None) -> None:
    """Print the table of figures, what the reader must know about it, and the verdicts, to standard output."""
    out = console()
    what = "as the caller sees it" if found.latency == "client_ms" else "INIT and handler"
    out.print(Text(f"Forecast, latency {what}; 95 % intervals of {found.replications} runs, seed {found.seed}"))
    out.print(forecast_table(found))
    if any(figure.note and "extrapolated" in figure.note for figure in found.figures):
        out.print(Text("* extrapolated beyond the recorded requests", style="dim"))
    for warning in found.warnings:
        out.print(Text(f"! {warning}", style="yellow"))
    for reason in dict.fromkeys(f.note for f in found.figures if f.metric == "cost_usd_per_1000" and f.note):
        out.print(Text(f"! cost: {reason}", style="yellow"))
    for one in verdicts:
        line = Text(f"{one['objective']}: ")
        line.append(one["verdict"], style=_STYLES[one["verdict"]])
        chances = ", ".join(f"{label} {_chance(step['probability'])}" for label, step in one["steps"].items())
        line.append(f" (met in every step with probability {_chance(one['probability'])}; by step: {chances})")
        out.print(line)
    if overall is not None and len(verdicts) > 1:
        out.print(Text("in all: ").append(overall, style=_STYLES[overall]))


def forecast_table(found: Forecast) -> Table:
    """Give the figures as a table: a row for each step and variant."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("step", "variant"):
        table.add_column(heading)
    for heading in ("requests", *HEADINGS.values()):
        table.add_column(heading, justify="right")
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in found.figures:
        rows.setdefault((figure.step, figure.variant), {})[figure.metric] = figure
    last = ""
    for (step, variant), figures in rows.items():
        if last and step != last:
            table.add_section()
        cells = [_cell(figures[metric]) for metric in METRICS]
        table.add_row(step if step != last else "", variant, f"{figures['p50_ms'].requests:,}", *cells)
        last = step
    return table


def _cell(figure: Figure) -> Text:
    scale = _SCALES.get(figure.metric, 1.0)
    if figure.estimate is None or figure.low is None or figure.high is None:
        return Text("–", style="dim")
    text = Text(number(figure.estimate * scale))
    text.append(f" [{number(figure.low * scale)}–{number(figure.high * scale)}]", style="dim")
    if figure.note and "extrapolated" in figure.note:
        text.append("*", style="yellow")
    return text


def _chance(probability: float) -> str:
    # Never "100 %": as many runs as there were cannot show a probability of one.
    if probability > 0.995:
        return "> 99 %"
    return "< 1 %" if probability < 0.005 else f"{probability:.0%}".replace("%", " %")
