"""Two recordings side by side: each figure, the difference with its interval, and the chance that the second is better.

A figure's doubt is that of the law behind the recording, not of another recording: each draw takes one version of each
trace's law (``sample.py``: bootstrap, tail, drift, environments) and reads the figure off it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from simulator.errors import ParameterError
from simulator.figures import ANSWERED, QUANTILE_METRICS
from simulator.quantiles import FloatArray, interval, quantile, samples_to_bound
from simulator.sample import fit_sample
from simulator.service import environments_of
from simulator.summary import MEASURES
from simulator.trace import Trace

if TYPE_CHECKING:
    from simulator.cost import Prices

DRAWS: Final = 800
_POINTS: Final = 2_000
_WEIGHTS_AT_ONCE: Final = 4_000_000
"""Most of a bootstrap's weights that are held at one time: 32 MB."""
_FIRST: Final = ("client_ms", "execution_ms", "duration_ms", "inference_ms", "ttft_ms", "init_ms")
GROUPS: Final[Mapping[str, pl.Expr]] = {
    "all": pl.lit(value=True),
    "warm": ~pl.col("cold").fill_null(value=False),
    "cold": pl.col("cold").fill_null(value=False),
}


@dataclass(frozen=True)
class Side:
    """One figure of one trace: what was observed, and the 95 % interval of the truth behind it.

    ``needed`` is how many samples would settle it, None where these do; where too few are there to extrapolate from,
    there is no interval.
    """

    observed: float
    lo: float | None
    hi: float | None
    samples: int
    needed: int | None

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "observed": self.observed,
            "lo": self.lo,
            "hi": self.hi,
            "n": self.samples,
            "samples_needed": self.needed,
        }


@dataclass(frozen=True)
class Contrast:
    """One figure of both traces, and what lies between: b − a; lower is better."""

    a: Side
    b: Side
    difference: float
    lo: float | None
    hi: float | None
    chance_b_better: float | None

    @property
    def carried(self) -> bool:
        """Whether both samples are large enough to bound the figure by themselves."""
        return self.a.needed is None and self.b.needed is None

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "difference": {"observed": self.difference, "lo": self.lo, "hi": self.hi},
            "chance_b_better": self.chance_b_better,
            "carried": self.carried,
        }


@dataclass(frozen=True)
class TraceContrast:
    """Everything that two traces show side by side.

    Parameters
    ----------
    measure
        Which latency.
    groups
        ``all``, ``warm``, ``cold`` → quantiles and mean; only what both traces hold.
    others
        ``cold_share``, ``billed_ms``, ``cost_per_1k_usd``: means over requests; only what both traces hold.
    notes
        What the samples cannot carry, one sentence each.
    """

    measure: str
    groups: Mapping[str, Mapping[str, Contrast]] = field(repr=False)
    others: Mapping[str, Contrast] = field(repr=False)
    notes: tuple[str, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON types."""
        return {
            "measure": self.measure,
            "groups": {
                name: {figure: one.to_json() for figure, one in figures.items()}
                for name, figures in self.groups.items()
            },
            **{name: one.to_json() for name, one in self.others.items()},
            "notes": list(self.notes),
            "seed": self.seed,
        }


def contrast(
    a: Trace,
    b: Trace,
    *,
    measure: str | None = None,
    prices: Prices | None = None,
    architecture: str = "x86_64",
    seed: int = 0,
) -> TraceContrast:
    """Hold two traces side by side.

    Parameters
    ----------
    a, b
        One variant each, or everything in them.
    measure
        Which latency (a key of :data:`simulator.summary.MEASURES`); None: the first that both recorded.
    prices, architecture
        For the cost; without prices there is none.
    seed
        Of the draws.

    Raises
    ------
    ParameterError
        A measure that is not recorded in both traces.
    """
    chosen = _measure(a, b, measure)
    tables = [_table(trace, chosen) for trace in (a, b)]
    rngs = [np.random.default_rng([seed, side]) for side in (0, 1)]
    groups: dict[str, dict[str, Contrast]] = {}
    for name, rows in GROUPS.items():
        parts = [table.filter(rows) for table in tables]
        if all(len(part) for part in parts):
            groups[name] = _latency(parts, rngs)
    if groups.keys() >= {"all", "warm"} and all(len(table.filter(GROUPS["cold"])) == 0 for table in tables):
        del groups["warm"]
    others: dict[str, Contrast] = {}
    for name, values in _others((a, b), prices, architecture).items():
        if all(each.size for each in values):
            others[name] = _contrast(values, [_means(each, rng) for each, rng in zip(values, rngs, strict=True)], None)
    return TraceContrast(chosen, groups, others, tuple(_notes(groups["all"])), seed)


def _measure(a: Trace, b: Trace, wanted: str | None) -> str:
    if wanted is not None and wanted not in MEASURES:
        raise ParameterError(f"measure {wanted!r} is not one of {', '.join(MEASURES)}")
    recorded = [name for name in _FIRST if all(len(_table(trace, name)) for trace in (a, b))]
    if wanted is not None and wanted not in recorded:
        raise ParameterError(f"measure {wanted!r} is not recorded in both traces; they share: {', '.join(recorded)}")
    if not recorded:
        raise ParameterError("the traces share no latency that both recorded")
    return wanted or recorded[0]


def _table(trace: Trace, measure: str) -> pl.DataFrame:
    """Give the answered rows with their latency, above 0."""
    timed = trace.frame.with_columns(MEASURES[measure].alias("latency_ms"))
    return timed.filter(pl.col("status").is_in(ANSWERED) & (pl.col("latency_ms") > 0.0))


def _latency(parts: list[pl.DataFrame], rngs: list[np.random.Generator]) -> dict[str, Contrast]:
    values = [part["latency_ms"].to_numpy() for part in parts]
    drawn = [_laws(part, rng) for part, rng in zip(parts, rngs, strict=True)]
    found = {
        figure: _contrast(values, [each[figure] for each in drawn], level) for figure, level in QUANTILE_METRICS.items()
    }
    # A mean needs no tail beyond the data, and a law with a heavy one may have none.
    means = [_means(each, rng) for each, rng in zip(values, rngs, strict=True)]
    return {**found, "mean_ms": _contrast(values, means, None)}


def _laws(part: pl.DataFrame, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Draw the law behind the rows again and again, and read the figures off it; shape ``(DRAWS,)`` each."""
    values = part["latency_ms"].to_numpy()
    if values.size < 2:
        return {name: np.full(DRAWS, math.nan) for name in QUANTILE_METRICS}
    time_s = part["arrival_s"].to_numpy()
    fit = fit_sample(values, time_s, environments_of(part))
    prepared = fit.prepare(float(time_s[0]), float(time_s[-1]) + 1e-6)
    uniforms = (np.arange(_POINTS) + 0.5) / _POINTS
    found = {name: np.empty(DRAWS) for name in QUANTILE_METRICS}
    for index in range(DRAWS):
        when_s = rng.uniform(time_s[0], time_s[-1], _POINTS)
        law = prepared.draw(rng)
        drawn, _ = law.at(uniforms, when_s)
        levels = list(QUANTILE_METRICS.values())
        for name, value in zip(QUANTILE_METRICS, np.quantile(drawn, levels), strict=True):
            found[name][index] = value
    if fit.tail is None:
        # Nothing says what lies beyond so few requests: what they do not bound has no interval.
        for name, level in QUANTILE_METRICS.items():
            if values.size < samples_to_bound(level):
                found[name][:] = math.nan
    return found


def _means(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw the mean behind ``values``: a Bayesian bootstrap, with half a request of each kind where they are shares."""
    if set(np.unique(values)) <= {0.0, 1.0}:
        hits = float(values.sum())
        return rng.beta(hits + 0.5, values.size - hits + 0.5, DRAWS)
    if values.size < 2:
        return np.full(DRAWS, math.nan)
    means = np.empty(DRAWS)
    at_once = max(1, _WEIGHTS_AT_ONCE // values.size)
    for first in range(0, DRAWS, at_once):
        weights = rng.standard_exponential((min(at_once, DRAWS - first), values.size))
        means[first : first + at_once] = weights @ values / weights.sum(axis=1)
    return means


def _contrast(values: list[FloatArray], drawn: list[FloatArray], level: float | None) -> Contrast:
    needed = 2 if level is None else max(samples_to_bound(level), samples_to_bound(1.0 - level))
    sides = []
    for each, law in zip(values, drawn, strict=True):
        lo, hi = interval(law)
        known = math.isfinite(lo)
        observed = float(each.mean()) if level is None else quantile(each, level)
        short = needed if each.size < needed else None
        sides.append(Side(observed, lo if known else None, hi if known else None, int(each.size), short))
    apart = drawn[1] - drawn[0]
    lo, hi = interval(apart)
    known = math.isfinite(lo)
    difference = sides[1].observed - sides[0].observed
    if not known:
        return Contrast(sides[0], sides[1], difference, None, None, None)
    # A tie is nobody's.
    chance = float((apart < 0.0).mean() + 0.5 * (apart == 0.0).mean())
    return Contrast(sides[0], sides[1], difference, lo, hi, chance)


def _others(traces: tuple[Trace, Trace], prices: Prices | None, architecture: str) -> dict[str, list[FloatArray]]:
    found: dict[str, list[FloatArray]] = {"cold_share": [], "billed_ms": []}
    for trace in traces:
        found["cold_share"].append(trace.frame["cold"].drop_nulls().cast(pl.Float64).to_numpy())
        found["billed_ms"].append(trace.frame["billed_ms"].drop_nulls().to_numpy())
    if prices is not None:
        # Imported here: the price tables are slow to load.
        from simulator.cost import trace_cost_usd

        found["cost_per_1k_usd"] = []
        for trace in traces:
            usd = trace_cost_usd(trace, prices=prices, architecture=architecture) * 1000.0
            found["cost_per_1k_usd"].append(usd[np.isfinite(usd)])
    return found


def _notes(figures: Mapping[str, Contrast]) -> list[str]:
    """Say what samples of this size can and cannot carry."""
    smallest = min(min(one.a.samples, one.b.samples) for one in figures.values())
    carried = [name for name, one in figures.items() if one.carried and name != "mean_ms"]
    short = [name for name, one in figures.items() if not one.carried]
    notes = []
    if short:
        needs = ", ".join(
            f"{_short(name)} {max(figures[name].a.needed or 0, figures[name].b.needed or 0)}" for name in short
        )
        can = f"carries {', '.join(_short(name) for name in carried)}" if carried else "carries no quantile by itself"
        notes.append(
            f"{smallest} requests in the smaller trace: {can}; "
            f"what it says of the others is extrapolated (needed on each side: {needs})"
        )
    return notes


def _short(name: str) -> str:
    return name.removesuffix("_ms")
