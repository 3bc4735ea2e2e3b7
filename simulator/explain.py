"""Where the latency comes from: each request split into gateway, INIT, handler overhead and inference.

"Without a part" is the figure that the same requests would show had the part taken no time. It is arithmetic on what
was recorded: that shorter requests would also have needed fewer environments is the simulator's business.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.checks import at_least
from simulator.errors import ParameterError
from simulator.figures import ALL
from simulator.intervals import Estimate
from simulator.latency_parts import SplitLatency, split_latency
from simulator.quantiles import CONFIDENCE, FloatArray, interval, samples_to_bound
from simulator.summary import LEVELS, estimate_json
from simulator.trace import Trace

_NEIGHBOURHOOD: Final = 0.05
"""Requests "around" a quantile: those whose rank is nearer than this, and than the quantile is to its end."""
_WORK: Final = 2_000_000
"""Requests that the bootstrap draws in all, at most; with the bounds below it decides the number of replications."""
_REPLICATIONS: Final = (100, 400)
_BATCH: Final = 200_000
"""Requests that the bootstrap holds in memory at once."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class QuantileParts:
    """One quantile, and what the requests around it are made of."""

    latency: Estimate
    requests: int
    """How many requests lie around it."""
    shares: Mapping[str, Estimate]
    """Part → its share of the latency of those requests; the shares sum to 1."""
    without: Mapping[str, Estimate]
    """Part → what the quantile would be had the part taken no time, in milliseconds."""
    excess_ms: Mapping[str, float]
    """Part → by how much its mean around this quantile exceeds that around the median. Empty for the median."""
    mean_ms: Mapping[str, float]
    """Part → its mean around this quantile."""

    @property
    def dominant(self) -> str:
        """The part with the greatest share."""
        return max(self.shares, key=lambda part: self.shares[part].value)

    @property
    def behind(self) -> str | None:
        """The part that does most to lift this quantile above the median; None for the median, or if none does."""
        if not self.excess_ms:
            return None
        part = max(self.excess_ms, key=lambda name: self.excess_ms[name])
        return part if self.excess_ms[part] > 0 else None


@dataclass(frozen=True)
class Explanation:
    """Where the latency of one group of requests comes from."""

    measure: str
    """``client_ms``, or ``execution_ms`` where the caller's side was not recorded."""
    requests: int
    """Requests that could be split."""
    unsplit: int
    """Answered requests that could not: a part, or the whole, was not recorded."""
    parts: tuple[str, ...]
    """Those of :data:`simulator.latency_parts.PARTS` that were recorded."""
    mean: Estimate
    mean_shares: Mapping[str, Estimate]
    quantiles: Mapping[str, QuantileParts]
    inference_of_execution: Estimate
    """Inference's share of the handler's duration as Lambda reports it, INIT apart; over what was measured."""
    cold_share: float
    notes: tuple[str, ...]
    """What was taken for what, where the trace does not say it."""

    def to_json(self) -> dict[str, Any]:
        """Give JSON types; what is unknown is null."""
        figures = {
            name: {
                **estimate_json(each.latency),
                "requests_around": each.requests,
                "shares": _json(each.shares),
                "without_ms": _json(each.without),
                "excess_over_p50_ms": dict(each.excess_ms),
                "dominant": each.dominant,
                "behind": each.behind,
            }
            for name, each in self.quantiles.items()
        }
        dominant = max(self.mean_shares, key=lambda part: self.mean_shares[part].value)
        return {
            "measure": self.measure,
            "requests": self.requests,
            "unsplit": self.unsplit,
            "cold_share": self.cold_share,
            "inference_share_of_execution": estimate_json(self.inference_of_execution),
            "mean_ms": {**estimate_json(self.mean), "shares": _json(self.mean_shares), "dominant": dominant},
            **figures,
            "sentences": sentences(self),
            "notes": list(self.notes),
        }


def explain(trace: Trace, *, seed: int = 1) -> dict[str, Explanation]:
    """Explain the latency of all requests, and of each variant's where there are several.

    Intervals come from a bootstrap over circular blocks of successive requests, since latencies near in time are alike
    (Politis and Romano 1992; blocks of n^(1/3) requests).

    Parameters
    ----------
    trace
        What was recorded.
    seed
        Of the bootstrap.

    Raises
    ------
    ParameterError
        No answered request of the trace can be split into parts, or a negative seed.
    """
    at_least("seed", seed, 0)
    variants = trace.variants()
    groups = {ALL: trace}
    if len(variants) > 1:
        groups |= {name: trace.select(pl.col("variant") == name) for name in variants}
    explained = {}
    for name, group in groups.items():
        split = split_latency(group)
        if split is not None:
            explained[name] = _explained(split, np.random.default_rng(seed))
    if ALL not in explained:
        raise ParameterError(
            "nothing to explain: no answered request of this trace has a duration_ms, or a client_ms with an "
            "inference_ms"
        )
    return explained


def sentences(explanation: Explanation) -> list[str]:
    """Say the findings in words."""
    found = []
    share = explanation.inference_of_execution.value
    if math.isfinite(share):
        found.append(f"Inference is {share:.1%} of what Lambda executes, INIT apart.")
    part = max(explanation.mean_shares, key=lambda name: explanation.mean_shares[name].value)
    found.append(f"In the mean, {_NAMES[part]} is the largest part: {explanation.mean_shares[part].value:.0%}.")
    median = explanation.quantiles["p50_ms"].latency.value
    for name, each in explanation.quantiles.items():
        behind = each.behind
        if behind is None or not each.latency.value > median:
            continue
        lifted = sum(value for value in each.excess_ms.values() if value > 0)
        label, usual_ms = name.removesuffix("_ms"), explanation.quantiles["p50_ms"].mean_ms[behind]
        there_ms = each.mean_ms[behind]
        sentence = (
            f"Behind the {label} ({each.latency.value:,.0f} against a median of {median:,.0f} ms) stands "
            f"{_NAMES[behind]}: {each.excess_ms[behind] / lifted:.0%} of the difference, {there_ms:,.0f} ms there "
            f"against {usual_ms:,.0f} ms around the median"
        )
        # Nobody can leave out the inference; the other parts one can work on.
        if behind != "inference":
            sentence += f"; without it the {label} would be {each.without[behind].value:,.0f} ms"
        found.append(f"{sentence}.")
    return found


_NAMES: Final = {
    "gateway": "the way through network and gateway",
    "init": "the cold start",
    "handler_overhead": "the handler's own work",
    "inference": "the inference",
}


def _explained(split: SplitLatency, rng: np.random.Generator) -> Explanation:
    n = len(split.parts)
    names = split.names
    point = {key: float(values[0]) for key, values in _figures(split.parts[None], names).items()}
    block = max(1, round(n ** (1.0 / 3.0)))
    batches = [_figures(split.parts[rows], names) for rows in _resampled(n, block, rng)]
    drawn = {key: np.concatenate([batch[key] for batch in batches]) for key in point}
    enough = n >= 2 * block

    def estimate(key: tuple[str, ...], level: float | None = None) -> Estimate:
        needed = samples_to_bound(max(level, 1.0 - level)) if level is not None else 2
        if n < needed or not enough:
            return Estimate(point[key], None, None, n, needed)
        low, high = interval(drawn[key], CONFIDENCE)
        return Estimate(point[key], low, high, n)

    quantiles = {}
    for name, level in LEVELS.items():
        quantiles[name] = QuantileParts(
            latency=estimate((name, "latency"), level),
            requests=int(point[name, "requests"]),
            shares={part: estimate((name, "share", part), level) for part in names},
            without={part: estimate((name, "without", part), level) for part in names},
            excess_ms={} if name == "p50_ms" else {part: point[name, "excess", part] for part in names},
            mean_ms={part: point[name, "mean", part] for part in names},
        )
    return Explanation(
        measure=split.measure,
        requests=n,
        unsplit=split.unsplit,
        parts=names,
        mean=estimate(("mean", "latency")),
        mean_shares={part: estimate(("mean", "share", part)) for part in names},
        quantiles=quantiles,
        inference_of_execution=_ratio(split.measured_inference_ms, split.measured_duration_ms, rng),
        cold_share=split.cold_share,
        notes=split.notes,
    )


_Figures = dict[tuple[str, ...], FloatArray]


def _figures(parts: FloatArray, names: tuple[str, ...]) -> _Figures:
    """Compute every figure of several (resampled) sets of requests at once.

    Parameters
    ----------
    parts
        Shape ``(sets, requests, parts)``, milliseconds.
    names
        Of the parts.

    Returns
    -------
    dict
        Name of the figure → its value in each set, shape ``(sets,)``.
    """
    totals = parts.sum(axis=2)
    found: _Figures = {("mean", "latency"): totals.mean(axis=1)}
    shares = _shares(parts.mean(axis=1))
    for index, part in enumerate(names):
        found["mean", "share", part] = shares[:, index]
    ranked = np.take_along_axis(parts, np.argsort(totals, axis=1, kind="stable")[:, :, None], axis=1)
    n = totals.shape[1]
    at_median = ranked[:, _around(0.5, n)].mean(axis=1)
    # The package's quantile (Hyndman and Fan's type 7), of the latency and of it without each part, in one sweep.
    with_and_without = np.concatenate([totals[:, :, None], totals[:, :, None] - parts], axis=2)
    quantiles = np.quantile(with_and_without, list(LEVELS.values()), axis=1)
    for row, (name, level) in enumerate(LEVELS.items()):
        around = ranked[:, _around(level, n)]
        means = around.mean(axis=1)
        shares = _shares(means)
        found[name, "latency"] = quantiles[row, :, 0]
        found[name, "requests"] = np.full(len(parts), float(around.shape[1]))
        for index, part in enumerate(names):
            found[name, "mean", part] = means[:, index]
            found[name, "share", part] = shares[:, index]
            found[name, "without", part] = quantiles[row, :, index + 1]
            found[name, "excess", part] = means[:, index] - at_median[:, index]
    return found


def _shares(means: FloatArray) -> FloatArray:
    """Divide each row by its sum; 0 where nothing took any time."""
    whole = means.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(means, whole, out=np.zeros_like(means), where=whole > 0), dtype=np.float64)


def _around(level: float, n: int) -> slice:
    """Give the ranks around a quantile: at least the two order statistics between which it is interpolated."""
    reach = min(_NEIGHBOURHOOD, level, 1.0 - level) * n
    position = level * (n - 1)
    first = max(0, min(math.floor(position), math.ceil(position - reach)))
    last = min(n - 1, max(math.ceil(position), math.floor(position + reach)))
    return slice(first, last + 1)


def _resampled(n: int, block: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """Draw the bootstrap's sets of rows: circular blocks, in batches of shape ``(sets, n)`` that fit in memory."""
    left = int(np.clip(_WORK // n, *_REPLICATIONS))
    while left:
        sets = min(left, max(1, _BATCH // n))
        starts = rng.integers(0, n, size=(sets, -(-n // block)))
        yield ((starts[:, :, None] + np.arange(block)) % n).reshape(sets, -1)[:, :n]
        left -= sets


def _ratio(part: FloatArray, whole: FloatArray, rng: np.random.Generator) -> Estimate:
    """Estimate ``sum(part) / sum(whole)`` of paired samples, with a bootstrap over pairs."""
    n = part.size
    if n == 0 or not whole.sum() > 0:
        return Estimate(math.nan, None, None, n, 2)
    value = float(part.sum() / whole.sum())
    if n < 2:
        return Estimate(value, None, None, n, 2)
    sums = [np.stack([part[rows].sum(axis=1), whole[rows].sum(axis=1)]) for rows in _resampled(n, 1, rng)]
    drawn_part, drawn_whole = np.concatenate(sums, axis=1)
    low, high = interval(drawn_part[drawn_whole > 0] / drawn_whole[drawn_whole > 0], CONFIDENCE)
    return Estimate(value, low, high, n)


def _json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate_json(each) for name, each in estimates.items()}
