"""Other deciders on the same traffic, for comparison: what teams use today.

``repeated z-test``    one-sided two-proportion tests on all data so far, at every look, as if it were the only one
``Mann-Whitney``       the judge of Spinnaker's Kayenta: Mann-Whitney confidence interval of the Hodges–Lehmann shift
                       over points of one minute, confidence 0.98, tolerance 0.25 of the shift, every ten minutes
``threshold alarm``    CodeDeploy with CloudWatch alarms: a figure over a fixed multiple of what it was, in two of three
                       minutes

All of them watch errors and the p99, at the first step's weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.canary.reference import Reference
from replay.canary.rehearse.scenario import Scenario
from replay.canary.rehearse.world import EPOCH_S, Traffic

Floats = NDArray[np.float64]

_ALPHA: Final = 0.01
_Z_HALF: Final = 2.5758
"""Quantile of the normal law at 1 − α / 2: two figures share α = 1 % one-sidedly."""
_Z_KAYENTA: Final = 2.3263
"""Two-sided 0.98."""
_FEWEST: Final = 30
_MINUTE_S: Final = 60.0


@dataclass(frozen=True)
class Held:
    """Traffic held at one weight, as a peer sees it; arrays of shape (n,), by the time at which a request ended."""

    ended_s: Floats
    candidate: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    latency_ms: Floats
    threshold_ms: float
    base_error_rate: float


def held(scenario: Scenario, reference: Reference, *, weight: float, duration_s: float, seed: int) -> Held:
    """Draw the traffic that a rehearsal with this seed draws, and hold it at one weight."""
    traffic = Traffic(scenario, seed)
    requests, arrival = traffic.between(EPOCH_S, EPOCH_S + duration_s, weight, 0, EPOCH_S)
    latency = requests.latencies_ms["execution_ms"]
    ended = arrival + latency / 1000 - EPOCH_S
    order = np.argsort(ended, kind="stable")
    threshold = next(iter(reference.threshold_ms.values()))
    return Held(
        ended[order],
        requests.candidate[order],
        requests.failed[order],
        latency[order],
        threshold,
        reference.rates["error_rate"],
    )


def repeated_z_test(data: Held, *, look_every_s: float, duration_s: float) -> float:
    """Give when it rolls back, in seconds; infinite where it does not."""
    looks = np.arange(look_every_s, duration_s + 1, look_every_s)
    upto = np.searchsorted(data.ended_s, looks)
    slow = data.latency_ms > data.threshold_ms
    found = math.inf
    for events in (data.failed, slow):
        n_c = np.concatenate([[0], np.cumsum(data.candidate)])[upto]
        x_c = np.concatenate([[0], np.cumsum(data.candidate & events)])[upto]
        n_b = upto - n_c
        x_b = np.concatenate([[0], np.cumsum(~data.candidate & events)])[upto]
        with np.errstate(divide="ignore", invalid="ignore"):
            pooled = (x_c + x_b) / (n_c + n_b)
            error = np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_b))
            z = (x_c / n_c - x_b / n_b) / error
        over = np.flatnonzero((n_c >= _FEWEST) & (z > _Z_HALF))
        if over.size:
            found = min(found, float(looks[over[0]]))
    return found


def mann_whitney(data: Held, *, duration_s: float, every_s: float = 600.0) -> float:
    """Give when Kayenta's judge fails the canary, in seconds; infinite where it does not."""
    series = _minutes(data, duration_s)
    for minute in range(int(every_s // _MINUTE_S), int(duration_s // _MINUTE_S) + 1, int(every_s // _MINUTE_S)):
        for candidate, baseline in series:
            if _is_high(candidate[:minute], baseline[:minute]):
                return minute * _MINUTE_S
    return math.inf


def threshold_alarm(data: Held, *, duration_s: float, multiple: float) -> float:
    """Give when an alarm fires, in seconds: a figure over ``multiple`` × the known one in two of three minutes."""
    (errors, _), (p99, _) = _minutes(data, duration_s)
    over = (errors > multiple * data.base_error_rate) | (p99 > multiple * data.threshold_ms)
    recent = np.convolve(over, np.ones(3), mode="full")[: len(over)]
    fired = np.flatnonzero(recent >= 2)
    return float((fired[0] + 1) * _MINUTE_S) if fired.size else math.inf


def peers(duration_s: float, look_every_s: float) -> Mapping[str, Callable[[Held], float]]:
    """Give every peer by name."""
    return {
        "repeated z-test": lambda data: repeated_z_test(data, look_every_s=look_every_s, duration_s=duration_s),
        "Mann-Whitney (Kayenta)": lambda data: mann_whitney(data, duration_s=duration_s),
        "alarm at 2 ×": lambda data: threshold_alarm(data, duration_s=duration_s, multiple=2.0),
        "alarm at 5 ×": lambda data: threshold_alarm(data, duration_s=duration_s, multiple=5.0),
    }


def _minutes(data: Held, duration_s: float) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Give error rate and p99 by the minute, each as (candidate, baseline); NaN for a minute without requests."""
    count = int(duration_s // _MINUTE_S)
    minute = (data.ended_s // _MINUTE_S).astype(np.int64)
    rates, tails = [], []
    for mine in (data.candidate, ~data.candidate):
        inside = mine & (minute < count)
        total = np.bincount(minute[inside], minlength=count)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates.append(np.bincount(minute[inside], data.failed[inside], minlength=count) / total)
        tails.append(_p99_by_minute(minute[inside], data.latency_ms[inside], total))
    return (rates[0], rates[1]), (tails[0], tails[1])


def _p99_by_minute(minute: NDArray[np.int64], latency_ms: Floats, total: NDArray[np.int64]) -> Floats:
    order = np.lexsort((latency_ms, minute))
    ends = np.cumsum(total)
    rank = np.ceil(0.99 * total).astype(np.int64)
    found = np.full(len(total), math.nan)
    some = total > 0
    found[some] = latency_ms[order][(ends - total + rank - 1)[some]]
    return found


def _is_high(candidate: Floats, baseline: Floats) -> bool:
    """Kayenta's classification: the interval of the shift lies above its tolerance, a quarter of the shift itself."""
    x, y = candidate[np.isfinite(candidate)], baseline[np.isfinite(baseline)]
    if not x.size or not y.size or np.array_equal(x, y):
        return False
    shifts = np.sort((x[:, None] - y[None, :]).ravel())
    m, n = x.size, y.size
    # Bounds of the shift by the normal approximation to the rank sum (Hollander & Wolfe, section 4.3).
    lower = m * n / 2 - _Z_KAYENTA * math.sqrt(m * n * (m + n + 1) / 12)
    low = shifts[max(math.floor(lower), 0)] if lower >= 1 else shifts[0]
    estimate = float(np.median(shifts))
    return bool(low > 0.25 * abs(estimate))
