from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from simulator.arrivals import poisson
from simulator.bursty import BurstyArrivals, dispersion, fit_arrivals
from simulator.errors import FitError, ParameterError
from simulator.importers import import_trace
from simulator.trace import Trace, make_trace


def trace_at(arrival_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Trace:
    return make_trace(pl.DataFrame({"arrival_s": arrival_s}))


def test_counts_vary_as_the_formula_says() -> None:
    process = BurstyArrivals(5.0, 200_000.0, squared_variation=0.5, holding_s=20.0)
    runs = [process.draw(np.random.default_rng(seed)) for seed in range(6)]
    assert np.mean([run.size for run in runs]) == pytest.approx(process.expected_requests, rel=0.01)
    assert np.all(np.diff(runs[0]) >= 0)
    for window_s in (1.0, 20.0, 100.0):
        ratio = window_s / 20.0
        wanted = 1.0 + 2.0 * 5.0 * 0.5 * 20.0 * (1.0 - (1.0 - np.exp(-ratio)) / ratio)
        seen = np.mean([dispersion(run, process.duration_s, window_s) for run in runs])
        assert seen == pytest.approx(wanted, rel=0.1)


def test_bursts_are_found_with_their_size_and_length() -> None:
    process = BurstyArrivals(5.0, 20_000.0, squared_variation=0.4, holding_s=30.0)
    fit = fit_arrivals(trace_at(process.draw(np.random.default_rng(2))))
    assert fit.kind == "bursty"
    assert fit.process.squared_variation == pytest.approx(0.4, rel=0.35)
    assert fit.process.holding_s == pytest.approx(30.0, rel=0.5)
    assert fit.failed == []


@pytest.mark.parametrize("seed", range(3))
def test_poisson_stays_poisson(seed: int) -> None:
    fit = fit_arrivals(trace_at(poisson(5.0, 2_000.0).draw(np.random.default_rng(seed))))
    assert (fit.kind, fit.process.squared_variation, fit.warnings()) == ("poisson", 0.0, [])


def test_a_process_that_does_not_fit_is_said_aloud() -> None:
    # Every five seconds on the clock: more regular than any Poisson process, however its rate moves.
    fit = fit_arrivals(trace_at(np.arange(500) * 5.0))
    assert "interarrival_cv" in fit.failed
    assert "replay the recorded arrivals instead" in fit.warnings()[0]
    assert fit.to_json()["fits"] is False


def test_scaling_keeps_the_bursts_and_lasting_the_rate() -> None:
    process = BurstyArrivals(5.0, 100.0, 0.4, 30.0)
    assert process.scaled(3.0).expected_requests == 1500.0
    assert process.lasting(10.0).expected_requests == 50.0
    assert process.scaled(3.0).squared_variation == 0.4


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(FitError, match="3 arrivals in 2 s; a process needs 50"):
        fit_arrivals(trace_at(np.arange(3.0)))
    with pytest.raises(ParameterError, match=r"holding_s=0\.0 must be above 0"):
        BurstyArrivals(1.0, 1.0, 0.1, 0.0)


def test_a_production_service_is_bursty_and_fitted(shared_data: Path) -> None:
    fit = fit_arrivals(import_trace(shared_data / "azure_llm_conv_2023-11-16.csv", "azure-llm"))
    assert fit.kind == "bursty"
    assert fit.failed == []
