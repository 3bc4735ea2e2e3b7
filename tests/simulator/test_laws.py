"""The fitted laws: tail, drift, sample, cold start, keep-alive. Each against a truth that is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import genpareto

from simulator.drift import fit_drift
from simulator.environments import ColdRows, fit_cold, fit_log_normal
from simulator.errors import FitError
from simulator.keep_alive import fit_keep_alive
from simulator.quantiles import FloatArray
from simulator.sample import fit_sample
from simulator.tail import GeneralisedPareto, fit_tail
from simulator.trace import make_trace
from tests.simulator.worlds import wandering


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.4])
def test_the_tails_quantiles_are_those_of_scipy(shape: float) -> None:
    levels = np.linspace(0.0, 0.999, 50)
    ours = GeneralisedPareto(shape, 2.0).quantile(levels)
    np.testing.assert_allclose(ours, genpareto(shape, scale=2.0).ppf(levels), rtol=1e-9)


def test_what_exceeds_a_further_threshold_follows_the_tail_above_it() -> None:
    law = GeneralisedPareto(0.2, 1.0)
    reached = law.quantile(np.array([0.9]))[0]
    further = law.above(float(reached)).quantile(np.array([0.5]))[0]
    assert reached + further == pytest.approx(law.quantile(np.array([0.95]))[0])


def test_the_unit_does_not_matter_to_the_tail() -> None:
    excesses = genpareto(0.25, scale=3.0).rvs(40, random_state=np.random.default_rng(1))
    one, other = fit_tail(excesses), fit_tail(1000.0 * excesses)
    assert other.mean_shape == pytest.approx(one.mean_shape)
    ours, theirs = (fit.draw(np.random.default_rng(2)) for fit in (one, other))
    assert (theirs.shape, theirs.scale) == (pytest.approx(ours.shape), pytest.approx(1000.0 * ours.scale))


def test_beyond_the_end_of_a_bounded_tail_there_is_hardly_anything() -> None:
    further = GeneralisedPareto(-0.5, 1.0).above(5.0).quantile(np.array([0.5, 0.999]))
    assert (further > 0.0).all()
    assert (further < 0.2).all()


def test_many_excesses_find_the_tails_shape_and_few_do_not_pretend_to() -> None:
    rng = np.random.default_rng(0)
    many = fit_tail(genpareto(0.25, scale=3.0).rvs(4000, random_state=rng))
    assert many.mean_shape == pytest.approx(0.25, abs=0.06)
    few = fit_tail(genpareto(0.25, scale=3.0).rvs(6, random_state=rng))
    shapes = [few.draw(rng).shape for _ in range(500)]
    # As wide as what was taken for likely before, and no wider.
    assert 0.1 < np.std(shapes) < 0.17
    assert np.std([many.draw(rng).shape for _ in range(500)]) < 0.05


def test_drift_is_seen_where_there_is_some_and_not_where_there_is_none() -> None:
    rng = np.random.default_rng(3)
    time_s = np.arange(16) * 10.0
    error = np.full(16, 0.02)
    still = [fit_drift(time_s, rng.normal(0, 0.02, 16), error, scale=0.2) for _ in range(20)]
    walks = [np.cumsum(rng.normal(0, 0.05, 16)) for _ in range(20)]
    moving = [fit_drift(time_s, rng.normal(0, 0.02, 16) + walk, error, scale=0.2) for walk in walks]
    assert np.median([fit.drift_probability for fit in still]) < 0.5
    assert min(fit.drift_probability for fit in moving) > 0.95
    assert np.mean([fit.mean_sd for fit in still]) < 0.01 < 0.05 < min(fit.mean_sd for fit in moving)


def test_the_doubt_about_a_drifting_level_grows_with_the_distance() -> None:
    rng = np.random.default_rng(3)
    time_s = np.arange(16) * 10.0
    walk = np.cumsum(rng.normal(0, 0.05, 16))
    fit = fit_drift(time_s, walk + rng.normal(0, 0.02, 16), np.full(16, 0.02), scale=0.2)
    paths = fit.at(np.array([151.0, 200.0, 600.0]))
    drawn = np.array([paths.draw(rng) for _ in range(2000)])
    spread = drawn.std(axis=0)
    assert spread[0] < spread[1] < spread[2]
    # Right after the last window the path starts where that window stood, measured from the mean of all of them.
    assert drawn[:, 0].mean() == pytest.approx(walk[-1] - walk.mean(), abs=3 * spread[0])


def test_without_drift_a_path_stays_where_it_is() -> None:
    fit = fit_drift(np.array([0.0]), np.array([6.5]), np.array([0.1]), scale=1e-12)
    assert np.abs(fit.at(np.array([1.0, 9.0])).draw(np.random.default_rng(0))).max() < 1e-9


def _drawn(values: FloatArray, time_s: FloatArray | None, n: int, replications: int = 300) -> FloatArray:
    fit = fit_sample(values, time_s)
    end_s = 0.0 if time_s is None else float(time_s[-1])
    prepared = fit.prepare(end_s, 2.0 * end_s)
    found = []
    for replication in range(replications):
        rng = np.random.default_rng(replication)
        found.append(prepared.draw(rng).at(rng.random(n), np.linspace(end_s, 2.0 * end_s, n))[0])
    return np.array(found)


def test_a_sample_is_drawn_as_it_was_recorded() -> None:
    rng = np.random.default_rng(5)
    values = 600.0 * np.exp(0.2 * rng.standard_normal(2000))
    drawn = _drawn(values, np.arange(2000) * 0.1, 2000, 60)
    for level in (0.05, 0.5, 0.95, 0.99):
        each = np.quantile(drawn, level, axis=1)
        assert np.median(each) == pytest.approx(np.quantile(values, level), rel=0.015)


def test_undrifting_data_do_not_widen_the_interval() -> None:
    rng = np.random.default_rng(6)
    widths = []
    for _ in range(12):
        values = 600.0 * np.exp(0.2 * rng.standard_normal(400))
        medians = np.median(_drawn(values, np.arange(400) * 0.1, 250, 150), axis=1)
        low, high = np.quantile(medians, [0.025, 0.975])
        widths.append((high - low) / 600.0)
    # What chance alone asks for: 2 × 1.96 × 1.253 σ √(1/400 + 1/250).
    needed = 2 * 1.96 * 1.253 * 0.2 * np.sqrt(1 / 400 + 1 / 250)
    assert needed * 0.85 < np.mean(widths) < needed * 1.6


def test_drifting_data_widen_it() -> None:
    rng = np.random.default_rng(7)
    time_s = np.arange(800) * 0.1
    values = wandering(600.0, 0.1, drift_log_sd=0.1, correlation_s=15.0)(rng, time_s)
    medians = np.median(_drawn(values, time_s, 250, 150), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    assert (high - low) / 600.0 > 4 * 2 * 1.96 * 1.253 * 0.1 * np.sqrt(1 / 800 + 1 / 250)


def test_beyond_a_small_sample_the_tail_reaches_further_than_its_maximum() -> None:
    rng = np.random.default_rng(8)
    truth = 600.0 * np.exp(0.2 * 2.326)
    held, beyond = 0, 0
    for _ in range(40):
        values = 600.0 * np.exp(0.2 * rng.standard_normal(40))
        p99 = np.quantile(_drawn(values, None, 1000, 100), 0.99, axis=1)
        low, high = np.quantile(p99, [0.025, 0.975])
        held += low < truth < high
        beyond += high > values.max()
    assert beyond == 40
    assert held >= 34


@pytest.mark.parametrize("values", [np.full(50, 12.0), np.array([5.0]), np.array([1.0, 2.0])])
def test_constant_and_tiny_samples_can_be_drawn(values: FloatArray) -> None:
    drawn = _drawn(values, np.arange(values.size) * 1.0, 20, 10)
    assert drawn.min() >= values.min() * (1 - 1e-6)
    assert drawn.max() <= values.max() * (1 + 1e-6)


def test_requests_that_all_come_at_once_can_be_fitted() -> None:
    rng = np.random.default_rng(4)
    # Most of them take the same time, so that the windows' medians have no error of their own.
    values = np.where(rng.random(400) < 0.8, 10.0, rng.lognormal(3.0, 0.3, 400))
    drawn = _drawn(values, np.zeros(400), 100, 10)
    assert np.median(drawn) == pytest.approx(10.0)
    assert np.isfinite(drawn).all()


def test_a_large_sample_is_thinned_without_moving_its_quantiles() -> None:
    rng = np.random.default_rng(9)
    values = 600.0 * np.exp(0.3 * rng.standard_normal(60_000))
    drawn = _drawn(values, None, 200_000, 3)
    for level in (0.1, 0.5, 0.9, 0.999):
        assert np.quantile(drawn[0], level) == pytest.approx(np.quantile(values, level), rel=0.02)


@pytest.mark.parametrize(("values", "message"), [([], "no value"), ([0.0], "latency of 0 ms"), ([np.nan], "nan")])
def test_what_is_no_latency_is_refused(values: list[float], message: str) -> None:
    with pytest.raises(FitError, match=message):
        fit_sample(np.array(values))


def _cold(total_ms: list[float], handler_ms: list[float], init_ms: list[float]) -> ColdRows:
    return ColdRows(
        total_ms=np.array(total_ms),
        handler_ms=np.array(handler_ms),
        init_ms=np.array(init_ms),
        warm_total_ms=110.0,
        warm_handler_ms=100.0,
        warm_total_variance=25.0,
    )


def _cold_total_ms(fit_of: ColdRows, both: list[ColdRows], *, n: int = 2000) -> tuple[FloatArray, FloatArray]:
    fit = fit_cold(fit_of, both, caller_recorded=True)
    init_ms, rest_ms = [], []
    for replication in range(100):
        rng = np.random.default_rng(replication)
        law = fit.draw(rng)
        uniforms = rng.random(n // 100)
        handler_ms, setup_ms = law.handler_and_setup_ms(uniforms, np.full(n // 100, 100.0), np.full(n // 100, 10.0))
        assert (setup_ms >= 0).all()
        rest_ms.append(handler_ms + setup_ms + 10.0)
        init_ms.append(law.init_ms(uniforms))
    return np.concatenate(init_ms), np.concatenate(rest_ms)


def test_many_cold_starts_of_its_own_are_used_as_they_are() -> None:
    rng = np.random.default_rng(0)
    own = _cold(list(rng.normal(200, 10, 40)), list(rng.normal(120, 5, 40)), list(rng.normal(500, 20, 40)))
    init_ms, rest_ms = _cold_total_ms(own, [own])
    assert fit_cold(own, [own], caller_recorded=True).source == "own"
    assert np.median(init_ms) == pytest.approx(500, rel=0.03)
    assert np.median(rest_ms) == pytest.approx(200, rel=0.03)


def test_few_cold_starts_borrow_from_the_other_variant() -> None:
    rng = np.random.default_rng(0)
    own = _cold([], [], [])
    other = _cold(list(rng.normal(160, 5, 5)), list(rng.normal(120, 5, 5)), list(rng.normal(500, 20, 5)))
    fit = fit_cold(own, [own, other], caller_recorded=True)
    assert (fit.source, fit.init_source, fit.starts) == ("both variants", "both variants", 5)
    init_ms, rest_ms = _cold_total_ms(own, [own, other])
    assert np.median(init_ms) == pytest.approx(500, rel=0.08)
    assert np.median(rest_ms) == pytest.approx(160, rel=0.08)


def test_without_any_cold_start_published_figures_stand_in_with_wide_doubt() -> None:
    own = _cold([], [], [])
    fit = fit_cold(own, [own], caller_recorded=True)
    assert (fit.source, fit.init_source) == ("published", "published")
    init_ms, rest_ms = _cold_total_ms(own, [own])
    assert 400 < np.median(init_ms) < 620
    assert np.quantile(init_ms, 0.975) / np.quantile(init_ms, 0.025) > 1.8
    assert np.median(rest_ms) == pytest.approx(110 + 133, rel=0.15)


def test_cold_starts_without_a_recorded_init_have_it_in_their_setup() -> None:
    own = _cold([700.0] * 10, [120.0] * 10, [np.nan] * 10)
    fit = fit_cold(own, [own], caller_recorded=True)
    assert fit.init_source == "part of the setup"
    init_ms, rest_ms = _cold_total_ms(own, [own])
    assert init_ms.max() == 0.0
    assert np.median(rest_ms) == pytest.approx(700.0)


def test_a_lognormal_of_few_values_doubts_its_centre_more_than_one_of_many() -> None:
    rng = np.random.default_rng(0)
    few, many = (fit_log_normal(np.exp(rng.normal(6.0, 0.1, n))) for n in (3, 300))
    spreads = [np.std([fit.draw(rng).log_mean for _ in range(400)]) for fit in (few, many)]
    assert spreads[0] > 5 * spreads[1]


def _idle(reused_s: list[float], lost_s: list[float], seed: int = 0) -> pl.DataFrame:
    """A trace in which environments are reused after the one idle times and found gone after the others."""
    rows, now_s, number = [], 0.0, 0
    for idle_s, lost in [*((each, False) for each in reused_s), *((each, True) for each in lost_s)]:
        name = f"e{number}"
        rows.append((now_s, name, True))
        now_s += 1.0 + idle_s
        number += 1
        rows.append((now_s, f"e{number}" if lost else name, lost))
        number += 1
        now_s += 1e6
    return pl.DataFrame(rows, schema=["arrival_s", "environment_id", "cold"], orient="row").with_columns(
        client_ms=pl.lit(1000.0)
    )


def test_the_keep_alive_lies_between_the_longest_reuse_and_the_shortest_loss() -> None:
    fit = fit_keep_alive(make_trace(_idle([10.0, 300.0, 599.0], [601.0, 700.0, 900.0])))
    assert fit is not None
    rng = np.random.default_rng(0)
    lived_s = np.concatenate([fit.draw(rng).at(rng.random(50)) for _ in range(50)])
    assert ((lived_s >= 599.0) & (lived_s <= 601.0)).all()
    # The first environment of each pair is never seen again either: they too were lost, some time in the long pause.
    summary = fit.summary()
    lifetime = summary.pop("lifetime")
    assert summary == {"p5_s": 600.0, "p50_s": 600.0, "p95_s": 600.0, "reuses": 3, "losses": 8}
    # None of them had to be explained by age.
    assert lifetime["losses_by_age"] < 0.5


def test_where_between_reuse_and_loss_the_keep_alive_lies_is_in_doubt() -> None:
    fit = fit_keep_alive(make_trace(_idle([10.0, 50.0, 100.0], [500.0, 700.0, 900.0])))
    assert fit is not None
    rng = np.random.default_rng(3)
    middles_s = [fit.draw(rng).at(np.array([0.5]))[0] for _ in range(50)]
    assert 100.0 <= min(middles_s) < 200.0
    assert 400.0 < max(middles_s) <= 500.0


def test_a_keep_alive_that_varies_is_found_as_a_law() -> None:
    # A third of the environments are gone after 200 s, the others live to 600 s.
    rng = np.random.default_rng(1)
    idle_s = rng.uniform(0, 900, 3000)
    lives_s = np.where(rng.random(3000) < 1 / 3, 200.0, 600.0)
    fit = fit_keep_alive(make_trace(_idle(list(idle_s[idle_s < lives_s]), list(idle_s[idle_s >= lives_s]))))
    assert fit is not None
    drawn_s = np.concatenate([fit.draw(rng).at(rng.random(200)) for _ in range(20)])
    assert (drawn_s < 400).mean() == pytest.approx(1 / 3, abs=0.05)
    assert np.quantile(drawn_s, [0.1, 0.9]) == pytest.approx([200, 600], rel=0.05)


def test_few_idle_periods_leave_more_doubt_about_the_keep_alive_than_many() -> None:
    rng = np.random.default_rng(2)
    spreads = []
    for periods in (30, 3000):
        idle_s = rng.uniform(0, 900, periods)
        lives_s = np.where(rng.random(periods) < 1 / 3, 200.0, 600.0)
        fit = fit_keep_alive(make_trace(_idle(list(idle_s[idle_s < lives_s]), list(idle_s[idle_s >= lives_s]))))
        assert fit is not None
        uniforms = (np.arange(200) + 0.5) / 200
        spreads.append(np.std([(fit.draw(rng).at(uniforms) < 400).mean() for _ in range(100)]))
    assert spreads[0] > 3 * spreads[1] > 0


@pytest.mark.parametrize(("reused_s", "lost_s"), [([10.0], []), ([], [10.0])])
def test_a_trace_that_shows_one_side_only_has_no_keep_alive(reused_s: list[float], lost_s: list[float]) -> None:
    assert fit_keep_alive(make_trace(_idle(reused_s, lost_s))) is None


def test_a_trace_without_environments_has_no_keep_alive() -> None:
    assert fit_keep_alive(make_trace(pl.DataFrame({"arrival_s": [0.0, 1.0]}))) is None
