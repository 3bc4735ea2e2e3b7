"""One objective's tests: whether it is broken (roll back), and whether it is shown to be kept (pass the step).

While both arms get traffic, a relative objective compares them request for request. At 100 % there is no baseline
beside the candidate any more; then the baseline's rate over the rollout, widened by its own confidence bound, is the
limit. That step assumes what the others need not: that the world has not changed since.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from replay.canary.batch import Batch, Tally
from replay.canary.plan import COST, ObjectiveSpec
from replay.canary.reference import Reference
from replay.canary.sequential import (
    LimitTest,
    MeanTest,
    Mixture,
    OddsTest,
    RateTest,
    Share,
    better_than,
    combined_log_e,
    far_below,
    rate_interval,
    worse_than,
)

_RESERVE = 0.1
"""Part of the wealth kept for regressions that begin later; it costs log(1 / 0.9) = 0.11 of the 4.6 nats to α = 1 %."""
_STEP_SHARE, _LATER_SHARE = 1 / 3, 1 / 5
"""Parts of the cash that are bet anew at a step's start, and every half hour of a long step."""
_LATER_S = 1800.0
_SMALLEST_RATE, _LARGEST_RATE = 1e-6, 1 - 1e-6


@dataclass(frozen=True)
class Counters:
    """Names of the counters that a relative test reads."""

    baseline: str
    tolerance: str
    margin: str


def _counters(spec: ObjectiveSpec) -> Counters:
    name = spec.metric
    if spec.is_quantile:
        return Counters(f"{name}>base", f"{name}>tolerance", f"{name}>margin")
    return Counters(name, name, name)


class ObjectiveTests:
    """The running tests of one objective.

    Parameters
    ----------
    spec
        The objective.
    reference
        Thresholds and effect sizes.
    freeze_alpha
        Chance that the bound on the baseline's rate, which the 100 % step uses, is wrong.
    """

    def __init__(self, spec: ObjectiveSpec, reference: Reference, freeze_alpha: float) -> None:
        self.spec = spec
        self._reference = reference
        self._freeze_alpha = freeze_alpha
        self._counters = _counters(spec)
        self._pooled = spec.compare == "pooled" or not spec.is_quantile
        seen = spec.metric not in reference.unseen
        self._comparable = seen and spec.is_relative and (not spec.is_quantile or spec.metric in reference.threshold_ms)
        self._worse: OddsTest | MeanTest | None = None
        self._better: OddsTest | MeanTest | None = None
        self._over: RateTest | LimitTest | None = None
        self._under: RateTest | LimitTest | None = None
        self._above_floor: RateTest | None = None
        self._under_floor: RateTest | None = None
        self._alone_worse: RateTest | None = None
        self._alone_from: int | None = None
        self._baseline_events, self._baseline_requests = 0, 0
        self._next_bet_s = _LATER_S
        if self._comparable:
            self._worse = self._worse_test()
            if spec.negligible is not None:
                self._above_floor = RateTest(worse_than(2.0), spec.negligible, _RESERVE)
        if seen and spec.max is not None:
            self._over = self._limit_test(worse=True)
        self._begin()

    # ---- reading ---------------------------------------------------------------------------------------------------

    @property
    def log_e_broken(self) -> float:
        """Logarithm of the e-process against "the objective is kept", over the whole rollout."""
        parts = []
        if self._worse is not None:
            alone = self._alone_worse.log_e if self._alone_worse is not None else 0.0
            worse = self._worse.log_e + alone
            # Broken means worse than the baseline allows *and* not negligible: both must be shown.
            parts.append(worse if self._above_floor is None else min(worse, self._above_floor.log_e))
        if self._over is not None:
            parts.append(self._over.log_e)
        if not parts:
            return 0.0
        if len(parts) == 1:
            return parts[0]
        return combined_log_e([Share(str(index), 1 / len(parts), log_e) for index, log_e in enumerate(parts)])

    @property
    def log_e_kept(self) -> float:
        """Logarithm of this step's e-value against "at the margin, or beyond max"; every part must be refuted."""
        parts = []
        if self._better is not None:
            better = self._better.log_e
            if self._under_floor is not None:
                # Kept means better than the margin *or* negligible: two bets on one table.
                better = combined_log_e([Share("margin", 0.5, better), Share("floor", 0.5, self._under_floor.log_e)])
            parts.append(better)
        if self._under is not None:
            parts.append(self._under.log_e)
        # What cannot be compared (no history of it, nobody beside the candidate at 100 %) cannot hold up the rollout
        # either; the preflight says so.
        return min(parts) if parts else math.inf

    # ---- updating --------------------------------------------------------------------------------------------------

    def update(self, batch: Batch, elapsed_s: float) -> None:
        """Take one look's counts; ``elapsed_s`` seconds of the step have passed."""
        for (step, cold), candidate, baseline in batch.strata(pooled=self._pooled):
            if self._comparable:
                self._compare((step, cold), candidate, baseline)
            for test in (self._over, self._under):
                if isinstance(test, LimitTest):
                    test.update(*candidate.sums.get(COST, (0.0, 0)))
                elif test is not None:
                    name = f"{self.spec.metric}>max" if self.spec.is_quantile else self.spec.metric
                    test.update(*candidate.counts.get(name, (0, 0)))
        if elapsed_s >= self._next_bet_s:
            self._next_bet_s += _LATER_S
            self._bet_anew(_LATER_SHARE)

    def begin_step(self, index: int, weight: float) -> None:
        """Begin step ``index``: passing it needs evidence of its own; a regression may begin here."""
        self._bet_anew(_STEP_SHARE)
        self._next_bet_s = _LATER_S
        self._begin()
        if weight >= 1 and self._comparable:
            self._better = None
            if self.spec.metric != COST:
                self._alone_from = index
                self._freeze()

    def _bet_anew(self, share: float) -> None:
        for test in (self._worse, self._over, self._alone_worse, self._above_floor):
            if isinstance(test, OddsTest | RateTest):
                test.bet_anew(share)

    def _begin(self) -> None:
        spec = self.spec
        if self._comparable and spec.margin is not None:
            if spec.metric == COST:
                self._better = MeanTest(1 + spec.margin, self._reference.cost_cap_usd, worse=False)
            else:
                self._better = OddsTest(self._sound, limit=1.0 if spec.is_quantile else 1 + spec.margin)
        if self._above_floor is not None and spec.negligible is not None:
            self._under_floor = RateTest(far_below(), spec.negligible)
        self._under = self._limit_test(worse=False) if self._over is not None else None

    def _compare(self, stratum: tuple[int, bool | None], candidate: Tally, baseline: Tally) -> None:
        if self.spec.metric == COST:
            total_c, of_c = candidate.sums.get(COST, (0.0, 0))
            total_b, of_b = baseline.sums.get(COST, (0.0, 0))
            for test in (self._worse, self._better):
                if isinstance(test, MeanTest):
                    test.update(total_c, of_c, total_b, of_b)
            return
        names = self._counters
        tolerance, of_tolerance = candidate.counts.get(names.tolerance, (0, 0))
        margin, of_margin = candidate.counts.get(names.margin, (0, 0))
        events, of = baseline.counts.get(names.baseline, (0, 0))
        for floor in (self._above_floor, self._under_floor):
            if floor is not None:
                floor.update(tolerance, of_tolerance)
        self._baseline_events += events
        self._baseline_requests += of
        if self._alone_from is not None and stratum[0] >= self._alone_from:
            if self._alone_worse is not None:
                self._alone_worse.update(tolerance, of_tolerance)
            return
        if isinstance(self._worse, OddsTest):
            self._worse.update(tolerance, of_tolerance, events, of, stratum)
        if isinstance(self._better, OddsTest):
            self._better.update(margin, of_margin, events, of, stratum)

    def _freeze(self) -> None:
        _, high = rate_interval(self._baseline_events, self._baseline_requests, self._freeze_alpha)
        allowed = 1.0 if self.spec.is_quantile else 1 + (self.spec.tolerance or 0.0)
        self._alone_worse = RateTest(self._effect, _tilted(high, allowed), _RESERVE)

    # ---- sizes -----------------------------------------------------------------------------------------------------

    def _worse_test(self) -> OddsTest | MeanTest:
        tolerance = self.spec.tolerance or 0.0
        if self.spec.metric == COST:
            return MeanTest(1 + tolerance, self._reference.cost_cap_usd)
        return OddsTest(self._effect, 1.0 if self.spec.is_quantile else 1 + tolerance, _RESERVE)

    def _limit_test(self, *, worse: bool) -> RateTest | LimitTest:
        if self.spec.metric == COST:
            limit_usd = (self.spec.max or math.inf) / 1000
            return LimitTest(limit_usd, self._reference.cost_cap_usd, worse=worse)
        if worse:
            return RateTest(worse_than(2.0), self._max_rate, _RESERVE)
        return RateTest(better_than(0.5), self._max_rate)

    @property
    def _effect(self) -> Mixture:
        spec = self.spec
        if spec.is_quantile:
            return worse_than(self._reference.effect_odds.get(spec.metric, 2.0))
        return worse_than((1 + (spec.margin or 1.0)) / (1 + (spec.tolerance or 0.0)))

    @property
    def _sound(self) -> Mixture:
        spec = self.spec
        if spec.is_quantile:
            return better_than(self._reference.sound_odds.get(spec.metric, 0.5))
        return better_than(1 / (1 + (spec.margin or 1.0)))

    @property
    def _max_rate(self) -> float:
        spec = self.spec
        rate = 1 - spec.probability if spec.is_quantile else spec.max or 0.5
        return min(max(rate, _SMALLEST_RATE), _LARGEST_RATE)


def _tilted(rate: float, odds: float) -> float:
    tilted = rate * odds / (1 - rate + rate * odds)
    return min(max(tilted, _SMALLEST_RATE), _LARGEST_RATE)
