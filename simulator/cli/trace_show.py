"""What ``tailcast trace show`` prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.figures import ALL, ANSWERED
from simulator.fitting_table import FittingTable
from simulator.quantiles import FloatArray
from simulator.summary import LEVELS, MEASURES, GroupSummary, LatencySummary, TraceSummary, latencies_ms
from simulator.terminal import console, histogram, number, timeline, with_interval
from simulator.trace import Trace

_COLUMNS: Final = 60
_BESIDE: Final = 38
"""Characters of the labels beside a drawing."""
_LEAST: Final = 8
"""Characters of the narrowest drawing."""
_MEANING: Final = {
    "client_ms": "as the caller saw it",
    "execution_ms": "INIT and handler",
    "duration_ms": "handler, as Lambda reports it",
    "init_ms": "INIT",
    "inference_ms": "the model call",
    "ttft_ms": "first token",
}


def print_summary(name: str, trace: Trace, summary: TraceSummary) -> None:
    """Print everything about ``trace`` to standard output."""
    out = console()
    _print_head(out, name, trace, summary)
    if summary.measure is not None:
        out.print(_latency_table(summary))
        everything = summary.groups[ALL]
        if set(everything.measures) - {summary.measure}:
            out.print(_measures_table(everything, summary.measure))
        for line in _warnings(summary):
            out.print(Text(f"! {line}", style="yellow"))
        _print_histogram(out, trace, summary.measure)
    _print_timeline(out, trace, summary)


def _print_head(out: Console, name: str, trace: Trace, summary: TraceSummary) -> None:
    group = summary.groups[ALL]
    out.print(Text(name, style="bold"))
    lines: list[tuple[str, Text | str]] = []
    metadata = trace.metadata
    said = [metadata.source, metadata.function, metadata.region]
    lines.append(("recorded", ", ".join(each for each in said if each) or "unknown source"))
    if metadata.recorded_at:
        lines.append(("from", metadata.recorded_at))
    for label, mapping in (("models", metadata.models), ("versions", metadata.versions), ("notes", metadata.notes)):
        if mapping:
            lines.append((label, "; ".join(f"{key}: {value}" for key, value in mapping.items())))
    load = f"{group.requests:,} in {number(summary.duration_s)} s"
    if math.isfinite(summary.rate_rps):
        load += f", {number(summary.rate_rps)}/s, busiest second {summary.busiest_second:,}"
    if math.isfinite(summary.interarrival_cv):
        load += f", interarrival CV {summary.interarrival_cv:.2f} (Poisson: 1)"
    lines.append(("requests", load))
    lines.append(("ended", ", ".join(f"{count:,} {status}" for status, count in group.statuses.items())))
    if group.cold.samples:
        cold = Text(f"{round(group.cold.value * group.cold.samples):,} of {group.cold.samples:,}: ")
        cold.append_text(with_interval(group.cold, 100.0, " %"))
        if group.environments:
            cold.append(f", {group.environments:,} environments")
        lines.append(("cold", cold))
    else:
        lines.append(("cold", "not recorded"))
    if group.tokens:
        lines.append(("tokens, mean", ", ".join(f"{key[:-7]} {number(value)}" for key, value in group.tokens.items())))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, text in lines:
        table.add_row(label, text)
    out.print(table)


def _latency_table(summary: TraceSummary) -> Table:
    title = f"{summary.measure}: {_MEANING[str(summary.measure)]} (ms, 95 % intervals)"
    table = _figures_table(title, "requests of")
    for name, group in summary.groups.items():
        for start, latency in group.latency.items():
            if latency.requests == group.latency[ALL].requests and start != ALL:
                continue  # nothing but warm, or nothing but cold: the row above said it
            label = name if start == ALL else f"  {start}"
            _add_figures(table, label, latency)
    return table


def _measures_table(group: GroupSummary, main: str) -> Table:
    table = _figures_table("What else was timed (ms)", "measure")
    for name, latency in group.measures.items():
        if name != main:
            _add_figures(table, name, latency)
    return table


def _figures_table(title: str, first: str) -> Table:
    table = FittingTable(title=title, title_justify="left", title_style="bold")
    table.add_column(first, no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for name in LEVELS:
        table.add_column(name.removesuffix("_ms"), justify="right", no_wrap=True)
    table.add_column("max", justify="right", no_wrap=True)
    return table


def _add_figures(table: Table, label: str, latency: LatencySummary) -> None:
    quantiles = [with_interval(estimate) for estimate in latency.quantiles.values()]
    table.add_row(label, f"{latency.requests:,}", *quantiles, number(latency.max_ms))


def _warnings(summary: TraceSummary) -> list[str]:
    group = summary.groups[ALL]
    found = []
    timed = group.latency[ALL].requests
    if timed < group.requests:
        found.append(f"{timed:,} of {group.requests:,} requests were answered and have a {summary.measure}")
    needs = {name: estimate.needed for name, estimate in group.latency[ALL].quantiles.items() if estimate.refused}
    if needs:
        told = ", ".join(f"{name.removesuffix('_ms')} from {needed:,}" for name, needed in needs.items())
        found.append(f"too few requests for every interval: {told} on")
    if group.correlated:
        found.append(
            f"successive latencies are alike (rank correlation {group.autocorrelation:.2f}): the intervals, which take "
            "requests as independent, are too narrow"
        )
    return found


def _print_histogram(out: Console, trace: Trace, measure: str) -> None:
    frame = trace.frame
    cold = latencies_ms(frame.filter(pl.col("cold")), measure)
    if cold.size:
        warm = latencies_ms(frame.filter(pl.col("cold").not_() | pl.col("cold").is_null()), measure)
        groups: Mapping[str, FloatArray] = {"warm": warm, "cold": cold}
    else:
        groups = {ALL: latencies_ms(frame, measure)}
    values = np.concatenate(list(groups.values()))
    if values.size < 2:
        return
    legend = " (█ warm, ▒ cold)" if len(groups) > 1 else ""
    out.print(Text(f"How {measure} is spread{legend}", style="bold"))
    marks = {name.removesuffix("_ms"): float(np.quantile(values, level)) for name, level in LEVELS.items()}
    out.print(histogram(groups, marks, width=min(60, max(_LEAST, out.width - _BESIDE))))


def _print_timeline(out: Console, trace: Trace, summary: TraceSummary) -> None:
    if not trace.duration_s > 0:
        return
    columns = min(_COLUMNS, max(_LEAST, len(trace) // 2), max(_LEAST, out.width - _BESIDE))
    start_s = float(trace.frame["arrival_s"][0])
    bucket = ((pl.col("arrival_s") - start_s) / trace.duration_s * columns).floor().clip(0, columns - 1)
    timed = trace.frame.with_columns(bucket.cast(pl.Int64).alias("bucket"))

    def series(rows: pl.DataFrame, value: pl.Expr, fill: float) -> FloatArray:
        drawn = np.full(columns, fill)
        counted = rows.group_by("bucket").agg(value.alias("value")).drop_nulls()
        drawn[counted["bucket"].to_numpy()] = counted["value"].to_numpy()
        return drawn

    rows = [("requests", series(timed, pl.len().cast(pl.Float64), 0.0))]
    if summary.measure is not None:
        answered = timed.filter(pl.col("status").is_in(ANSWERED))
        expression = MEASURES[summary.measure]
        rows.append((f"median {summary.measure}", series(answered, expression.median(), math.nan)))
        rows.append((f"max {summary.measure}", series(answered, expression.max(), math.nan)))
    for label, which in (("cold", pl.col("cold")), ("not ok", pl.col("status") != "ok")):
        found = timed.filter(which)
        if found.height:
            rows.append((label, series(found, pl.len().cast(pl.Float64), 0.0)))
    out.print(Text("Over time", style="bold"))
    out.print(timeline(rows, trace.duration_s))
