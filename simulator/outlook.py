"""The whole answer of ``tailcast forecast``: the rollout in all and step by step, margins, amplification, verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from simulator.arrivals import poisson
from simulator.figures import ALL, QUANTILE_METRICS
from simulator.fitted import Fitted
from simulator.forecast import MIN_REPLICATIONS, Forecast, chance_json, forecast, metric_name, verdict
from simulator.keep_alive import KeepAliveFit
from simulator.objective import Objective, Verdict
from simulator.parallel import Workers
from simulator.platform import Platform
from simulator.quantiles import FloatArray, interval, samples_to_bound
from simulator.replication import COST_WITH_PROVISIONED, PROVISIONED_COST, WHOLE
from simulator.timeline import PlannedStep
from simulator.trace import Trace

EXTRA_METRICS: Final = (
    "p99.9_ms",
    "error_rate",
    "throttled_share",
    "timeout_share",
    PROVISIONED_COST,
    COST_WITH_PROVISIONED,
)
"""What the answer needs beyond the figures that a forecast and an observation share."""
BURST_FACTOR: Final = 5.0
BURST_S: Final = 60.0
_BURST_REQUESTS: Final = 5_000
_BURST_REPLICATIONS: Final = 100
LIVE: Final = "live"
COST: Final = "cost_per_1k_usd"
_NAMES: Final[Mapping[str, str]] = {
    "cost_usd_per_1000": COST,
    PROVISIONED_COST: "provisioned_per_1k_usd",
    COST_WITH_PROVISIONED: "total_per_1k_usd",
}


@dataclass(frozen=True)
class Spread:
    """One figure over the replications: its median and 95 % interval; None where it cannot be told."""

    median: float | None
    lo: float | None
    hi: float | None

    @classmethod
    def of(cls, samples: FloatArray | None) -> Spread:
        """Sum up the figure's samples."""
        if samples is None or not np.isfinite(samples).any():
            return cls(None, None, None)
        lo, hi = interval(samples)
        return cls(float(np.nanmedian(samples)), lo, hi)

    def to_json(self) -> dict[str, float | None]:
        """Give the fields as JSON types."""
        return {"median": self.median, "lo": self.lo, "hi": self.hi}


@dataclass(frozen=True)
class Judged:
    """One objective: the probability that every step meets it, and that each does."""

    objective: Objective
    probability: float
    by_step: Mapping[str, float]

    @property
    def verdict(self) -> Verdict:
        """Pass from 95 % on, fail up to 5 %, else inconclusive."""
        return verdict(self.probability)

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "objective": str(self.objective),
            "probability": chance_json(self.probability),
            "verdict": self.verdict,
            "steps": {
                label: {"probability": chance_json(chance), "verdict": verdict(chance)}
                for label, chance in self.by_step.items()
            },
        }


@dataclass(frozen=True)
class Outlook:
    """A forecast with everything that is read off it.

    Parameters
    ----------
    forecast
        The figures by step and variant.
    burst
        p99 of a minute under :data:`BURST_FACTOR` (or the asked) times the load over that of the minute before; None
        where it was not asked for.
    burst_factor
        How many times the load.
    timeout_ms
        The earlier of the function's and the gateway's time-out.
    judged
        The objectives.
    settings
        What the figures were asked under, as JSON types.
    """

    forecast: Forecast
    burst: Spread | None
    burst_factor: float
    timeout_ms: float
    judged: tuple[Judged, ...]
    settings: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict | None:
        """The objectives together: fail if one fails, pass if all pass; None without any."""
        verdicts = [one.verdict for one in self.judged]
        if not verdicts:
            return None
        if "fail" in verdicts:
            return "fail"
        return "inconclusive" if "inconclusive" in verdicts else "pass"

    def spread(self, metric: str, variant: str = ALL, step: str = WHOLE) -> Spread:
        """Give one figure of a step, or of all of them."""
        return Spread.of(self.forecast.samples.get((step, variant, metric)))

    def variants(self, step: str = WHOLE) -> list[str]:
        """Name the variants that get traffic in a step."""
        return list(dict.fromkeys(v for label, v, _ in self.forecast.samples if label == step and v != ALL))

    def timeout_margin(self) -> dict[str, Any]:
        """Give time-out ÷ p99.9 of the latency, and the share of requests that hit it."""
        samples = self.forecast.samples[WHOLE, ALL, "p99.9_ms"]
        return {
            **Spread.of(self.timeout_ms / samples).to_json(),
            "timeout_ms": self.timeout_ms,
            "chance": self.spread("timeout_share").to_json(),
        }

    def difference(self) -> dict[str, Any]:
        """Give candidate − baseline of each quantile over the rollout, and the chance that the candidate is lower.

        Both are drawn at the same uniforms (common random numbers), so that luck does not pass for a difference.
        """
        names = self.variants()
        if len(names) < 2:
            return {}
        found: dict[str, Any] = {}
        for metric in (*QUANTILE_METRICS, "cost_usd_per_1000"):
            first, second = (self.forecast.samples[WHOLE, name, metric] for name in names)
            apart = second - first
            known = apart[np.isfinite(apart)]
            chance = float((known < 0.0).mean()) if known.size else None
            found[_NAMES.get(metric, metric)] = {**Spread.of(apart).to_json(), "chance_lower": chance}
        return found

    def samples_needed(self) -> dict[str, Any]:
        """Say how many warm requests of each variant would settle each quantile, and how many there are."""
        found: dict[str, Any] = {}
        for variant, fit in self.forecast.fits.items():
            recorded = int(fit["warm_requests"])
            needed = {metric: samples_to_bound(level) for metric, level in QUANTILE_METRICS.items()}
            found[variant] = {
                "recorded": recorded,
                "needed": needed,
                "missing": max(0, max(needed.values()) - recorded),
            }
        return found

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON types."""
        live = self._group(WHOLE, ALL)
        # A version that gets no traffic has the same figures, none of them known.
        silent = {name: dict.fromkeys(live, Spread(None, None, None).to_json()) for name in self.forecast.fits}
        groups = {LIVE: live} | silent | {name: self._group(WHOLE, name) for name in self.variants()}
        steps = {
            label: {LIVE: self._group(label, ALL)} | {name: self._group(label, name) for name in self.variants(label)}
            for label in self.forecast.steps
        }
        plain = self.forecast.to_json()
        return {
            "forecast": groups,
            "steps": steps,
            "cold_share": self.spread("cold_share").to_json(),
            "timeout_margin": self.timeout_margin(),
            "burst_amplification": None
            if self.burst is None
            else {**self.burst.to_json(), "factor": self.burst_factor},
            "retry_amplification": self.spread("retry_amplification").to_json(),
            "throttled_share": self.spread("throttled_share").to_json(),
            **{name: self.spread(metric).to_json() for metric, name in _NAMES.items()},
            "difference": self.difference(),
            "verdict": self.verdict,
            "objectives": [one.to_json() for one in self.judged],
            "samples_needed": self.samples_needed(),
            **plain,
            "settings": dict(self.settings),
        }

    def _group(self, step: str, variant: str) -> dict[str, Any]:
        metrics = [metric for label, name, metric in self.forecast.samples if (label, name) == (step, variant)]
        return {
            _NAMES.get(metric, metric): self.spread(metric, variant, step).to_json()
            for metric in dict.fromkeys(metrics)
        }


def judge(found: Forecast, objectives: Sequence[Objective]) -> tuple[Judged, ...]:
    """Give the probability of each objective, by step and in every step at once."""
    return tuple(
        Judged(one, found.probability(one), {label: found.probability(one, label) for label in found.steps})
        for one in objectives
    )


def burst_amplification(
    baseline: Trace,
    candidate: Trace,
    platform: Platform,
    *,
    rate_rps: float,
    weight: float,
    factor: float,
    seed: int,
    replications: int,
    keep_alive: KeepAliveFit | None,
    workers: Workers | None = None,
    fitted: Fitted | None = None,
) -> Spread:
    """Forecast a minute at ``rate_rps`` and then one at ``factor`` times that; give the ratio of their p99.

    Recordings, platform, keep-alive and ``fitted`` are as of :func:`~simulator.forecast.forecast`.

    The minute is shortened where the rate is so high that the burst would hold more than a few thousand requests.
    """
    length_s = min(BURST_S, max(_BURST_REQUESTS / (rate_rps * factor), 1.0))
    steps = [
        PlannedStep("usual", weight, poisson(rate_rps, length_s)),
        PlannedStep("burst", weight, poisson(rate_rps * factor, length_s)),
    ]
    found = forecast(
        baseline,
        candidate,
        steps,
        platform,
        replications=max(MIN_REPLICATIONS, min(replications, _BURST_REPLICATIONS)),
        seed=seed,
        keep_alive=keep_alive,
        workers=workers,
        fitted=fitted,
    )
    usual, burst = (found.samples[label, ALL, "p99_ms"] for label in ("usual", "burst"))
    # A quiet minute may hold no request at all.
    return Spread.of(np.divide(burst, usual, out=np.full(usual.size, math.nan), where=usual > 0.0))


def metric_names(objectives: Sequence[Objective]) -> list[str]:
    """Name the figures that an outlook on ``objectives`` needs."""
    return [*EXTRA_METRICS, "retry_amplification", *(metric_name(one) for one in objectives)]
