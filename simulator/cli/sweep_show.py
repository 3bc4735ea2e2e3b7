"""What ``tailcast sweep`` prints: the best rows, and a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from simulator.cli.forecast_show import chance_text
from simulator.fitting_table import FittingTable
from simulator.forecast import metric_name
from simulator.objective import parse_objective
from simulator.sweep.grid import Axis
from simulator.sweep.run import TOTAL_COST
from simulator.sweep.table import HeatMap, Row, figure, heat_map, overall, ranked
from simulator.terminal import console, number

ROWS: Final = 15
_SHARES: Final[Mapping[str, str]] = {
    "cold_share": "cold %",
    "error_rate": "error %",
    "throttled_share": "throttled %",
    "timeout_share": "time-out %",
}
_UNITS: Final[Mapping[str, str]] = {"memory": " MB", "timeout": " s", "keep-alive": " s", "scale": "×"}
_SHADES: Final = " ░▒▓█"
# From the worst to the best, readable on dark and light terminals alike.
_COLOURS: Final = ("#b2182b", "#ef8a62", "#f7d08a", "#a6d96a", "#1a9850")
_CELL: Final = 6


def print_sweep(axes: Sequence[Axis], rows: Sequence[Row], notes: Sequence[str], *, seed: int) -> None:
    """Print what was found to standard output."""
    out, best = console(), ranked(rows)
    replications = rows[0]["replications"]
    out.print(
        Text(
            f"{len(rows):,} scenarios over the same random numbers, {replications} runs each, seed {seed}; "
            "median [95 % interval of a step like this]"
        )
    )
    out.print(_table(axes, best[:ROWS]))
    if len(rows) > ROWS:
        out.print(Text(f"the best {ROWS} of {len(rows):,}; all of them with --json or --out FILE", style="dim"))
    out.print(Text("USD / 1,000: requests, tokens, and provisioned concurrency kept ready meanwhile", style="dim"))
    drawn = heat_map(axes, rows, best[0])
    if drawn is not None:
        out.print()
        for line in _map(drawn):
            out.print(line)
    for note in notes:
        out.print(Text(f"! {note}", style="yellow"))
    verdict = overall(rows)
    if verdict is not None:
        out.print(_conclusion(axes, rows, best[0], verdict))


def _conclusion(axes: Sequence[Axis], rows: Sequence[Row], best: Row, verdict: str) -> Text:
    passing = sum(row["verdict"] == "pass" for row in rows)
    style = {"pass": "green", "fail": "red", "inconclusive": "yellow"}[verdict]
    text = Text(verdict, style=style)
    settings = ", ".join(f"{axis.name} {_value(axis, best)}" for axis in axes if len(axis.values) > 1)
    if verdict == "pass":
        cheapest = f"; the cheapest: {settings}" if settings else ""
        return text.append(f": {passing:,} of {len(rows):,} meet the objectives with 95 % probability{cheapest}")
    return text.append(f": none meets the objectives with 95 % probability; the nearest: {settings or 'the only one'}")


def _columns(rows: Sequence[Row]) -> dict[str, tuple[str, float]]:
    """Give the figures to show: those of the objectives (p99 where there are none), cold starts and cost."""
    wanted = [metric_name(parse_objective(text)) for text in rows[0]["objectives"]] or ["p99_ms"]
    return {
        **{
            metric: (_SHARES[metric], 100.0) if metric in _SHARES else (metric.replace("_ms", " ms"), 1.0)
            for metric in dict.fromkeys([*wanted, "cold_share"])
        },
        TOTAL_COST: ("USD / 1,000", 1.0),
    }


def _table(axes: Sequence[Axis], rows: Sequence[Row]) -> Table:
    table = FittingTable(box=SIMPLE_HEAD, pad_edge=False)
    columns = _columns(rows)
    varying = [axis for axis in axes if len(axis.values) > 1]
    for axis in varying:
        table.add_column(axis.name, justify="right", no_wrap=True)
    table.add_column("requests", justify="right", no_wrap=True)
    for heading, _ in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    judged = rows[0]["verdict"] is not None
    if judged:
        table.add_column("met", justify="right", no_wrap=True)
    for row in rows:
        cells = [Text(_value(axis, row)) for axis in varying]
        cells.append(Text(f"{row['figures']['all']['cold_share']['requests']:,}"))
        cells += [_figure(row, metric, scale) for metric, (_, scale) in columns.items()]
        if judged:
            style = {"pass": "green", "fail": "red", "inconclusive": "yellow"}[row["verdict"]]
            chance = row["probability"]
            cells.append(Text("–" if chance is None else chance_text(chance), style=style))
        table.add_row(*cells)
    return table


def _figure(row: Row, metric: str, scale: float) -> Text:
    value, lo, hi = (figure(row, metric, end=end) for end in ("median", "lo", "hi"))
    if value is None or lo is None or hi is None:
        return Text("–", style="dim")
    return Text(number(value * scale)).append(f" [{number(lo * scale)}–{number(hi * scale)}]", style="dim")


def _value(axis: Axis, row: Row) -> str:
    return _written(axis.name, row["settings"][axis.fields[0]])


def _written(name: str, value: Any) -> str:
    return f"{100 * value:g}%" if name == "weight" else f"{value:g}{_UNITS.get(name, '')}"


def _map(drawn: HeatMap) -> tuple[Text, Table]:
    what = "probability of meeting the objectives, %" if drawn.what == "probability" else "p99, ms"
    where = "".join(f", {name} {_written(name, value)}" for name, value in drawn.fixed.items())
    table = Table.grid(padding=(0, 0))
    title = Text(f"{what}: {drawn.rows.name} down, {drawn.columns.name} across{where}", style="bold")
    table.add_column(justify="right", style="dim", no_wrap=True)
    # As many columns as fit: every other one, every third one where there are more.
    most = max(1, (console().width - 12) // _CELL)
    every = -(-len(drawn.columns.values) // most)
    for _ in drawn.columns.values[::every]:
        table.add_column(justify="right", no_wrap=True)
    heads = [Text(f"{_written(drawn.columns.name, value):>{_CELL}}") for value in drawn.columns.values[::every]]
    table.add_row("", *heads, style="dim")
    known = [value for row in drawn.values for value in row if value is not None]
    low, high = (0.0, 1.0) if drawn.what == "probability" else (min(known, default=0.0), max(known, default=1.0))
    for value, row in zip(drawn.rows.values, drawn.values, strict=True):
        cells = [_cell(drawn.what, each, low, high) for each in row[::every]]
        table.add_row(f"{_written(drawn.rows.name, value)} ", *cells)
    return title, table


def _cell(what: str, value: float | None, low: float, high: float) -> Text:
    """Write one figure on its colour, with a shade beside it that a terminal without colours shows too."""
    if value is None:
        return Text(f"{'–':>{_CELL}}", style="dim")
    share = (value - low) / (high - low) if high > low else 1.0
    good = share if what == "probability" else 1.0 - share
    place = min(int(good * len(_COLOURS)), len(_COLOURS) - 1)
    text = f"{100 * value:.0f}" if what == "probability" else f"{value:,.0f}"
    return Text(f"{_SHADES[place]}{text:>{_CELL - 1}}", style=f"black on {_COLOURS[place]}")
