"""Requests as columns, and the reduction of them to batches of counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from replay.canary.batch import Batch, Key, Tally
from replay.canary.histogram import buckets_of
from replay.canary.plan import COST, ObjectiveSpec
from replay.canary.reference import Reference
from simulator.errors import ParameterError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Requests:
    """Requests that ended, one entry each, all of shape (n,).

    Parameters
    ----------
    step
        Index of the step during which each arrived.
    candidate
        Whether the candidate ran it.
    cold
        Whether the caller waited for an INIT.
    failed
        Ended without an answer: an error or a time-out.
    timed_out, throttled
        Ended by a time-out; refused for capacity or rate.
    latencies_ms
        Column → milliseconds, NaN where not recorded. A time-out has the time until it struck.
    cost_usd
        Variable cost of each request, NaN where not known.
    """

    step: NDArray[np.int64]
    candidate: Bools
    cold: Bools
    failed: Bools
    timed_out: Bools
    throttled: Bools
    latencies_ms: Mapping[str, Floats] = field(default_factory=dict)
    cost_usd: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("candidate", "cold", "failed", "timed_out", "throttled"):
            if len(getattr(self, name)) != len(self.step):
                raise ParameterError(f"requests: {name} has {len(getattr(self, name))} entries, step has {len(self)}")

    def __len__(self) -> int:
        """Give the number of requests."""
        return len(self.step)

    def picked(self, rows: Bools) -> Requests:
        """Give the requests where ``rows``, shape (n,), is true."""
        return Requests(
            self.step[rows],
            self.candidate[rows],
            self.cold[rows],
            self.failed[rows],
            self.timed_out[rows],
            self.throttled[rows],
            {name: values[rows] for name, values in self.latencies_ms.items()},
            None if self.cost_usd is None else self.cost_usd[rows],
        )

    def joined(self, more: Requests) -> Requests:
        """Give these requests and ``more``, which have the same columns."""
        return Requests(
            np.concatenate([self.step, more.step]),
            np.concatenate([self.candidate, more.candidate]),
            np.concatenate([self.cold, more.cold]),
            np.concatenate([self.failed, more.failed]),
            np.concatenate([self.timed_out, more.timed_out]),
            np.concatenate([self.throttled, more.throttled]),
            {name: np.concatenate([values, more.latencies_ms[name]]) for name, values in self.latencies_ms.items()},
            None if self.cost_usd is None or more.cost_usd is None else np.concatenate([self.cost_usd, more.cost_usd]),
        )


def counters(spec: ObjectiveSpec, reference: Reference) -> list[tuple[str, float]]:
    """Name an objective's counters; for a quantile each with the milliseconds that it counts beyond."""
    if not spec.is_quantile:
        return [] if spec.metric == COST else [(spec.metric, math.nan)]
    found = []
    threshold_ms = reference.threshold_ms.get(spec.metric)
    if spec.tolerance is not None and spec.margin is not None and threshold_ms is not None:
        found += [
            (f"{spec.metric}>base", threshold_ms),
            (f"{spec.metric}>tolerance", threshold_ms * (1 + spec.tolerance)),
            (f"{spec.metric}>margin", threshold_ms * (1 + spec.margin)),
        ]
    if spec.max is not None:
        found.append((f"{spec.metric}>max", spec.max))
    return found


def reduce_requests(
    requests: Requests,
    objectives: Sequence[ObjectiveSpec],
    reference: Reference,
    *,
    look: NDArray[np.int64] | None = None,
    looks: int = 1,
    histograms: bool = True,
) -> list[Batch]:
    """Reduce requests to one batch a look.

    Parameters
    ----------
    look
        Look to which each request belongs, shape (n,), 0 ≤ look < ``looks``; None puts all into one.
    histograms
        Whether to keep histograms of the latencies too, for figures and intervals.

    Returns
    -------
    list
        ``looks`` batches.
    """
    if len(requests) == 0:
        return [Batch() for _ in range(looks)]
    at = np.zeros(len(requests), dtype=np.int64) if look is None else look
    # One cell for each (look, step, cold, arm); every counter is then one bincount over the cells.
    steps = int(requests.step.max()) + 1
    cell = ((at * steps + requests.step) * 2 + requests.cold) * 2 + requests.candidate
    size = looks * steps * 4
    totals = np.bincount(cell, minlength=size)
    answered = ~requests.throttled & (~requests.failed | requests.timed_out)
    tables: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    rates = {
        "error_rate": requests.failed,
        "timeout_rate": requests.timed_out,
        "throttle_rate": requests.throttled,
        "cold_share": requests.cold,
    }
    for spec in objectives:
        for name, limit_ms in counters(spec, reference):
            if spec.is_quantile:
                latency = requests.latencies_ms.get(spec.column)
                if latency is None:
                    continue
                # An answer that never came is slower than any limit.
                known = answered & (np.isfinite(latency) | requests.timed_out)
                beyond = known & (requests.timed_out | (latency > limit_ms))
                of = np.bincount(cell[known], minlength=size)
            else:
                beyond, of = rates[name], totals
            tables[name] = (np.bincount(cell[beyond], minlength=size), of)
    sums: dict[str, tuple[Floats, NDArray[np.int64]]] = {}
    if requests.cost_usd is not None and any(spec.metric == COST for spec in objectives):
        priced = np.isfinite(requests.cost_usd)
        capped = np.minimum(requests.cost_usd[priced], reference.cost_cap_usd)
        totals_usd = np.bincount(cell[priced], capped, minlength=size).astype(np.float64)
        sums[COST] = (totals_usd, np.bincount(cell[priced], minlength=size).astype(np.int64))
    found: list[dict[Key, Tally]] = [{} for _ in range(looks)]
    columns = {spec.column for spec in objectives if spec.is_quantile} if histograms else set()
    plain = {name: (table[0].tolist(), table[1].tolist()) for name, table in tables.items()}
    for index in np.flatnonzero(totals).tolist():
        rest, candidate = divmod(index, 2)
        rest, cold = divmod(rest, 2)
        which, step = divmod(rest, steps)
        kept = {
            column: buckets_of(values[(cell == index) & answered & np.isfinite(values)])
            for column, values in requests.latencies_ms.items()
            if column in columns
        }
        found[which][Key(step, bool(cold), bool(candidate))] = Tally(
            int(totals[index]),
            {name: (x[index], n[index]) for name, (x, n) in plain.items()},
            {name: (float(total[index]), int(n[index])) for name, (total, n) in sums.items()},
            kept,
        )
    return [Batch(tallies) for tallies in found]
