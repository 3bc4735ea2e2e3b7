from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from simulator.drift import fit_drift
from simulator.keep_alive import fit_keep_alive
from simulator.levels import clustering, fit_levels
from simulator.lifetimes import DrawnLifetime, fit_lifetime
from simulator.trace import Trace, make_trace


def aged(keep_alive_s: float, oldest_s: float, seed: int, requests: int = 1500, gap_s: float = 60.0) -> Trace:
    """One environment at a time, asked every minute or so: it ends idle after one time, and of age after another."""
    rng = np.random.default_rng(seed)
    rows, now_s, name, born_s, free_s = [], 0.0, 0, 0.0, 0.0
    for _ in range(requests):
        now_s += rng.exponential(gap_s)
        cold = not rows or now_s - free_s > keep_alive_s or now_s - born_s > oldest_s
        if cold:
            name, born_s = name + 1, now_s
        rows.append((now_s, f"e{name}", cold))
        free_s = now_s + 1.0
    return make_trace(
        pl.DataFrame(rows, schema=["arrival_s", "environment_id", "cold"], orient="row").with_columns(
            client_ms=pl.lit(1000.0)
        )
    )


def test_what_no_idling_explains_is_told_as_age() -> None:
    trace = aged(keep_alive_s=300.0, oldest_s=3000.0, seed=1)
    fit = fit_keep_alive(trace)
    assert fit is not None
    summary = fit.summary()
    starts = int(trace.frame["cold"].sum())
    # 1,500 minutes hold 25 lives of 3,000 s at the most; a gap above 300 s comes once in 150 requests.
    assert 12 < summary["lifetime"]["losses_by_age"] < starts
    assert summary["lifetime"]["p50_s"] == pytest.approx(3000.0, rel=0.15)
    assert summary["p50_s"] == pytest.approx(300.0, rel=0.2)


def test_idling_alone_is_not_taken_for_age() -> None:
    fit = fit_keep_alive(aged(keep_alive_s=150.0, oldest_s=1e9, seed=2))
    assert fit is not None
    assert fit.summary()["lifetime"]["losses_by_age"] < 0.1 * fit.losses
    assert fit.summary()["p50_s"] == pytest.approx(150.0, rel=0.1)


def test_a_hazard_that_is_constant_is_an_exponential_law() -> None:
    law = DrawnLifetime(np.full(14, 1.0 / 500.0))
    uniforms = np.array([0.0, 0.5, 0.9, 1.0 - 1e-9])
    assert law.at(uniforms) == pytest.approx(-500.0 * np.log1p(-uniforms))
    assert law.cumulative(np.array([0.0, 500.0, 20_000.0])) == pytest.approx([0.0, 1.0, 40.0])


def test_exposure_and_ends_are_counted_by_age() -> None:
    fit = fit_lifetime(np.array([0.0, 500.0]), np.array([700.0, 700.0]), np.array([0.0, 1.0]))
    # The second lived half of its 200 s on average: 50 s in each of two stretches.
    assert fit.exposure_s[:2] == pytest.approx([600.0 + 50.0, 100.0 + 50.0])
    assert fit.ends[:2] == pytest.approx([0.5, 0.5])
    assert fit.ends.sum() == pytest.approx(1.0)


def test_an_end_is_put_where_the_law_has_it_more_likely() -> None:
    law = DrawnLifetime(np.array([1e-3, 3e-3] + [1e-3] * 12))
    fit = fit_lifetime(np.array([0.0]), np.array([1200.0]), np.array([1.0]), law)
    assert fit.ends[:3] == pytest.approx([0.25, 0.75, 0.0])


def test_few_ends_leave_more_doubt_about_the_age_than_many() -> None:
    rng = np.random.default_rng(5)
    middles = []
    for ends in (10, 1000):
        fit = fit_lifetime(np.zeros(ends), rng.exponential(2000.0, ends), np.ones(ends))
        drawn_s = np.array([fit.draw(rng).at(np.array([0.5]))[0] for _ in range(300)])
        assert np.median(drawn_s) == pytest.approx(fit.mean().at(np.array([0.5]))[0], rel=0.25)
        middles.append(np.std(drawn_s))
    assert middles[0] > 3 * middles[1] > 0


def test_environments_that_were_never_seen_to_end_do_not_live_for_ever() -> None:
    fit = fit_lifetime(np.zeros(10_000), np.full(10_000, 1e6), np.zeros(10_000))
    rng = np.random.default_rng(6)
    lived_s = np.array([fit.draw(rng).at(np.array([0.5]))[0] for _ in range(200)])
    assert (lived_s <= 365 * 86400.0).all()
    assert np.median(lived_s) > 7400.0


@pytest.mark.parametrize("sd", [0.0, 0.02])
def test_how_environments_differ_is_found(sd: float) -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), rng.integers(5, 46, 40))
    own = sd * rng.standard_normal(40)
    values = np.log(800.0) + own[groups] + 0.03 * rng.standard_normal(groups.size)
    fit = fit_levels(values, groups)
    assert fit is not None
    assert fit.mean_sd == pytest.approx(sd, abs=0.006)
    assert np.std(values - fit.departures) == pytest.approx(0.03, rel=0.1)
    assert np.std(fit.departures) == pytest.approx(sd, abs=0.004)
    # The requests' mean level stays where it was: nothing is forecast lower for having been sorted by environment.
    assert fit.departures.mean() == pytest.approx(0.0, abs=1e-12)


def test_requests_that_took_ten_times_as_long_do_not_hide_how_environments_differ() -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(40), 25)
    own = 0.03 * rng.standard_normal(40)
    values = np.log(800.0) + own[groups] + 0.03 * rng.standard_normal(groups.size)
    values[::100] += np.log(10.0)
    fit = fit_levels(values, groups)
    assert fit is not None
    assert fit.mean_sd == pytest.approx(0.03, abs=0.008)


def test_few_environments_leave_more_doubt_about_the_common_level_than_many() -> None:
    rng = np.random.default_rng(8)
    spreads = []
    for environments in (8, 200):
        groups = np.repeat(np.arange(environments), 20)
        own = 0.1 * rng.standard_normal(environments)
        fit = fit_levels(own[groups] + 0.03 * rng.standard_normal(groups.size), groups)
        assert fit is not None
        spreads.append(np.std([fit.draw(rng)[1] for _ in range(1000)]))
    # Their mean errs with their deviation over the root of their number.
    assert spreads[0] == pytest.approx(0.1 / np.sqrt(8), rel=0.5)
    assert spreads[1] == pytest.approx(0.1 / np.sqrt(200), rel=0.2)


def test_few_environments_say_nothing_of_how_they_differ() -> None:
    values = np.random.default_rng(0).standard_normal(30)
    assert fit_levels(values, np.repeat([0, 1, 2], 10)) is None
    assert fit_levels(values, np.full(30, -1)) is None
    assert clustering(np.array([0, 0, 1, 1])) == 0.5
    assert clustering(np.full(3, -1)) == 0.0


def test_a_short_recording_takes_its_drift_from_a_longer_one_beside_it() -> None:
    rng = np.random.default_rng(4)
    time_s = np.linspace(0.0, 160.0, 16)
    wandering = fit_drift(time_s, 0.05 * np.sin(time_s / 20.0), np.full(16, 0.01), scale=0.1)
    short_s = np.linspace(0.0, 15.0, 8)
    still = 0.01 * rng.standard_normal(8)
    alone, beside = (fit_drift(short_s, still, np.full(8, 0.01), scale=0.1, like=like) for like in (None, wandering))
    later_s = np.array([100.0])
    spreads = [np.std([fit.at(later_s).draw(rng)[0] for _ in range(2000)]) for fit in (alone, beside)]
    assert spreads[1] > 1.5 * spreads[0]
    # Data that rule it out win over the likeness: sixteen windows that stand still.
    steady = fit_drift(time_s, 0.001 * rng.standard_normal(16), np.full(16, 0.01), scale=0.1, like=wandering)
    assert steady.mean_sd < 0.3 * wandering.mean_sd
