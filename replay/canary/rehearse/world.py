"""The world of a rehearsal: traffic in simulated time, an alias that takes weights, a clock that jumps.

Every request's draws (which arm, whether it fails, where in the latency's distribution it lies) are made up front and
belong to the request, so that the same traffic meets every decider, and a changed weight changes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.canary.batch import Batch
from replay.canary.errors import ForeignChangeError
from replay.canary.plan import Plan
from replay.canary.ports import StepSpan
from replay.canary.reference import Reference, reference_of
from replay.canary.rehearse.scenario import FUNCTION_TIMEOUT_MS, Scenario
from replay.canary.requests import Requests, reduce_requests
from replay.shift import AliasState

Floats = NDArray[np.float64]

EPOCH_S: Final = 1_800_000_000.0
_CHUNK_LOOKS: Final = 60
_POOL_S: Final = 60.0
"""Right after a shift an arm's pool grows to its new size: for a minute it starts colder."""


class SimulatedClock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self, start_s: float = EPOCH_S) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """Jump ahead."""
        self._now_s += max(seconds, 0.0)


class SimulatedAlias:
    """An alias in memory, with revisions as Lambda has them."""

    def __init__(self, baseline: str = "1", candidate: str = "2") -> None:
        self._baseline, self._candidate = baseline, candidate
        self._revision = 1
        self._state = AliasState(baseline, {}, "r1")
        self.changes: list[Mapping[str, float]] = []

    def read(self) -> AliasState:
        """Give where it points now."""
        return self._state

    def set_weight(self, weight: float, revision_id: str) -> AliasState:
        """Send ``weight`` of the requests to the candidate."""
        if revision_id != self._state.revision_id:
            raise ForeignChangeError("the revision is gone")
        if weight >= 1:
            return self._become(self._candidate, {})
        return self._become(self._baseline, {self._candidate: weight})

    def touch(self, revision_id: str) -> AliasState:
        """Change nothing but the revision."""
        if revision_id != self._state.revision_id:
            raise ForeignChangeError("the revision is gone")
        return self._become(self._state.version, self._state.additional)

    def roll_back(self) -> AliasState:
        """Send everything to the baseline."""
        return self._become(self._baseline, {})

    def _become(self, version: str, additional: Mapping[str, float]) -> AliasState:
        self._revision += 1
        self._state = AliasState(version, dict(additional), f"r{self._revision}")
        self.changes.append(self._state.weights)
        return self._state


@dataclass(frozen=True)
class Traffic:
    """Requests with their draws, by time of arrival; all arrays of shape (n,)."""

    arrival_s: Floats
    arm: Floats
    fail: Floats
    level: Floats
    cold: Floats
    slow: Floats
    scenario: Scenario

    @classmethod
    def draw(cls, scenario: Scenario, duration_s: float, seed: int) -> Traffic:
        """Draw Poisson arrivals for ``duration_s``."""
        generator = np.random.default_rng(np.random.SeedSequence([seed, 0x7461696C]))
        n = int(generator.poisson(scenario.rate_rps * duration_s))
        return cls(
            np.sort(generator.random(n)) * duration_s + EPOCH_S,
            generator.random(n),
            generator.random(n),
            generator.random(n),
            generator.random(n),
            generator.random(n),
            scenario,
        )

    def between(self, start_s: float, end_s: float, weight: float, step: int, step_s: float) -> tuple[Requests, Floats]:
        """Give the requests that arrive in [``start_s``, ``end_s``) with ``weight`` on the candidate, and when."""
        scenario = self.scenario
        low, high = np.searchsorted(self.arrival_s, (start_s, end_s))
        rows = slice(int(low), int(high))
        arrival = self.arrival_s[rows]
        candidate = self.arm[rows] < weight
        begun = candidate & (arrival >= EPOCH_S + scenario.from_s)
        # Both pools turn over alike; each starts colder right after a shift, the small one more so.
        share = np.where(candidate, 1 - weight, weight) * (arrival < step_s + _POOL_S)
        cold_rate = scenario.cold_share * (1 + 4 * share) * np.where(begun, scenario.cold, 1.0)
        cold = self.cold[rows] < cold_rate
        latency = scenario.latency.at(self.level[rows])
        if scenario.tail != 1.0:
            latency = np.where(begun, scenario.latency.at(self.level[rows], scenario.tail), latency)
        slow = begun & (self.slow[rows] < scenario.slow_share)
        latency = np.where(slow, latency * scenario.slow_factor, latency) + scenario.init_ms * cold
        timed_out = latency > FUNCTION_TIMEOUT_MS
        error = self.fail[rows] < scenario.base_error_rate * np.where(begun, scenario.errors, 1.0)
        requests = Requests(
            np.full(len(arrival), step, dtype=np.int64),
            candidate,
            cold,
            error | timed_out,
            timed_out,
            np.zeros(len(arrival), dtype=np.bool_),
            {"execution_ms": np.minimum(latency, FUNCTION_TIMEOUT_MS)},
        )
        return requests, arrival


@dataclass
class SimulatedEvidence:
    """Evidence as the logs would give it, a look at a time.

    A request shows when it ends. One that is slower than its deadline shows when the deadline strikes.

    Parameters
    ----------
    traffic
        The requests.
    plan
        For its objectives and the time between looks.
    histograms
        Whether batches carry histograms; a benchmark of a thousand runs needs none.
    """

    traffic: Traffic
    plan: Plan
    seed: int
    histograms: bool = False
    _chunk: list[Batch] = field(default_factory=list)
    _chunk_step: int = -1
    _chunk_start_s: float = 0.0
    _tail: tuple[Requests, Floats] | None = None
    looked: list[tuple[float, Batch]] = field(default_factory=list)

    def reference(self, now_s: float) -> Reference:  # noqa: ARG002  (the port's signature)
        """Draw the baseline's history of half an hour, and fix the thresholds from it."""
        scenario = self.traffic.scenario
        n = max(int(scenario.rate_rps * self.plan.history_s), 50)
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, 0x68697374]))
        latency = scenario.latency.at(generator.random(n)) + scenario.init_ms * (
            generator.random(n) < scenario.cold_share
        )
        return reference_of(
            self.plan.objectives,
            {"execution_ms": latency},
            {"error_rate": float((generator.random(n) < scenario.base_error_rate).mean())},
            requests=n,
            requests_per_s=scenario.rate_rps,
        )

    def look(self, spans: Sequence[StepSpan], reference: Reference, since_s: float, now_s: float) -> Batch:  # noqa: ARG002
        """Give what ended since the last look."""
        span = spans[-1]
        every_s = self.plan.look_every_s
        index = round((now_s - self._chunk_start_s) / every_s) - 1
        if span.index != self._chunk_step or index >= len(self._chunk):
            fresh = span.index != self._chunk_step
            start_s = span.start_s if fresh else self._chunk_start_s + len(self._chunk) * every_s
            self._fill(span, start_s, reference)
            index = round((now_s - self._chunk_start_s) / every_s) - 1
        batch = self._chunk[index] if 0 <= index < len(self._chunk) else Batch()
        self.looked.append((now_s, batch))
        return batch

    def _fill(self, span: StepSpan, start_s: float, reference: Reference) -> None:
        """Reduce the next looks in one go: a thousand rehearsals in minutes depend on it."""
        every_s = self.plan.look_every_s
        end_s = start_s + _CHUNK_LOOKS * every_s
        weight = self.plan.steps[span.index].weight
        requests, arrival = self.traffic.between(start_s, end_s, weight, span.index, span.start_s)
        ended = arrival + requests.latencies_ms["execution_ms"] / 1000
        if self._tail is not None and span.index == self._chunk_step:
            requests, ended = _joined(self._tail, (requests, ended))
        shown = ended < end_s
        self._tail = (_picked(requests, ~shown), ended[~shown])
        look = np.clip(((ended[shown] - start_s) // every_s).astype(np.int64), 0, _CHUNK_LOOKS - 1)
        self._chunk = reduce_requests(
            _picked(requests, shown),
            self.plan.objectives,
            reference,
            look=look,
            looks=_CHUNK_LOOKS,
            histograms=self.histograms,
        )
        self._chunk_step = span.index
        self._chunk_start_s = start_s


class Nobody:
    """Gates that agree, alarms that are quiet, a promotion with nothing to do, and nobody to tell."""

    def refusals(self) -> Sequence[str]:
        """Give no refusal."""
        return ()

    def firing(self) -> Sequence[str]:
        """Give no alarm."""
        return ()

    def pin(self) -> None:
        """Pin nothing."""

    def busy(self) -> bool:
        """Say that the old version is quiet."""
        return False

    def release(self) -> None:
        """Release nothing."""

    def tell(self, subject: str, facts: Mapping[str, object]) -> None:
        """Say it to nobody."""


def _picked(requests: Requests, rows: NDArray[np.bool_]) -> Requests:
    return Requests(
        requests.step[rows],
        requests.candidate[rows],
        requests.cold[rows],
        requests.failed[rows],
        requests.timed_out[rows],
        requests.throttled[rows],
        {name: values[rows] for name, values in requests.latencies_ms.items()},
    )


def _joined(first: tuple[Requests, Floats], second: tuple[Requests, Floats]) -> tuple[Requests, Floats]:
    a, b = first[0], second[0]
    requests = Requests(
        np.concatenate([a.step, b.step]),
        np.concatenate([a.candidate, b.candidate]),
        np.concatenate([a.cold, b.cold]),
        np.concatenate([a.failed, b.failed]),
        np.concatenate([a.timed_out, b.timed_out]),
        np.concatenate([a.throttled, b.throttled]),
        {name: np.concatenate([a.latencies_ms[name], b.latencies_ms[name]]) for name in a.latencies_ms},
    )
    return requests, np.concatenate([first[1], second[1]])
