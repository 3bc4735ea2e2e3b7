"""How far the forecast is off, and how often its intervals hold: every public recording at hand, its end held out.

Beside it stands a plain replay of the recorded requests, on every pacslab split and on synthetic runs; on the latter
also somebody who knows the laws, whose error is chance alone.

Recordings: ``TAILCAST_SHARED_DATA``, else ``../shared/data`` beside the project. Every ``pacslab_*.csv`` there is
taken, so that the nine further runs of that study need only be put beside the two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from simulator.bursty import fit_arrivals
from simulator.holdout import COLD_COUNT, Backtest, backtest, summarise_backtests
from simulator.importers import import_trace
from simulator.trace import Trace
from tests.bench._replay_peer import replay_peer
from tests.bench._synthetic_runs import synthetic_run
from tests.bench.report import Figure, write_report

SYNTHETIC_RUNS = 24
KNOWN_RUNS = 60
PROJECT = Path(__file__).resolve().parents[2]
TARGETS_PCT = {"p50_ms": 0.3, "p95_ms": 1.1, "p99_ms": 2.3, "cold_count": 19.0}
"""Mean absolute errors of a 35-line replay of eleven pacslab runs, first half → second half."""


Errors = dict[str, list[float]]
"""Figure → absolute errors in percent."""


def main() -> None:
    folder = Path(os.environ.get("TAILCAST_SHARED_DATA", PROJECT.parent / "shared" / "data"))
    runs = {path.stem: import_trace(path, "pacslab") for path in sorted(folder.glob("pacslab_*.csv"))}
    figures: dict[str, Figure] = {}
    everything: list[Backtest] = []
    for title, pairs, targets in (
        ("pacslab halves", dict(_halves(runs)), TARGETS_PCT),
        ("other splits", {name: one for run, trace in runs.items() for name, one in _further(run, trace)}, {}),
    ):
        done = {name: _held_out(*pair) for name, pair in pairs.items()}
        _print(title, done)
        everything += done.values()
        figures |= _figures(title, done, targets) | _peer(title, pairs, done)
    figures |= _synthetic(everything)
    models = dict(_models(folder))
    _print("public LLM latencies, half → half", models)
    everything += models.values()
    figures |= _figures("LLM halves", models, {})
    whole = summarise_backtests(everything)
    figures["everything: inside"] = Figure(100.0 * whole.coverage, f"% of {whole.checked}", 90.0, "higher")
    figures |= _arrivals(folder)
    write_report("accuracy", figures)


def _halves(runs: dict[str, Trace]) -> Iterator[tuple[str, tuple[Trace, Trace]]]:
    for name, trace in runs.items():
        yield name, _cut(trace, 0, round(len(trace) * 0.5), len(trace))


def _further(run: str, trace: Trace) -> Iterator[tuple[str, tuple[Trace, Trace]]]:
    """Yield thirds, quarters and fifths, each with the one before, and the rest after a part of the beginning."""
    for parts in (3, 4, 5):
        size = len(trace) // parts
        for first in range(parts - 1):
            yield (
                f"{run} {first + 1}→{first + 2} of {parts}",
                _cut(trace, first * size, (first + 1) * size, (first + 2) * size),
            )
    for share in (0.3, 0.4, 0.6, 0.7):
        yield f"{run} {share:.0%}→rest", _cut(trace, 0, round(share * len(trace)), len(trace))


def _cut(trace: Trace, first: int, middle: int, end: int) -> tuple[Trace, Trace]:
    return Trace(trace.frame[first:middle], trace.metadata), Trace(trace.frame[middle:end], trace.metadata)


def _held_out(train: Trace, test: Trace) -> Backtest:
    both = Trace(pl.concat([train.frame, test.frame]), train.metadata)
    return backtest(both, split=len(train) / len(both))


def _peer(title: str, pairs: dict[str, tuple[Trace, Trace]], done: dict[str, Backtest]) -> dict[str, Figure]:
    """Forecast the same with the plain replay."""
    errors: Errors = {}
    for name, pair in pairs.items():
        _note(errors, replay_peer(*pair), {key: one.observed for key, one in done[name].figures.items()})
    return {
        f"{title}: {name} mean absolute error of the plain replay": Figure(_mean(found), "%")
        for name, found in errors.items()
    }


def _synthetic(everything: list[Backtest]) -> dict[str, Figure]:
    """Forecast runs whose laws are known, beside the plain replay and somebody who knows them."""
    ours: dict[str, Backtest] = {}
    errors: dict[str, Errors] = {"plain replay": {}, "known laws": {}}
    for seed in range(SYNTHETIC_RUNS):
        world = synthetic_run(seed)
        happened = world.draw(np.random.default_rng([seed, 2]))
        middle = len(happened) // 2
        train, test = _cut(happened, 0, middle, len(happened))
        name = f"synthetic {seed}"
        ours[name] = _held_out(train, test)
        observed = {key: one.observed for key, one in ours[name].figures.items()}
        _note(errors["plain replay"], replay_peer(train, test), observed)
        known = [
            _observed(_cut(world.draw(np.random.default_rng([seed, 3, again])), 0, middle, len(happened))[1])
            for again in range(KNOWN_RUNS)
        ]
        _note(errors["known laws"], {key: float(np.median([one[key] for one in known])) for key in observed}, observed)
    _print("synthetic runs, half → half", ours)
    everything += ours.values()
    found = _figures("synthetic", ours, {})
    for who, by_name in errors.items():
        found |= {
            f"synthetic: {name} mean absolute error of {who}": Figure(_mean(e), "%") for name, e in by_name.items()
        }
    return found


def _observed(test: Trace) -> dict[str, float]:
    p50, p95, p99 = np.quantile(test.frame["client_ms"].to_numpy(), [0.5, 0.95, 0.99]).tolist()
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, COLD_COUNT: float(test.frame["cold"].sum())}


def _note(errors: Errors, forecast: dict[str, float], observed: dict[str, float]) -> None:
    for name, value in observed.items():
        if value:
            errors.setdefault(name, []).append(100.0 * abs(forecast[name] / value - 1.0))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


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
