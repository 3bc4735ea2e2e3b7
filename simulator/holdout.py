"""Backtest: a trace's first part is fitted, its second part forecast from its arrivals alone and then looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from simulator.arrivals import ReplayedArrivals, replay
from simulator.errors import ParameterError
from simulator.figures import QUANTILE_METRICS, Latency, observe
from simulator.forecast import DEFAULT_REPLICATIONS, Progress, forecast
from simulator.keep_alive import fit_keep_alive
from simulator.platform import ACCOUNT_CONCURRENCY, BASELINE, KEEP_ALIVE_S, OPTIMIZED, Platform, VersionSettings
from simulator.quantiles import interval
from simulator.service import MIN_WARM_REQUESTS
from simulator.timeline import PlannedStep
from simulator.trace import Trace

_STEP: Final = "held out"
COLD_COUNT: Final = "cold_count"
FIGURES: Final = (*QUANTILE_METRICS, COLD_COUNT)
LONGEST_TIMEOUT_S: Final = 900.0
MEASURES: Final = ("client_ms", "duration_ms", "inference_ms", "ttft_ms")


@dataclass(frozen=True)
class HeldOutFigure:
    """One figure of the second part: observed, and as it was forecast.

    ``error_pct`` is (median − observed) / observed in percent, None where nothing was observed; ``inside`` says whether
    the observation lies in the 95 % interval.
    """

    observed: float
    median: float
    lo: float
    hi: float
    error_pct: float | None
    inside: bool

    @property
    def width_pct(self) -> float | None:
        """Width of the interval in percent of the median."""
        return 100.0 * (self.hi - self.lo) / self.median if self.median else None

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "observed": self.observed,
            "median": self.median,
            "lo": self.lo,
            "hi": self.hi,
            "error_pct": self.error_pct,
            "inside": self.inside,
        }


@dataclass(frozen=True)
class Backtest:
    """A backtest of one trace: figures by name (:data:`FIGURES`, those that were recorded)."""

    n_train: int
    n_test: int
    figures: Mapping[str, HeldOutFigure]
    latency: str
    """Which latency the quantiles are of."""
    seed: int
    replications: int
    fit: Mapping[str, Any]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON types."""
        return {
            "n_train": self.n_train,
            "n_test": self.n_test,
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "latency": self.latency,
            "seed": self.seed,
            "replications": self.replications,
            "fit": dict(self.fit),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class BacktestSummary:
    """Several backtests together: by figure, and how many of all intervals held."""

    traces: int
    checked: int
    inside: int
    mean_abs_error_pct: Mapping[str, float]
    mean_width_pct: Mapping[str, float]

    @property
    def coverage(self) -> float:
        """Share of the observed figures that lay inside their intervals; NaN without any."""
        return self.inside / self.checked if self.checked else math.nan

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON types."""
        return {
            "traces": self.traces,
            "checked": self.checked,
            "inside": self.inside,
            "coverage": self.coverage if self.checked else None,
            "mean_abs_error_pct": dict(self.mean_abs_error_pct),
            "mean_width_pct": dict(self.mean_width_pct),
        }


def backtest(
    trace: Trace,
    *,
    split: float = 0.5,
    replications: int = DEFAULT_REPLICATIONS,
    seed: int = 0,
    variant: str | None = None,
    measure: str | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Fit the first part of ``trace``, forecast the second from its arrivals alone, and hold the two side by side.

    Parameters
    ----------
    trace
        One variant's recording.
    split
        Share of the requests, in order of arrival, that is fitted; between 0 and 1.
    replications, seed
        As of :func:`~simulator.forecast.forecast`.
    variant
        Which variant, where the trace holds several.
    measure
        What to forecast in place of what the caller saw: one of :data:`MEASURES`.
    progress
        Called after each replication.

    Raises
    ------
    ParameterError, FitError
        A split outside (0, 1) or one that leaves a part too small, a variant or measure that is not there.
    """
    if not 0.0 < split < 1.0:
        raise ParameterError(f"split={split!r} must lie between 0 and 1; 0.5 fits the first half")
    rows = _of_variant(trace, variant)
    rows, measure = _of_measure(rows, measure)
    n_train = round(len(rows) * split)
    n_test = len(rows) - n_train
    if min(n_train, n_test) < MIN_WARM_REQUESTS:
        raise ParameterError(
            f"split={split:g} of {len(rows)} requests leaves {n_train} to fit and {n_test} to forecast; "
            f"each needs {MIN_WARM_REQUESTS}"
        )
    train, test = Trace(rows.frame[:n_train], rows.metadata), Trace(rows.frame[n_train:], rows.metadata)
    keep_alive = fit_keep_alive(train)
    found = forecast(
        train,
        train,
        [PlannedStep(_STEP, 0.0, replay(test))],
        _platform(train, test),
        replications=replications,
        seed=seed,
        history=[PlannedStep("fitted", 0.0, _until(train, float(test.frame["arrival_s"][0])))],
        keep_alive=keep_alive,
        progress=progress,
    )
    observed = {figure.metric: figure for figure in observe(test, step=_STEP, latency=found.latency)}
    figures: dict[str, HeldOutFigure] = {}
    for metric in QUANTILE_METRICS:
        value = observed[metric].estimate
        if value is not None:
            figures[metric] = _held_out(value, found.samples[_STEP, "all", metric])
    known = test.frame["cold"].drop_nulls()
    if len(known):
        # What is not known to be a start of either kind is left out on both sides.
        share = found.samples[_STEP, "all", "cold_share"]
        figures[COLD_COUNT] = _held_out(float(known.sum()), np.round(share * len(known)))
    fit = dict(found.fits[BASELINE])
    fit["keep_alive"] = {"p50_s": KEEP_ALIVE_S, "fitted": False} if keep_alive is None else keep_alive.summary()
    return Backtest(
        n_train=n_train,
        n_test=n_test,
        figures=figures,
        latency=measure or found.latency,
        seed=seed,
        replications=replications,
        fit=fit,
        warnings=tuple(_warnings(found.warnings, starts_known=COLD_COUNT in figures)),
    )


def summarise_backtests(done: Sequence[Backtest]) -> BacktestSummary:
    """Give mean absolute errors, mean widths and coverage over several backtests."""
    errors: dict[str, list[float]] = {}
    widths: dict[str, list[float]] = {}
    verdicts: list[bool] = []
    for one in done:
        for name, figure in one.figures.items():
            verdicts.append(figure.inside)
            if figure.error_pct is not None:
                errors.setdefault(name, []).append(abs(figure.error_pct))
            if figure.width_pct is not None:
                widths.setdefault(name, []).append(figure.width_pct)
    return BacktestSummary(
        traces=len(done),
        checked=len(verdicts),
        inside=sum(verdicts),
        mean_abs_error_pct={name: math.fsum(values) / len(values) for name, values in errors.items()},
        mean_width_pct={name: math.fsum(values) / len(values) for name, values in widths.items()},
    )


def _warnings(warnings: Sequence[str], *, starts_known: bool) -> list[str]:
    """Keep what concerns this trace: both variants of the forecast are it, and no starts are simulated unasked."""
    ours = [text.removeprefix(f"{BASELINE}: ") for text in warnings if not text.startswith(f"{OPTIMIZED}: ")]
    return ours if starts_known else [text for text in ours if "cold start" not in text]


def _held_out(observed: float, samples: np.ndarray[Any, np.dtype[np.float64]]) -> HeldOutFigure:
    lo, hi = interval(samples)
    median = float(np.nanmedian(samples))
    error = 100.0 * (median - observed) / observed if observed else None
    return HeldOutFigure(observed, median, lo, hi, error, lo <= observed <= hi)


def _of_variant(trace: Trace, variant: str | None) -> Trace:
    found = trace.variants()
    if variant is None:
        if len(found) > 1:
            raise ParameterError(f"the trace holds the variants {', '.join(found)}; say which with --variant")
        return trace
    if variant not in found:
        raise ParameterError(f"the trace has no variant {variant!r}; it has: {', '.join(found) or 'none named'}")
    return trace.select(pl.col("variant") == variant)


def _of_measure(trace: Trace, measure: str | None) -> tuple[Trace, str | None]:
    """Put ``measure`` in the place of what the caller saw; without one, a trace of TTFT alone is one of TTFT."""
    if measure is None:
        recorded = [name for name in MEASURES if trace.frame[name].is_not_null().any()]
        if not recorded or recorded[0] in ("client_ms", "duration_ms"):
            return trace, None
        measure = recorded[0]
    if measure not in MEASURES:
        raise ParameterError(f"measure {measure!r} is not one of {', '.join(MEASURES)}")
    if trace.frame[measure].is_null().all():
        raise ParameterError(f"measure {measure!r} is not recorded in this trace")
    if measure == "client_ms":
        return trace, measure
    # INIT and handler are parts of the whole request, not of this part of it.
    nothing = [pl.lit(None, dtype=pl.Float64).alias(name) for name in ("duration_ms", "init_ms")]
    return replace(trace, frame=trace.frame.with_columns(pl.col(measure).alias("client_ms"), *nothing)), measure


def _until(train: Trace, end_s: float) -> ReplayedArrivals:
    """Replay the first part up to the moment at which the second begins."""
    arrival_s = train.frame["arrival_s"].to_numpy()
    return ReplayedArrivals(arrival_s - arrival_s[0], max(end_s - float(arrival_s[0]), 1e-6))


def _platform(train: Trace, test: Trace) -> Platform:
    """Give a platform that does nothing to a request but start environments: the recording went through the real one.

    A recording that does not say what was cold is one of a service without environments: there all of them are ready.
    """
    requests = len(train) + len(test)
    provisioned = _provisioned(train)
    if train.frame["cold"].is_null().all():
        provisioned = requests
    settings = VersionSettings(timeout_s=LONGEST_TIMEOUT_S)
    return Platform(
        versions={BASELINE: replace(settings, provisioned=provisioned), OPTIMIZED: settings},
        gateway_timeout_s=2.0 * LONGEST_TIMEOUT_S,
        account_concurrency=max(ACCOUNT_CONCURRENCY, requests + 1),
    )


def _provisioned(train: Trace) -> int:
    ready = train.frame.filter(train.frame["provisioned"].fill_null(value=False))
    return int(ready["environment_id"].drop_nulls().n_unique())


def latency_label(latency: Latency | str) -> str:
    """Say in words what the quantiles are of."""
    return {"client_ms": "as the caller saw it", "execution_ms": "INIT and handler"}.get(latency, latency)
