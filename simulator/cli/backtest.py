"""``tailcast backtest``: the forecast held against recordings whose end it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from simulator.cli.progress import ready_engine, simulating
from simulator.cli.sources import TraceSource, load
from simulator.fitting_table import FittingTable
from simulator.forecast import DEFAULT_REPLICATIONS
from simulator.holdout import (
    COLD_COUNT,
    MEASURES,
    Backtest,
    BacktestSummary,
    HeldOutFigure,
    backtest,
    latency_label,
    summarise_backtests,
)
from simulator.terminal import console, number


@click.command("backtest")
@click.argument("files", nargs=-1, required=True, type=TraceSource())
@click.option("--split", type=float, default=0.5, show_default=True, help="Share of the requests that is fitted.")
@click.option("--variant", help="Which variant, where a trace holds several.")
@click.option("--measure", type=click.Choice(MEASURES), help="What to forecast.  [default: what the caller saw]")
@click.option("--replications", type=int, default=DEFAULT_REPLICATIONS, show_default=True, help="Simulated runs.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same forecast.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def backtest_command(
    ctx: click.Context,
    /,
    files: tuple[Path | str, ...],
    split: float,
    variant: str | None,
    measure: str | None,
    replications: int,
    seed: int,
    as_json: bool,
) -> None:
    r"""Fit the first part of each trace, forecast the second from its arrivals alone, and look.

    Prints what was observed, the forecast's median and 95 % interval, the error, and whether the observation lies
    inside. With several traces also the mean absolute errors, the mean widths and how many of the intervals held.
    Exits with 1 where a single trace has a figure outside its interval, or less than 90 % of all figures of several
    traces lie inside theirs.

    \b
    Examples:
      tailcast backtest baseline.parquet
      tailcast backtest run-*.parquet --split 0.6 --json
    """
    done: dict[str, Backtest] = {}
    ready_engine()
    with simulating(replications * len(files)) as advance:
        for file in files:
            done[str(file)] = backtest(
                load(file),
                split=split,
                variant=variant,
                measure=measure,
                replications=replications,
                seed=seed,
                progress=advance,
            )
    summary = summarise_backtests(list(done.values()))
    if as_json:
        click.echo(json.dumps(_document(done, summary), indent=2))
    else:
        _print(done, summary)
    least = 1.0 if len(done) == 1 else 0.9
    ctx.exit(0 if summary.inside >= least * summary.checked else 1)


def _document(done: dict[str, Backtest], summary: BacktestSummary) -> dict[str, object]:
    if len(done) == 1:
        ((file, only),) = done.items()
        return {"file": file, **only.to_json()}
    return {
        "traces": [{"file": file, **one.to_json()} for file, one in done.items()],
        "summary": summary.to_json(),
        "n_train": sum(one.n_train for one in done.values()),
        "n_test": sum(one.n_test for one in done.values()),
    }


def _print(done: dict[str, Backtest], summary: BacktestSummary) -> None:
    out = console()
    for file, one in done.items():
        out.print(Text(file, style="bold"))
        out.print(
            f"{one.n_train:,} requests fitted, {one.n_test:,} forecast; latency {latency_label(one.latency)}; "
            f"95 % intervals of {one.replications} runs, seed {one.seed}"
        )
        out.print(_table(one))
        for warning in one.warnings:
            out.print(Text(f"! {warning}", style="yellow"))
    if len(done) > 1:
        out.print(_summary_table(summary))
        out.print(f"{summary.inside} of {summary.checked} figures inside their intervals ({summary.coverage:.1%})")


def _table(one: Backtest) -> Table:
    table = FittingTable(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure")
    for heading in ("observed", "forecast", "95 % interval", "error %", "inside"):
        table.add_column(heading, justify="right")
    for name, figure in one.figures.items():
        table.add_row(_label(name), *_cells(figure))
    return table


def _cells(figure: HeldOutFigure) -> list[Text]:
    error = Text("–") if figure.error_pct is None else Text(f"{figure.error_pct:+.2f}")
    inside = Text("yes", style="green") if figure.inside else Text("NO", style="red")
    span = Text(f"{number(figure.lo)}–{number(figure.hi)}", style="dim")
    return [Text(number(figure.observed)), Text(number(figure.median)), span, error, inside]


def _summary_table(summary: BacktestSummary) -> Table:
    table = FittingTable(title=f"{summary.traces} traces", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure")
    table.add_column("mean absolute error %", justify="right")
    table.add_column("mean width %", justify="right")
    for name, error in summary.mean_abs_error_pct.items():
        table.add_row(_label(name), f"{error:.2f}", number(summary.mean_width_pct.get(name)))
    return table


def _label(name: str) -> str:
    return "cold starts" if name == COLD_COUNT else name.replace("_ms", " ms")
