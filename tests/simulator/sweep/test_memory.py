from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.draws import Randomness
from simulator.errors import ParameterError
from simulator.service import PreparedService, fit_services
from simulator.sweep.memory import FULL_CPU_MB, AtMemory, memory_notes, own_factor
from simulator.trace import Trace, make_trace
from tests.simulator.worlds import World

TRACE = World().record(3).candidate
TIMES_S = np.linspace(0.0, 10.0, 200)


def at_512(*, inference: float | None = 0.8) -> Trace:
    """Give the recording as one at 512 MB of which the model's call took a share of the handler."""
    frame = TRACE.frame.with_columns(
        pl.lit(512).alias("memory_mb"),
        (pl.lit(None) if inference is None else pl.col("duration_ms") * inference).alias("inference_ms"),
        pl.lit(200).alias("max_memory_mb"),
    )
    return make_trace(frame, TRACE.metadata)


def service(trace: Trace) -> PreparedService:
    fits = fit_services({"optimized": trace}, latency="client_ms", token_usd={"optimized": np.zeros(len(trace))})
    return fits["optimized"].prepare(0.0, 10.0)


@given(st.integers(128, 10_240), st.integers(128, 10_240))
def test_more_memory_is_never_slower_and_beyond_one_cpu_never_faster(recorded: int, memory: int) -> None:
    factor = own_factor(recorded, memory)
    assert factor == pytest.approx(1.0 / own_factor(memory, recorded))
    assert (factor <= 1.0) == (min(memory, FULL_CPU_MB) >= min(recorded, FULL_CPU_MB))
    assert own_factor(recorded, max(memory, FULL_CPU_MB)) == own_factor(recorded, FULL_CPU_MB)


def test_the_handlers_own_time_scales_and_the_models_call_does_not() -> None:
    recorded = service(at_512())
    randomness = Randomness(1, 2)
    before = recorded.draw(randomness, TIMES_S, version=1)
    after = AtMemory(recorded, 1024).draw(randomness, TIMES_S, version=1)
    # Four fifths wait for the model, one fifth is halved.
    assert np.allclose(after.handler_ms, 0.9 * before.handler_ms)
    assert np.array_equal(after.inference_ms, before.inference_ms)
    cold_own_ms = before.cold_handler_ms - before.inference_ms
    assert np.allclose(after.cold_handler_ms, before.inference_ms + 0.5 * cold_own_ms)
    for name in ("init_ms", "setup_ms", "overhead_ms", "row"):
        assert np.array_equal(getattr(after, name), getattr(before, name))


def test_at_the_recorded_size_nothing_changes() -> None:
    recorded = service(at_512())
    before = recorded.draw(Randomness(1), TIMES_S, version=1)
    after = AtMemory(recorded, 512).draw(Randomness(1), TIMES_S, version=1)
    assert np.array_equal(after.handler_ms, before.handler_ms)


def test_without_inference_times_only_the_price_changes_and_the_notes_say_so() -> None:
    trace = at_512(inference=None)
    recorded = service(trace)
    before = recorded.draw(Randomness(1), TIMES_S, version=1)
    assert np.array_equal(
        AtMemory(recorded, 2048).draw(Randomness(1), TIMES_S, version=1).handler_ms, before.handler_ms
    )
    assert "changes the price only" in memory_notes(trace, "optimized", [2048])[0]
    assert "inverse proportion" in memory_notes(at_512(), "optimized", [2048])[0]
    assert memory_notes(at_512(), "optimized", [512]) == []


def test_what_a_recording_cannot_say_is_refused() -> None:
    with pytest.raises(ParameterError, match="200 MB were used at most"):
        memory_notes(at_512(), "optimized", [1024, 128])
    nameless = make_trace(at_512().frame.with_columns(pl.lit(None).alias("memory_mb")), TRACE.metadata)
    with pytest.raises(ParameterError, match="does not name its memory"):
        memory_notes(nameless, "optimized", [1024])
    with pytest.raises(ParameterError, match="memory was not recorded"):
        AtMemory(service(nameless), 1024)
