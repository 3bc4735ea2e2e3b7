"""The plan of a rollout: steps, objectives, and what to do when the data cannot tell.

An objective has up to three limits, each with its own meaning:

``max``        absolute: the candidate's figure must not exceed it
``tolerance``  relative: once the candidate is *shown* to be worse than baseline × (1 + tolerance), it is rolled back
``margin``     relative: a step is passed once the candidate is *shown* to be better than baseline × (1 + margin)

Between tolerance and margin lies what is neither worth a rollback nor good enough to hurry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from replay.errors import InputError

Inconclusive = Literal["wait", "pause", "rollback"]
OnCrash = Literal["resume", "rollback"]
Advance = Literal["evidence", "time"]
Compare = Literal["warm_and_cold", "pooled"]
Source = Literal["auto", "logs", "metrics"]

RATES: Final = ("error_rate", "timeout_rate", "throttle_rate", "cold_share")
COST: Final = "cost_usd_per_1000"
_QUANTILE: Final = re.compile(r"(?:(?P<of>ttft|inference)_)?p(?P<percent>\d{1,2}(?:\.\d+)?)")
LATENCY_COLUMNS: Final[Mapping[str | None, str]] = {
    None: "execution_ms",
    "ttft": "ttft_ms",
    "inference": "inference_ms",
}
METRICS_TEXT: Final = (
    "p50 … p99.9, ttft_p95, inference_p50, error_rate, timeout_rate, throttle_rate, cold_share, cost_usd_per_1000"
)

_DEFAULT_LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "error_rate": (0.0, 1.0),
    "timeout_rate": (0.0, 1.0),
    "throttle_rate": (0.0, 1.0),
    # A small arm has a colder pool than a large one, so a share a few times higher is no regression.
    "cold_share": (2.0, 4.0),
    COST: (0.05, 0.25),
}
_DEFAULT_NEGLIGIBLE: Final[Mapping[str, float]] = {
    "error_rate": 0.002,
    "timeout_rate": 0.002,
    "throttle_rate": 0.002,
    "cold_share": 0.02,
}
_DEFAULT_QUANTILE_LIMITS: Final = (0.10, 0.40)
_LONGEST_LEASE_S: Final = 3600.0
_LEAST_PATIENCE_S: Final = 5.0
_DEFAULT_SHARES: Final[Mapping[str, float]] = {"error_rate": 6.0}
"""Parts of the error budget: errors hurt most, and are the rarest, so they get the most."""


@dataclass(frozen=True)
class ObjectiveSpec:
    """One objective.

    Parameters
    ----------
    metric
        A quantile of a latency (``p99`` of INIT and handler, ``ttft_p95``, ``inference_p50``), a rate, or the cost.
    max
        Absolute limit: ms, a share of 1, or US dollars per 1,000 requests. None for none.
    tolerance, margin
        Relative limits as shares of the baseline's figure; both None for an absolute objective only.
    negligible
        For a rate: under this share nothing is rolled back, however the baseline compares, and showing the candidate
        under it passes the step. Without it, two versions that both never fail could never be told apart.
    share
        Parts of the error budget; what counts is the proportion between the objectives.
    compare
        For a latency: ``warm_and_cold`` compares warm with warm and cold with cold, since a small arm has a colder
        pool; ``pooled`` all with all. Rates and cost are always pooled: a failed INIT is a failure.
    """

    metric: str
    max: float | None = None
    tolerance: float | None = None
    margin: float | None = None
    negligible: float | None = None
    share: float = 1.0
    compare: Compare = "warm_and_cold"

    def __post_init__(self) -> None:
        if self.metric not in RATES and self.metric != COST and _QUANTILE.fullmatch(self.metric) is None:
            raise InputError(f"metric {self.metric!r} is none of {METRICS_TEXT}")
        if self.is_quantile and not 0 < self.probability < 1:
            raise InputError(f"metric {self.metric!r}: a quantile lies between p0 and p100, both excluded")
        if (self.tolerance is None) != (self.margin is None):
            raise InputError(f"{self.metric}: give tolerance and margin together, or neither")
        if self.max is None and self.tolerance is None:
            raise InputError(f"{self.metric}: give max, or tolerance and margin")
        if self.max is not None and not (math.isfinite(self.max) and self.max > 0):
            raise InputError(f"{self.metric}: max {self.max!r} must be above 0")
        if self.max is not None and self.metric in RATES and self.max >= 1:
            raise InputError(f"{self.metric}: max {self.max!r} must be under 1 (100%)")
        if self.tolerance is not None and self.margin is not None and not 0 <= self.tolerance < self.margin:
            raise InputError(
                f"{self.metric}: tolerance {self.tolerance:g} and margin {self.margin:g} must satisfy "
                "0 ≤ tolerance < margin"
            )
        if self.negligible is not None and (self.metric not in RATES or not 0 < self.negligible < 1):
            raise InputError(f"{self.metric}: negligible {self.negligible!r} must lie in (0, 1), and is for rates only")
        if not (math.isfinite(self.share) and self.share > 0):
            raise InputError(f"{self.metric}: share {self.share!r} must be above 0")

    @property
    def is_quantile(self) -> bool:
        """Whether the figure is a quantile of a latency."""
        return _QUANTILE.fullmatch(self.metric) is not None

    @property
    def probability(self) -> float:
        """The quantile's level: 0.99 for ``p99``."""
        match = _QUANTILE.fullmatch(self.metric)
        return float(match["percent"]) / 100 if match else math.nan

    @property
    def column(self) -> str:
        """Which latency the quantile is of."""
        match = _QUANTILE.fullmatch(self.metric)
        return LATENCY_COLUMNS[match["of"]] if match else ""

    @property
    def is_relative(self) -> bool:
        """Whether the candidate is held against the baseline."""
        return self.tolerance is not None


def objective(metric: str, **limits: float | str | None) -> ObjectiveSpec:
    """Build an objective; where it has no limit at all, with the default relative ones of its kind."""
    values: dict[str, object] = {name: value for name, value in limits.items() if value is not None}
    if not {"max", "tolerance", "margin"} & values.keys():
        values["tolerance"], values["margin"] = _DEFAULT_LIMITS.get(metric, _DEFAULT_QUANTILE_LIMITS)
    if "tolerance" in values and metric in _DEFAULT_NEGLIGIBLE:
        values.setdefault("negligible", _DEFAULT_NEGLIGIBLE[metric])
    values.setdefault("share", _DEFAULT_SHARES.get(metric, 1.0))
    # Its fields differ in type; the class checks each value.
    return ObjectiveSpec(metric, **values)  # type: ignore[arg-type]  # ObjectiveSpec checks them


@dataclass(frozen=True)
class Step:
    """One stretch of the rollout with one weight.

    Parameters
    ----------
    weight
        The candidate's share of the requests, in (0, 1].
    at_least_s
        Shortest time, even where the evidence is in.
    at_most_s
        After it the plan's ``inconclusive`` decides.
    requests_per_arm
        Fewest requests of each arm (of the candidate at 100 %).
    """

    weight: float
    at_least_s: float
    at_most_s: float
    requests_per_arm: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise InputError(f"weight {self.weight!r} must lie in (0, 1]; write 10% or 0.1")
        if not 0 <= self.at_least_s <= self.at_most_s or not math.isfinite(self.at_most_s):
            raise InputError(
                f"at_least {self.at_least_s:g} s must be 0 or more and not above at_most {self.at_most_s:g} s"
            )
        if self.requests_per_arm < 0:
            raise InputError(f"requests_per_arm {self.requests_per_arm} must be 0 or more")

    @property
    def label(self) -> str:
        """Name of the step in every table: ``10%``."""
        return f"{self.weight * 100:g}%"


@dataclass(frozen=True)
class Smoke:
    """Requests to the candidate itself before any weight: all must succeed in time."""

    requests: int = 3
    payload: str = '{"prompt": "Say hello."}'
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Gate:
    """A command (exit code 0) or URL (2xx) that must agree before each shift."""

    name: str
    command: str | None = None
    url: str | None = None
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise InputError(f"gate {self.name!r}: give either command or url")


@dataclass(frozen=True)
class Notify:
    """Where decisions are told: an SNS topic's ARN, or a URL that takes a JSON POST."""

    sns: str | None = None
    webhook: str | None = None

    def __post_init__(self) -> None:
        if (self.sns is None) == (self.webhook is None):
            raise InputError("notify: give either sns (a topic's ARN) or webhook (a URL)")


@dataclass(frozen=True)
class Plan:
    """A rollout as it is wanted.

    Parameters
    ----------
    name
        What it is called in the journal.
    steps
        In order; weights ascend and end at 100 %.
    objectives
        At least one.
    alpha
        Chance of rolling back a candidate that is no worse than tolerated, over the whole rollout.
    beta
        Chance, for each step, of passing a candidate that is at a margin or beyond it.
    look_every_s
        Time between looks.
    inconclusive
        What happens when a step has lasted ``at_most`` and the evidence is not in.
    on_crash
        What a controller does that finds an unfinished rollout.
    advance
        ``evidence``: a step is passed when every objective is shown to be inside its margin. ``time``: when nothing was
        shown to be wrong for ``at_least`` (CodeDeploy's way).
    history_s
        How much of the past sets thresholds and the baseline's figures.
    source
        Where the evidence comes from; ``auto`` takes logs up to 200 requests a second, else metrics.
    alarms
        CloudWatch alarms that roll back when they *begin* to fire during the rollout.
    drain_s
        How long the old version keeps its provisioned concurrency after promotion.
    lease_s
        How long a controller's lease lasts, and so how soon a dead one can be replaced. None: six looks, at least 20 s.
        A short one costs nothing but a takeover that need not have been: lines are fenced by tokens, not by time.
    patience_s
        How long Lambda or the journal may be silent before the controller gives up.
    """

    name: str
    steps: tuple[Step, ...]
    objectives: tuple[ObjectiveSpec, ...]
    alpha: float = 0.01
    beta: float = 0.05
    look_every_s: float = 10.0
    inconclusive: Inconclusive = "wait"
    on_crash: OnCrash = "resume"
    advance: Advance = "evidence"
    history_s: float = 1800.0
    source: Source = "auto"
    alarms: tuple[str, ...] = ()
    smoke: Smoke | None = field(default_factory=Smoke)
    gates: tuple[Gate, ...] = ()
    notify: tuple[Notify, ...] = ()
    drain_s: float = 60.0
    lease_s: float | None = None
    patience_s: float = 1800.0

    def __post_init__(self) -> None:
        if not self.steps:
            raise InputError("steps: a plan needs at least one")
        weights = [step.weight for step in self.steps]
        if sorted(set(weights)) != weights or weights[-1] != 1:
            shown = ", ".join(step.label for step in self.steps)
            raise InputError(f"steps: weights must ascend and end at 100%, found {shown}")
        if not self.objectives:
            raise InputError("objectives: a plan needs at least one")
        metrics = [spec.metric for spec in self.objectives]
        if len(set(metrics)) < len(metrics):
            twice = next(metric for metric in metrics if metrics.count(metric) > 1)
            raise InputError(f"objectives: {twice} stands twice; put its limits into one")
        for name in ("alpha", "beta"):
            if not 0 < getattr(self, name) < 0.5:
                raise InputError(f"{name} {getattr(self, name)!r} must lie in (0, 0.5)")
        if not self.look_every_s >= 1:
            raise InputError(f"look_every {self.look_every_s:g} s must be at least 1 s")
        if self.lease_s is not None and not 1 <= self.lease_s <= _LONGEST_LEASE_S:
            raise InputError(f"lease {self.lease_s:g} s must lie between 1 s and {_LONGEST_LEASE_S:g} s")
        if not (math.isfinite(self.patience_s) and self.patience_s >= _LEAST_PATIENCE_S):
            raise InputError(f"patience {self.patience_s:g} s must be at least {_LEAST_PATIENCE_S:g} s")
        for name in ("history_s", "drain_s"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name.removesuffix('_s')} {getattr(self, name)!r} must be 0 s or more")

    def budget(self, spec: ObjectiveSpec) -> float:
        """Give an objective's share of the error budget; the shares sum to 1."""
        return spec.share / math.fsum(each.share for each in self.objectives)
