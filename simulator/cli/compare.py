"""``tailcast compare``: two traces side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from simulator.cli.forecast_show import chance_text
from simulator.cli.sources import TraceSource, load
from simulator.cli.trace_commands import of_variant
from simulator.compare_traces import Contrast, Side, TraceContrast, contrast
from simulator.cost import ARCHITECTURES, load_prices
from simulator.fitting_table import FittingTable
from simulator.summary import MEASURES
from simulator.terminal import console, number

_FILE = click.Path(path_type=Path)
_TRACE = TraceSource()
_SCALES: Final = {"cold_share": 100.0}
_LABELS: Final = {"cold_share": "cold %", "billed_ms": "billed ms", "cost_per_1k_usd": "USD / 1,000"}


@click.command("compare")
@click.argument("a", type=_TRACE)
@click.argument("b", type=_TRACE)
@click.option("--variant-a", help="Only these requests of A.")
@click.option("--variant-b", help="Only these requests of B.")
@click.option("--measure", type=click.Choice(list(MEASURES)), help="Which latency.  [default: the first in both]")
@click.option("--prices", type=_FILE, help="TOML with prices of your own, laid over the shipped ones.")
@click.option("--architecture", type=click.Choice(list(ARCHITECTURES)), default=ARCHITECTURES[0], show_default=True)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draws behind the intervals."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare_command(a: Path | str, b: Path | str, **options: Any) -> None:
    r"""Hold two traces side by side: quantiles, cold share, billed time and cost.

    Each figure stands with its 95 % interval, each difference (B − A) too, and with the chance that B is lower. What a
    small sample cannot carry is marked and said.

    \b
    Example:
      tailcast compare baseline.parquet optimized.parquet
    """
    found = contrast(
        of_variant(load(a), options["variant_a"], str(a)),
        of_variant(load(b), options["variant_b"], str(b)),
        measure=options["measure"],
        prices=load_prices(options["prices"]),
        architecture=options["architecture"],
        seed=options["seed"],
    )
    if options["as_json"]:
        click.echo(json.dumps({"a": str(a), "b": str(b), **found.to_json()}, indent=2))
        return
    _print(found, str(a), str(b))


def _print(found: TraceContrast, a: str, b: str) -> None:
    out = console()
    out.print(Text(f"A {a}\nB {b}\n{found.measure}; 95 % intervals; the chance that B is lower", style="bold"))
    for name, figures in found.groups.items():
        first = next(iter(figures.values()))
        title = f"{name}: {first.a.samples:,} and {first.b.samples:,} requests"
        out.print(_table(title, {key.replace("_ms", " ms"): one for key, one in figures.items()}))
    if found.others:
        out.print(_table("per request", {_LABELS[key]: one for key, one in found.others.items()}, _scales(found)))
    if any(not one.carried for figures in found.groups.values() for one in figures.values()):
        out.print(Text("* extrapolated: the sample alone cannot bound it", style="dim"))
    for note in found.notes:
        out.print(Text(f"! {note}", style="yellow"))


def _scales(found: TraceContrast) -> dict[str, float]:
    return {_LABELS[key]: _SCALES.get(key, 1.0) for key in found.others}


def _table(title: str, rows: dict[str, Contrast], scales: dict[str, float] | None = None) -> Table:
    table = FittingTable(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True, min_width=12)
    for heading in ("A", "B", "B − A", "B is lower"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, one in rows.items():
        scale = (scales or {}).get(name, 1.0)
        chance = "–" if one.chance_b_better is None else chance_text(one.chance_b_better)
        table.add_row(name, _side(one.a, scale), _side(one.b, scale), _difference(one, scale), chance)
    return table


def _side(side: Side, scale: float) -> Text:
    text = Text(number(side.observed * scale))
    if side.lo is not None and side.hi is not None:
        text.append(f" [{number(side.lo * scale)}–{number(side.hi * scale)}]", style="dim")
    if side.needed is not None:
        text.append("*", style="yellow")
    return text


def _difference(one: Contrast, scale: float) -> Text:
    text = Text(number(one.difference * scale))
    if one.lo is not None and one.hi is not None:
        text.append(f" [{number(one.lo * scale)}–{number(one.hi * scale)}]", style="dim")
    return text
