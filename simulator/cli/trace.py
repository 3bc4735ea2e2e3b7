"""``tailcast trace``: look into recorded traces."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import polars as pl

from simulator.cli.trace_show import print_summary
from simulator.errors import ParameterError
from simulator.summary import MEASURES, summarise
from simulator.trace import Trace, read_trace


@click.group()
def trace() -> None:
    r"""Look into recorded traces.

    A trace is a Parquet file with one row an invocation; docs/traces.md lists its columns.

    \b
    Examples:
      tailcast trace show baseline.parquet
      tailcast trace show baseline.parquet --variant optimized --json
    """


@trace.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--variant", help="Only the requests of this variant.")
@click.option(
    "--measure",
    type=click.Choice(list(MEASURES)),
    help="Which latency to show. Default: the first recorded of client, execution, handler, inference, first token.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(file: Path, variant: str | None, measure: str | None, as_json: bool) -> None:
    r"""Show what a trace holds: figures with intervals, warm and cold, how requests ended, and when.

    The intervals (95 %) come from order statistics and take requests as independent; where successive latencies are
    alike, the output says that they are too narrow. A sample too small for an interval names the size that would do.

    \b
    Examples:
      tailcast trace show runs/last/baseline.parquet
      tailcast trace show recorded.parquet --measure execution_ms
    """
    shown = _of_variant(read_trace(file), variant, file)
    summary = summarise(shown, measure=measure)
    if as_json:
        document = {"file": str(file), "metadata": asdict(shown.metadata), **summary.to_json()}
        click.echo(json.dumps(document, indent=2))
        return
    print_summary(str(file), shown, summary)


def _of_variant(whole: Trace, variant: str | None, file: Path) -> Trace:
    if variant is None:
        return whole
    names = whole.variants()
    if variant not in names:
        raise ParameterError(f"{file}: no variant {variant!r} in it; it has: {', '.join(names) or 'none named'}")
    return whole.select(pl.col("variant") == variant)
