"""How far the forecast is off, and how often its intervals hold: every public recording at hand, its end held out.

Recordings: ``TAILCAST_SHARED_DATA``, else ``../shared/data`` beside the project. Every ``pacslab_*.csv`` there is
taken, so that the nine further runs of that study need only be put beside the two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from simulator.bursty import fit_arrivals
from simulator.holdout import Backtest, backtest, summarise_backtests
from simulator.importers import import_trace
from simulator.trace import Trace
from tests.bench.report import Figure, write_report

PROJECT = Path(__file__).resolve().parents[2]
TARGETS_PCT = {"p50_ms": 0.3, "p95_ms": 1.1, "p99_ms": 2.3, "cold_count": 19.0}
"""Mean absolute errors of a 35-line replay of eleven pacslab runs, first half → second half."""


def main() -> None:
    folder = Path(os.environ.get("TAILCAST_SHARED_DATA", PROJECT.parent / "shared" / "data"))
    runs = {path.stem: import_trace(path, "pacslab") for path in sorted(folder.glob("pacslab_*.csv"))}
    if not runs:
        print(f"no recordings in {folder}; set TAILCAST_SHARED_DATA")
        return
    halves = {name: backtest(trace) for name, trace in runs.items()}
    _print("first half → second half", halves)
    further = {name: one for run, trace in runs.items() for name, one in _further(run, trace)}
    _print("other splits of the same runs", further)
    models = dict(_models(folder))
    _print("public LLM latencies, half → half", models)
    figures = {**_figures("pacslab halves", halves, TARGETS_PCT), **_figures("other splits", further, {})}
    figures |= _figures("LLM halves", models, {})
    everything = [*halves.values(), *further.values(), *models.values()]
    whole = summarise_backtests(everything)
    figures["everything: inside"] = Figure(100.0 * whole.coverage, f"% of {whole.checked}", 90.0, "higher")
    figures |= _arrivals(folder)
    write_report("accuracy", figures)


def _further(run: str, trace: Trace) -> Iterator[tuple[str, Backtest]]:
    """Yield thirds and quarters, each forecast from the one before."""
    for parts in (3, 4):
        size = len(trace) // parts
        for first in range(parts - 1):
            pair = Trace(trace.frame[first * size : (first + 2) * size], trace.metadata)
            yield f"{run} {first + 1}→{first + 2} of {parts}", backtest(pair)


def _models(folder: Path) -> Iterator[tuple[str, Backtest]]:
    for pattern, kind in (("llmperf_*.csv", "llmperf"), ("llmeter_*.csv", "llmeter")):
        for path in sorted(folder.glob(pattern)):
            trace = import_trace(path, kind)
            # By variant, where the file holds several: prompts, caches, clients.
            for variant in trace.variants() or [None]:
                rows = trace if variant is None else trace.select(pl.col("variant") == variant)
                if len(rows) >= 40:
                    yield f"{path.stem} {variant or ''}".strip(), backtest(rows)
                    if rows.frame["ttft_ms"].count() and rows.frame["client_ms"].count():
                        yield f"{path.stem} {variant or ''} TTFT", backtest(rows, measure="ttft_ms")


def _arrivals(folder: Path) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for path in sorted(folder.glob("azure_llm_*.csv")):
        fit = fit_arrivals(import_trace(path, "azure-llm"))
        for name, check in fit.checks.items():
            print(f"{path.stem}: {fit.kind}, {name} {check.observed:.3g}, fitted {check.lo:.3g}–{check.hi:.3g}")
        found[f"{path.stem}: arrival statistics outside the fitted process"] = Figure(len(fit.failed), "of 4", 0)
    return found


def _figures(title: str, done: dict[str, Backtest], targets: dict[str, float]) -> dict[str, Figure]:
    summary = summarise_backtests(list(done.values()))
    found = {
        f"{title}: {name} mean absolute error": Figure(error, "%", targets.get(name))
        for name, error in summary.mean_abs_error_pct.items()
    }
    widths = {f"{title}: {name} mean width": Figure(width, "%") for name, width in summary.mean_width_pct.items()}
    return {**found, **widths, f"{title}: inside": Figure(100.0 * summary.coverage, f"% of {summary.checked}")}


def _print(title: str, done: dict[str, Backtest]) -> None:
    print(f"-- {title}")
    for name, one in done.items():
        cells = [
            f"{figure} {each.observed:,.0f} in {each.lo:,.0f}–{each.median:,.0f}–{each.hi:,.0f}"
            f"{'' if each.inside else ' OUT'}"
            for figure, each in one.figures.items()
        ]
        print(f"{name}: {one.n_train}→{one.n_test}: {'; '.join(cells)}")
