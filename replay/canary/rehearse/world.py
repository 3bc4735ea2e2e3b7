"""The world of a rehearsal: traffic in simulated time, an alias that takes weights, a clock that jumps.

Every request's draws (which arm, whether it fails, where in the latency's distribution it lies) are made up front and
belong to the request, so that the same traffic meets every decider, and a changed weight changes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

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
_BLOCK_S: Final = 600.0
LONGEST_REQUEST_S: Final = FUNCTION_TIMEOUT_MS / 1000 + 10.0
"""Time-out and INIT: no request ends later after its arrival."""
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


class TrafficSource(Protocol):
    """Where a rehearsal's requests come from."""

    @property
    def scenario(self) -> Scenario:
        """What is wrong with the candidate, and how many requests there are."""
        ...

    def history(self, duration_s: float) -> tuple[Floats, NDArray[np.bool_]]:
        """Give latency (ms) and failure of the baseline's requests in ``duration_s`` before the rollout."""
        ...

    def between(self, start_s: float, end_s: float, weight: float, step: int, step_s: float) -> tuple[Requests, Floats]:
        """Give the requests that arrive in [``start_s``, ``end_s``), and when.

        The candidate's weight is ``weight`` since ``step_s``, when step ``step`` began; steps are asked for in order.
        """
        ...


class Traffic:
    """Requests with their draws, by time of arrival: Poisson, in blocks that are drawn when they are first asked for.

    Parameters
    ----------
    scenario
        Rate, latencies, and what is wrong with the candidate.
    seed
        The same seed gives the same requests, however far and in whatever pieces they are asked for.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self._seed = seed
        self._blocks: dict[int, Floats] = {}

    def history(self, duration_s: float) -> tuple[Floats, NDArray[np.bool_]]:
        """Give latency (ms) and failure of the baseline's requests in ``duration_s`` before the rollout."""
        scenario = self.scenario
        n = max(int(scenario.rate_rps * duration_s), 50)
        generator = np.random.default_rng(np.random.SeedSequence([self._seed, 0x68697374]))
        latency = scenario.latency.at(generator.random(n)) + scenario.init_ms * (
            generator.random(n) < scenario.cold_share
        )
        return latency, generator.random(n) < scenario.base_error_rate

    def _block(self, index: int) -> Floats:
        """Give one block, shape (6, n): arrival, and uniforms for arm, failure, level, cold start and slowness."""
        found = self._blocks.get(index)
        if found is None:
            generator = np.random.default_rng(np.random.SeedSequence([self._seed, 0x7461696C, index]))
            n = int(generator.poisson(self.scenario.rate_rps * _BLOCK_S))
            found = generator.random((6, n))
            found[0] = EPOCH_S + (index + np.sort(found[0])) * _BLOCK_S
            # The controller goes forward only: two blocks back nobody asks again.
            self._blocks.pop(index - 3, None)
            self._blocks[index] = found
        return found

    def _drawn(self, start_s: float, end_s: float) -> Floats:
        first, last = int((start_s - EPOCH_S) // _BLOCK_S), int((end_s - EPOCH_S) // _BLOCK_S)
        blocks = np.concatenate([self._block(index) for index in range(max(first, 0), last + 1)], axis=1)
        low, high = np.searchsorted(blocks[0], (start_s, end_s))
        return blocks[:, low:high]

    def between(self, start_s: float, end_s: float, weight: float, step: int, step_s: float) -> tuple[Requests, Floats]:
        """Give the requests that arrive in [``start_s``, ``end_s``) with ``weight`` on the candidate, and when."""
        scenario = self.scenario
        arrival, arm, fail, level, cold_draw, slow_draw = self._drawn(start_s, end_s)
        candidate = arm < weight
        begun = candidate & (arrival >= EPOCH_S + scenario.from_s)
        # Both pools turn over alike; each starts colder right after a shift, the small one more so.
        share = np.where(candidate, 1 - weight, weight) * (arrival < step_s + _POOL_S)
        cold_rate = scenario.cold_share * (1 + 4 * share) * np.where(begun, scenario.cold, 1.0)
        cold = cold_draw < cold_rate
        latency = scenario.latency.at(level)
        if scenario.tail != 1.0:
            latency = np.where(begun, scenario.latency.at(level, scenario.tail), latency)
        slow = begun & (slow_draw < scenario.slow_share)
        latency = np.where(slow, latency * scenario.slow_factor, latency) + scenario.init_ms * cold
        timed_out = latency > FUNCTION_TIMEOUT_MS
        error = fail < scenario.base_error_rate * np.where(begun, scenario.errors, 1.0)
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

    traffic: TrafficSource
    plan: Plan
    histograms: bool = False
    _chunk: list[Batch] = field(default_factory=list)
    _chunk_step: int = -1
    _chunk_start_s: float = 0.0
    _in_flight: tuple[Requests, Floats] | None = None
    looked: list[tuple[float, Batch]] = field(default_factory=list)

    def reference(self, now_s: float) -> Reference:  # noqa: ARG002  (the port's signature)
        """Draw the baseline's history of half an hour, and fix the thresholds from it."""
        latency, failed = self.traffic.history(self.plan.history_s)
        return reference_of(
            self.plan.objectives,
            {"execution_ms": latency},
            {"error_rate": float(failed.mean())},
            requests=len(latency),
            requests_per_s=self.traffic.scenario.rate_rps,
        )

    def look(self, spans: Sequence[StepSpan], reference: Reference, since_s: float, now_s: float) -> Batch:  # noqa: ARG002  (the port's)
        """Give what ended since the last look (the arguments are the port's)."""
        span = spans[-1]
        every_s = self.plan.look_every_s
        index = round((now_s - self._chunk_start_s) / every_s) - 1
        if span.index != self._chunk_step or index >= len(self._chunk):
            fresh = span.index != self._chunk_step
            start_s = span.start_s if fresh else self._chunk_start_s + len(self._chunk) * every_s
            if fresh:
                self._in_flight = self._begun_before(spans)
            self._fill(span, start_s, reference)
            index = round((now_s - self._chunk_start_s) / every_s) - 1
        batch = self._chunk[index] if 0 <= index < len(self._chunk) else Batch()
        self.looked.append((now_s, batch))
        return batch

    def _begun_before(self, spans: Sequence[StepSpan]) -> tuple[Requests, Floats] | None:
        """Give the requests that arrived in the step before and end in this one."""
        if len(spans) < 2:
            return None
        before, start_s = spans[-2], spans[-1].start_s
        since_s = max(before.start_s, start_s - LONGEST_REQUEST_S)
        requests, arrival = self._between(before, since_s, start_s)
        ended = _ended(requests, arrival)
        return requests.picked(ended >= start_s), ended[ended >= start_s]

    def _between(self, span: StepSpan, start_s: float, end_s: float) -> tuple[Requests, Floats]:
        return self.traffic.between(start_s, end_s, self.plan.steps[span.index].weight, span.index, span.start_s)

    def _fill(self, span: StepSpan, start_s: float, reference: Reference) -> None:
        """Reduce the next looks in one go: a thousand rehearsals in minutes depend on it."""
        every_s = self.plan.look_every_s
        end_s = start_s + _CHUNK_LOOKS * every_s
        requests, arrival = self._between(span, start_s, end_s)
        ended = _ended(requests, arrival)
        if self._in_flight is not None:
            requests, ended = (
                self._in_flight[0].joined(requests),
                np.concatenate([self._in_flight[1], ended]),
            )
        shown = ended < end_s
        self._in_flight = (requests.picked(~shown), ended[~shown])
        look = np.clip(((ended[shown] - start_s) // every_s).astype(np.int64), 0, _CHUNK_LOOKS - 1)
        self._chunk = reduce_requests(
            requests.picked(shown),
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


def _ended(requests: Requests, arrival_s: Floats) -> Floats:
    ended: Floats = arrival_s + requests.latencies_ms["execution_ms"] / 1000
    return ended
