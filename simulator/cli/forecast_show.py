"""What ``tailcast forecast`` prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from simulator.figures import ALL, METRICS, Figure
from simulator.fitting_table import FittingTable
from simulator.forecast import Forecast
from simulator.outlook import Outlook, Spread
from simulator.replication import COST_WITH_PROVISIONED, PROVISIONED_COST, WHOLE
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


def print_outlook(outlook: Outlook) -> None:
    """Print the figures, the margins, what the reader must know about them, and the verdicts, to standard output."""
    out, found = console(), outlook.forecast
    what = "as the caller sees it" if found.latency == "client_ms" else "INIT and handler"
    out.print(Text(f"Forecast, latency {what}; 95 % intervals of {found.replications} runs, seed {found.seed}"))
    out.print(forecast_table(found))
    if any(figure.note and "extrapolated" in figure.note for figure in found.figures):
        out.print(Text("* extrapolated beyond the recorded requests", style="dim"))
    for line in _margins(outlook):
        out.print(line)
    for warning in found.warnings:
        out.print(Text(f"! {warning}", style="yellow"))
    for reason in dict.fromkeys(f.note for f in found.figures if f.metric == "cost_usd_per_1000" and f.note):
        out.print(Text(f"! cost: {reason}", style="yellow"))
    for one in outlook.judged:
        line = Text(f"{one.objective}: ")
        line.append(one.verdict, style=_STYLES[one.verdict])
        chances = ", ".join(f"{label} {chance_text(chance)}" for label, chance in one.by_step.items())
        line.append(f" (met in every step with probability {chance_text(one.probability)}; by step: {chances})")
        out.print(line)
    if outlook.verdict is not None and len(outlook.judged) > 1:
        out.print(Text("in all: ").append(outlook.verdict, style=_STYLES[outlook.verdict]))


def _margins(outlook: Outlook) -> list[Text]:
    """Say how far the time-out is, what a burst does, and what is refused, over the whole rollout."""
    margin = Spread.of(outlook.timeout_ms / outlook.forecast.samples[WHOLE, ALL, "p99.9_ms"])
    hit = outlook.spread("timeout_share")
    rows = [
        ("time-out margin", _spread(margin), f"time-out ÷ p99.9; {_percent(hit)} of the requests hit it"),
        ("throttled", _percent(outlook.spread("throttled_share")), "of the requests"),
        ("attempts per request", _spread(outlook.spread("retry_amplification")), "as the gateway sees them"),
    ]
    ready = outlook.spread(PROVISIONED_COST)
    if ready.median:
        both = _spread(outlook.spread(COST_WITH_PROVISIONED))
        rows.append(("PC kept ready", _spread(ready), f"USD for 1,000 requests; with the requests' own cost {both}"))
    if outlook.burst is not None:
        rows.insert(
            1, ("burst amplification", _spread(outlook.burst), f"p99 of {outlook.burst_factor:g} × the load ÷ p99")
        )
    return [Text(f"{name + ':':22} {value}").append(f"   {why}", style="dim") for name, value, why in rows]


def _spread(spread: Spread) -> str:
    return f"{number(spread.median)} [{number(spread.lo)}–{number(spread.hi)}]"


def _percent(spread: Spread) -> str:
    if spread.median is None or spread.lo is None or spread.hi is None:
        return "–"
    return f"{number(100 * spread.median)} % [{number(100 * spread.lo)}–{number(100 * spread.hi)}]"


def forecast_table(found: Forecast) -> Table:
    """Give the figures as a table: a row for each step and variant."""
    table = FittingTable(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("step", "variant"):
        table.add_column(heading, overflow="fold")
    for heading in ("requests", *HEADINGS.values()):
        table.add_column(heading, justify="right", overflow="fold")
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


def chance_text(probability: float) -> str:
    """Write a probability that rests on a few hundred runs; a dash where none of them tells it."""
    if math.isnan(probability):
        return "–"
    # Never "100 %": as many runs as there were cannot show a probability of one.
    if probability > 0.995:
        return "> 99 %"
    return "< 1 %" if probability < 0.005 else f"{probability:.0%}".replace("%", " %")
