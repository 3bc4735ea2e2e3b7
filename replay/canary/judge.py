"""From evidence to a verdict: go on, wait, or roll back; valid at every look, the reason in one line.

The judge is a pure fold over batches: the same batches in the same order give the same verdicts, on a live rollout, in
a rehearsal, and when a journal is read back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from replay.canary.batch import Batch, Key, Tally, merge
from replay.canary.figures import ArmFigure, figure_of
from replay.canary.objective_tests import ObjectiveTests
from replay.canary.plan import ObjectiveSpec, Plan
from replay.canary.reference import Reference
from replay.canary.sequential import RateTest, Share, better_than, combined_log_e, worse_than

Decision = Literal["hold", "advance", "inconclusive", "rollback"]

_FREEZE_PART: Final = 0.05
"""Part of alpha that pays for the bounds on the baseline's rates, which the 100 % step uses."""
_SPLIT_ALPHA: Final = 0.001
_SPLIT_SETTLE_S: Final = 30.0
"""A shift takes a moment to reach every front end of Lambda; the split is not judged before."""


@dataclass(frozen=True)
class ObjectiveStatus:
    """Where one objective stands.

    Parameters
    ----------
    candidate, baseline
        Figures of this step; None where there is no data.
    e_broken
        e-value against "kept", over the rollout.
    e_kept
        e-value of this step against "at the margin or beyond"; infinite where nothing can be shown.
    broken_at, kept_at
        What each must reach.
    kept
        Whether the objective is shown to be inside its margin.
    """

    metric: str
    candidate: ArmFigure | None
    baseline: ArmFigure | None
    e_broken: float
    broken_at: float
    e_kept: float
    kept_at: float
    kept: bool

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {
            "metric": self.metric,
            "candidate": self.candidate.to_json() if self.candidate else None,
            "baseline": self.baseline.to_json() if self.baseline else None,
            "e_broken": self.e_broken,
            "broken_at": self.broken_at,
            "e_kept": self.e_kept if math.isfinite(self.e_kept) else None,
            "kept_at": self.kept_at,
            "kept": self.kept,
        }


@dataclass(frozen=True)
class Verdict:
    """What one look says."""

    decision: Decision
    why: str


_HOLD: Final = Verdict("hold", "")


class Judge:
    """Fold batches into verdicts.

    Parameters
    ----------
    plan
        Steps, objectives and the error budget.
    reference
        Thresholds, fixed before the first batch.
    expected
        (step label, metric) → the forecast's interval, for the reason and the surprises.
    """

    def __init__(
        self, plan: Plan, reference: Reference, expected: Mapping[tuple[str, str], tuple[float, float]] | None = None
    ) -> None:
        self.plan = plan
        self.reference = reference
        self._expected = expected or {}
        relative = sum(spec.is_relative for spec in plan.objectives)
        freeze = plan.alpha * _FREEZE_PART / max(relative, 1)
        self._tests = [ObjectiveTests(spec, reference, freeze) for spec in plan.objectives]
        self._weights = [plan.budget(spec) for spec in plan.objectives]
        self._broken_at = -math.log(plan.alpha * ((1 - _FREEZE_PART) if relative else 1.0))
        self._kept_at = -math.log(plan.beta)
        self.step = 0
        self.elapsed_s = 0.0
        self._seen: dict[Key, Tally] = {}
        self._requests = [0, 0]
        self._split = self._split_tests()

    # ---- folding ---------------------------------------------------------------------------------------------------

    def begin_step(self, index: int) -> None:
        """Begin step ``index`` (from 0)."""
        self.step = index
        self.elapsed_s = 0.0
        self._requests = [0, 0]
        if index:
            for tests in self._tests:
                tests.begin_step(index, self.plan.steps[index].weight)
        elif self.plan.steps[0].weight >= 1:
            for tests in self._tests:
                tests.begin_step(0, 1.0)
        self._split = self._split_tests()

    def look(self, batch: Batch, elapsed_s: float) -> Verdict:
        """Take one batch, and judge; ``elapsed_s`` seconds of this step have passed."""
        self.take(batch, elapsed_s)
        return self.verdict()

    def take(self, batch: Batch, elapsed_s: float) -> None:
        """Take one batch without a word about it: a journal that is read back may hold tens of thousands."""
        self.elapsed_s = elapsed_s
        for tests in self._tests:
            tests.update(batch, elapsed_s)
        here = [batch.requests(candidate=candidate, step=self.step) for candidate in (False, True)]
        self._requests = [self._requests[0] + here[0], self._requests[1] + here[1]]
        for key, tally in batch.tallies.items():
            before = self._seen.get(key)
            self._seen[key] = tally if before is None else merge([before, tally])
        if self._split and elapsed_s > _SPLIT_SETTLE_S and sum(here):
            for test in self._split:
                test.update(here[1], sum(here))

    def verdict(self) -> Verdict:
        """Judge what is known now."""
        if self.log_e_broken >= self._broken_at:
            return Verdict("rollback", self._why_broken())
        step = self.plan.steps[self.step]
        if self.elapsed_s < step.at_least_s:
            return _HOLD
        fewest = self._requests[1] if step.weight >= 1 else min(self._requests)
        enough = fewest >= step.requests_per_arm
        kept = self.plan.advance == "time" or all(tests.log_e_kept >= self._kept_at for tests in self._tests)
        if enough and kept and not self.split_is_off:
            return Verdict("advance", self._why_kept())
        if self.elapsed_s >= step.at_most_s:
            return Verdict("inconclusive", self._why_open(fewest))
        return _HOLD

    # ---- reading ---------------------------------------------------------------------------------------------------

    @property
    def log_e_broken(self) -> float:
        """Logarithm of the combined e-process over all objectives."""
        return combined_log_e(
            [
                Share(tests.spec.metric, weight, tests.log_e_broken)
                for tests, weight in zip(self._tests, self._weights, strict=True)
            ]
        )

    @property
    def split_is_off(self) -> bool:
        """Whether the requests do not split as the weight says: records lost, or weights not as they were set."""
        if not self._split:
            return False
        log_e = combined_log_e([Share("split", 0.5, test.log_e) for test in self._split])
        return log_e >= -math.log(_SPLIT_ALPHA)

    def statuses(self) -> list[ObjectiveStatus]:
        """Give each objective's figures of this step and where its tests stand."""
        found = []
        for tests, weight in zip(self._tests, self._weights, strict=True):
            found.append(
                ObjectiveStatus(
                    tests.spec.metric,
                    self.figure(tests.spec, candidate=True),
                    self.figure(tests.spec, candidate=False),
                    _exp(tests.log_e_broken),
                    _exp(self._broken_at - math.log(weight)),
                    _exp(tests.log_e_kept),
                    _exp(self._kept_at),
                    tests.log_e_kept >= self._kept_at,
                )
            )
        return found

    def figure(self, spec: ObjectiveSpec, *, candidate: bool) -> ArmFigure | None:
        """Give one arm's figure of this step, with its confidence sequence."""
        tallies = [tally for key, tally in self._seen.items() if key.step == self.step and key.candidate == candidate]
        return figure_of(spec, merge(tallies), self.reference) if tallies else None

    def surprises(self) -> list[str]:
        """Name the candidate's figures that lie outside the forecast's interval: a signal of its own, no verdict."""
        found = []
        for spec in self.plan.objectives:
            figure = self.figure(spec, candidate=True)
            expected = self._expected.get((self._label(), spec.metric))
            if figure is None or expected is None or _is_share_over_a_limit(spec, figure):
                continue
            if not expected[0] <= figure.estimate <= expected[1]:
                found.append(
                    f"{spec.metric} {figure} lies outside the forecast {figure.format(expected[0])} to "
                    f"{figure.format(expected[1])}"
                )
        return found

    def requests(self, *, candidate: bool) -> int:
        """Count this step's requests of one arm."""
        return self._requests[1 if candidate else 0]

    # ---- reasons ---------------------------------------------------------------------------------------------------

    def _label(self) -> str:
        return self.plan.steps[self.step].label

    def _line(self, spec: ObjectiveSpec) -> str:
        candidate = self.figure(spec, candidate=True)
        baseline = self.figure(spec, candidate=False)
        text = f"{spec.metric} {candidate}" if candidate else f"{spec.metric} unknown"
        if baseline is not None:
            text += f" against {baseline}"
        if candidate is None or _is_share_over_a_limit(spec, candidate):
            return text
        if spec.max is not None:
            text += f" (max {candidate.format(spec.max)})"
        expected = self._expected.get((self._label(), spec.metric))
        if expected is None:
            return text
        return f"{text}, forecast {candidate.format(expected[0])} to {candidate.format(expected[1])}"

    def _why_broken(self) -> str:
        ranked = sorted(
            zip(self._tests, self._weights, strict=True),
            key=lambda pair: pair[0].log_e_broken + math.log(pair[1]),
            reverse=True,
        )
        worst, weight = ranked[0]
        return (
            f"at {self._label()}: {self._line(worst.spec)}; "
            f"e = {_number(_exp(worst.log_e_broken))}, {_number(_exp(self._broken_at - math.log(weight)))} suffices"
        )

    def _why_kept(self) -> str:
        if self.plan.advance == "time":
            return f"{self._label()} held for {self.elapsed_s:.0f} s and nothing was shown to be wrong"
        lines = "; ".join(self._line(tests.spec) for tests in self._tests)
        if self.plan.steps[self.step].weight >= 1:
            return f"100% held for {self.elapsed_s:.0f} s and nothing was shown to be wrong: {lines}"
        return f"{self._label()} shown sound (β = {self.plan.beta:g}): {lines}"

    def _why_open(self, fewest: int) -> str:
        step = self.plan.steps[self.step]
        if fewest < step.requests_per_arm:
            return f"{self._label()}: {fewest} of {step.requests_per_arm} requests per arm after {self.elapsed_s:.0f} s"
        if self.split_is_off:
            candidate, total = self._requests[1], sum(self._requests)
            return (
                f"{self._label()}: {candidate} of {total} requests were the candidate's, not as the weight says; "
                "records are missing or the weights are not what was set"
            )
        open_ones = [tests.spec for tests in self._tests if tests.log_e_kept < self._kept_at]
        return f"{self._label()}: after {self.elapsed_s:.0f} s the data cannot tell: " + "; ".join(
            self._line(spec) for spec in open_ones
        )

    def _split_tests(self) -> Sequence[RateTest]:
        weight = self.plan.steps[self.step].weight
        if weight >= 1:
            return ()
        return RateTest(worse_than(1.2), weight), RateTest(better_than(0.8), weight)


def _is_share_over_a_limit(spec: ObjectiveSpec, figure: ArmFigure) -> bool:
    """Whether counts stand for a quantile, so that the objective's milliseconds cannot be written beside it."""
    return spec.is_quantile and figure.unit != "ms"


def _exp(log: float) -> float:
    return math.inf if log == math.inf else math.exp(min(log, 700.0))


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1e6 else f"{value:.0e}"
