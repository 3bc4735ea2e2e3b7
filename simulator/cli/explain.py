"""``tailcast explain``: where the latency comes from."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from simulator.cli.trace_commands import of_variant
from simulator.explain import Explanation, explain, sentences
from simulator.fitting_table import FittingTable
from simulator.intervals import Estimate
from simulator.terminal import console, number, with_interval
from simulator.trace import read_trace

_LABELS = {"gateway": "gateway", "init": "INIT", "handler_overhead": "handler", "inference": "inference"}


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--variant", help="Only the requests of this variant.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the bootstrap behind the intervals.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def explain_command(file: Path, variant: str | None, seed: int, as_json: bool) -> None:
    r"""Say where the latency of a trace comes from: gateway, INIT, handler or inference.

    For the mean, and for the requests around the p50, p95 and p99: the share of each part, what the figure would be
    had the part taken no time, and which part lifts the tail above the median. Intervals are 95 %.

    \b
    Example:
      tailcast explain baseline.parquet
    """
    explained = explain(of_variant(read_trace(file), variant, str(file)), seed=seed)
    if as_json:
        groups = {name: each.to_json() for name, each in explained.items()}
        click.echo(json.dumps({"file": str(file), "seed": seed, "groups": groups}, indent=2))
        return
    out = console()
    out.print(Text(str(file), style="bold"))
    for name, each in explained.items():
        out.print(_table(name, each))
        for line in sentences(each):
            out.print(Text(line))
        for line in each.notes:
            out.print(Text(f"  {line}", style="dim"))
        if each.unsplit:
            out.print(Text(f"! {each.unsplit:,} answered requests could not be split and are left out", style="yellow"))


def _table(name: str, explanation: Explanation) -> Table:
    title = f"{name}: {explanation.requests:,} requests, {explanation.measure}, shares of the latency"
    table = FittingTable(title=title, title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    for part in explanation.parts:
        table.add_column(_LABELS[part], justify="right", no_wrap=True)
    table.add_row("mean", with_interval(explanation.mean), *(_share(each) for each in explanation.mean_shares.values()))
    for figure, each in explanation.quantiles.items():
        label = figure.removesuffix("_ms")
        table.add_row(label, with_interval(each.latency), *(_share(share) for share in each.shares.values()))
        without = [number(estimate.value, " ms") for estimate in each.without.values()]
        table.add_row("  without it", "", *(Text(text, style="dim") for text in without))
    return table


def _share(estimate: Estimate) -> Text:
    text = Text(f"{estimate.value:.1%}")
    if estimate.low is not None and estimate.high is not None:
        text.append(f" [{estimate.low * 100:.0f}–{estimate.high * 100:.0f}]", style="dim")
    return text
