"""How ``tailcast cost`` prints its report."""

from __future__ import annotations

from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from simulator.cost.monthly import CostReport, SideMonth
from simulator.cost.prices import Prices
from simulator.fitting_table import FittingTable
from simulator.intervals import Estimate
from simulator.objective import Verdict
from simulator.terminal import console, number, with_interval

_ROWS: Final = {
    "lambda_init": "Lambda, INIT",
    "lambda_handler": "Lambda, handler",
    "lambda_requests": "Lambda, requests",
    "gateway": "gateway",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "cache_read_tokens": "tokens from cache",
    "cache_write_tokens": "tokens into cache",
    "response_cache": "response cache",
    "logs_ingested": "logs, taken in",
    "logs_stored": "logs, kept",
}
_STANDING: Final = {
    "provisioned_concurrency": "PC, kept ready",
    "custom_metrics": "custom metrics",
}


def print_report(report: CostReport, prices: Prices, *, budget_usd: float | None, verdict: Verdict | None) -> None:
    """Print both sides beside each other: per 1,000 requests, and a month."""
    out = console()
    sides = [report.first] if report.second is None else [report.first, report.second]
    out.print(
        Text(f"USD; {report.monthly:,.0f} requests a month; prices of {prices.as_of}, {prices.region}", style="bold")
    )
    for one in sides:
        basis = f"{one.side.rows:,} rows, 95 % intervals" if one.side.measured else "numbers given, no interval"
        out.print(Text(f"{one.side.name}: {one.side.model or 'no model'}; {basis}"))
    out.print(_table(report, sides))
    for one in sides:
        out.print(_total(one))
    if report.saved_usd is not None and report.saved_share is not None:
        text = Text("saved a month: ")
        text.append_text(with_interval(report.saved_usd, unit=" USD"))
        text.append(", ")
        text.append_text(with_interval(report.saved_share, 100.0, " %"))
        out.print(text)
    for one in sides:
        if one.break_even is not None and report.machine_usd is not None:
            out.print(_break_even(one, one.break_even, report.machine_usd))
    for one in sides:
        _print_notes(one)
    if verdict is not None and budget_usd is not None:
        words = {"pass": "within", "fail": "over", "inconclusive": "not surely within"}[verdict]
        out.print(
            Text(f"{sides[-1].side.name} is {words} the budget of {number(budget_usd)} USD a month", style="bold")
        )


def _table(report: CostReport, sides: list[SideMonth]) -> Table:
    table = FittingTable(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True, min_width=16)
    for one in sides:
        table.add_column(f"{one.side.name}\nper 1,000", justify="right", no_wrap=True)
        table.add_column("\na month", justify="right", no_wrap=True)
    for part, label in _ROWS.items():
        if all(one.per_request[part].value == 0 for one in sides):
            continue
        cells: list[Text | str] = []
        for one in sides:
            cells += [number(one.per_request[part].value * 1000), number(one.per_request[part].value * report.monthly)]
        table.add_row(label, *cells)
    for part, label in _STANDING.items():
        if any(one.standing[part] for one in sides):
            table.add_row(label, *(cell for one in sides for cell in ("", number(one.standing[part]))))
    table.add_section()
    totals = [(one.per_request["total"].value * 1000, one.month.value) for one in sides]
    table.add_row("all", *(number(usd) for pair in totals for usd in pair), style="bold")
    return table


def _total(one: SideMonth) -> Text:
    text = Text(f"{one.side.name}: ")
    text.append_text(with_interval(one.per_request["total"], 1000.0))
    text.append(" per 1,000, ")
    text.append_text(with_interval(one.month))
    text.append(" a month")
    return text


def _break_even(one: SideMonth, break_even: Estimate, machine_usd: float) -> Text:
    text = Text(f"{one.side.name}: a machine of {number(machine_usd)} USD a month is cheaper from ")
    text.append_text(with_interval(break_even))
    text.append(" requests a month")
    if break_even.value:
        text.append(f" ({number(break_even.value / 730.0)} an hour; whether it can serve them is another question)")
    return text


def _print_notes(one: SideMonth) -> None:
    out = console()
    for note in one.side.notes:
        out.print(Text(f"{one.side.name}: {note}", style="dim"))
    for reason in one.side.unpriced:
        out.print(Text(f"! {one.side.name}: {reason.rows:,} rows left out: {reason.reason}", style="yellow"))
