from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from simulator.arrivals import ReplayedArrivals, poisson
from simulator.draws import Randomness
from simulator.errors import ParameterError
from simulator.timeline import HISTORY, PlannedStep, make_timeline
from simulator.trace import Trace, TraceMetadata, make_trace


def recording(last_s: float, recorded_at: str | None = None, first_s: float = 0.0) -> Trace:
    frame = pl.DataFrame({"arrival_s": np.linspace(first_s, last_s, 11)})
    return make_trace(frame, TraceMetadata(recorded_at=recorded_at))


def steps() -> list[PlannedStep]:
    return [PlannedStep("10%", 0.1, poisson(5.0, 20.0), 3.0), PlannedStep("100%", 1.0, poisson(5.0, 20.0), 2.0)]


def test_without_times_the_recordings_come_one_after_the_other() -> None:
    found = make_timeline(recording(100.0), recording(50.0), steps(), None, memory_s=600.0)
    # A replay ends one mean gap after its last arrival: 110 and 55 s.
    assert found.starts_s.tolist() == [0.0, 110.0, 168.0, 190.0]
    assert (found.steps_start_s, found.end_s) == (168.0, 210.0)
    assert found.recorded_at_s == (0.0, 110.0)
    assert [stage.weight for stage in found.rollout().stages] == [0.0, 1.0, 0.1, 1.0]


def test_recorded_times_keep_the_recordings_apart() -> None:
    found = make_timeline(
        recording(100.0, "2026-11-01T10:00:00+00:00", first_s=5.0),
        recording(50.0, "2026-11-01T10:05:00+00:00"),
        steps(),
        None,
        memory_s=600.0,
    )
    # The timeline starts with the baseline's first arrival, five seconds into its recording.
    assert found.starts_s[:2].tolist() == [0.0, 295.0]
    assert found.recorded_at_s == (-5.0, 295.0)


def test_a_candidate_recorded_first_comes_first() -> None:
    found = make_timeline(
        recording(100.0, "2026-11-01T10:05:00+00:00"),
        recording(50.0, "2026-11-01T10:00:00+00:00"),
        steps(),
        None,
        memory_s=600.0,
    )
    assert [phase.weight for phase in found.phases[:2]] == [1.0, 0.0]
    assert found.recorded_at_s == (300.0, 0.0)


@pytest.mark.parametrize(
    "times",
    [("2026-11-01T10:00:00+00:00", "2026-11-01T10:00:10+00:00"), ("yesterday", "today"), ("2026-11-01T10:00:00", None)],
)
def test_times_that_overlap_or_cannot_be_read_are_not_used(times: tuple[str, str | None]) -> None:
    found = make_timeline(recording(100.0, times[0]), recording(50.0, times[1]), steps(), None, memory_s=600.0)
    assert found.starts_s[:2].tolist() == [0.0, 110.0]


def test_only_what_can_still_be_warm_is_simulated_of_the_history() -> None:
    history = [PlannedStep("before", 0.0, ReplayedArrivals(np.arange(1000.0), 1000.0))]
    found = make_timeline(recording(100.0), recording(50.0), steps(), history, memory_s=60.0)
    arrival_s, step = found.draw(Randomness(0))
    assert arrival_s[0] == 1003.0 - 120.0
    assert (np.diff(arrival_s) >= 0).all()
    assert set(step.tolist()) == {HISTORY, 0, 1}
    assert ((step == 1) == (arrival_s >= found.starts_s[-1])).all()
    # Two minutes of a request a second, and the steps.
    assert found.expected_requests == pytest.approx(117.0 + 200.0)
    # The recordings are taken to have ended with the history.
    assert found.recorded_at_s == (900.0, 950.0)


def test_a_cold_beginning_has_no_history() -> None:
    found = make_timeline(recording(100.0), recording(50.0), steps(), (), memory_s=60.0)
    assert (found.first_step, found.steps_start_s) == (0, 3.0)


def test_steps_need_to_be_there_and_labels_to_differ() -> None:
    with pytest.raises(ParameterError, match="no step"):
        make_timeline(recording(1.0), recording(1.0), [], None, memory_s=60.0)
    with pytest.raises(ParameterError, match="two steps are called '10%'"):
        make_timeline(recording(1.0), recording(1.0), [steps()[0]] * 2, None, memory_s=60.0)
    with pytest.raises(ParameterError, match="gap_before_s=-1"):
        PlannedStep("x", 0.1, poisson(1.0, 1.0), -1)
    with pytest.raises(ParameterError, match="weight 10 is outside 0 to 1"):
        PlannedStep("x", 10, poisson(1.0, 1.0))
