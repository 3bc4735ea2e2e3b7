"""How long environments live, from a trace that only says what was cold."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from simulator.keep_alive import fit_keep_alive, inferred_environments
from simulator.platform import KEEP_ALIVE_S
from simulator.trace import Trace, make_trace


def served(keep_alive_s: float, *, requests: int = 1200, gap_s: float = 40.0, seed: int = 0) -> Trace:
    """Poisson arrivals, the most recently used environment first, each idle for one time at most."""
    rng = np.random.default_rng(seed)
    rows, free, now_s = [], [], 0.0
    for number in range(requests):
        now_s += rng.exponential(gap_s)
        free = [(since_s, name) for since_s, name in free if now_s - since_s <= keep_alive_s]
        idle = [one for one in free if one[0] <= now_s]
        if idle:
            free.remove(max(idle))
        name = max(idle)[1] if idle else f"e{number}"
        rows.append((now_s, name, not idle))
        free.append((now_s + 20.0, name))
    frame = pl.DataFrame(rows, schema=["arrival_s", "environment_id", "cold"], orient="row")
    return make_trace(frame.with_columns(client_ms=pl.lit(20_000.0)))


def test_the_environments_are_those_that_served() -> None:
    trace = served(300.0)
    assert 20 < int(trace.frame["cold"].sum()) < 600
    found = inferred_environments(trace.frame.with_columns(environment_id=pl.lit(None, dtype=pl.String)))
    pairs = pl.DataFrame({"true": trace.frame["environment_id"], "found": found["environment_id"]}).unique()
    assert pairs["true"].n_unique() == pairs["found"].n_unique() == pairs.height


def test_versions_do_not_share_environments() -> None:
    both = pl.concat(
        served(300.0, seed=seed).frame.with_columns(
            pl.format("{}-{}", pl.lit(version), pl.col("environment_id")).alias("environment_id"),
            version=pl.lit(version),
        )
        for seed, version in ((0, "1"), (1, "2"))
    ).sort("arrival_s", maintain_order=True)
    found = inferred_environments(both.with_columns(environment_id=pl.lit(None, dtype=pl.String)))
    pairs = pl.DataFrame({"true": both["environment_id"], "found": found["environment_id"]}).unique()
    assert pairs["true"].n_unique() == pairs["found"].n_unique() == pairs.height


def test_the_start_of_another_version_ends_no_environment() -> None:
    rows = [(0.0, "a", "1", True), (10.0, "a", "1", False), (300.0, "b", "2", True), (310.0, "b", "2", False)]
    frame = pl.DataFrame(rows, schema=["arrival_s", "environment_id", "version", "cold"], orient="row")
    assert fit_keep_alive(make_trace(frame.with_columns(client_ms=pl.lit(1000.0)))) is None
    same = frame.with_columns(version=pl.lit("1"), client_ms=pl.lit(1000.0))
    assert fit_keep_alive(make_trace(same)) is not None


@pytest.mark.parametrize("named", [True, False])
def test_provisioned_environments_say_nothing_of_the_keep_alive(named: bool) -> None:
    alone = served(300.0).frame.with_columns(provisioned=pl.lit(False))
    kept = alone.head(40).with_columns(
        arrival_s=pl.int_range(40) * 1000.0 + 0.5,
        environment_id=pl.lit("kept"),
        cold=pl.lit(False),
        provisioned=pl.lit(True),
    )
    frames = [alone, pl.concat([alone, kept]).sort("arrival_s", maintain_order=True)]
    if not named:
        frames = [frame.with_columns(environment_id=pl.lit(None, dtype=pl.String)) for frame in frames]
    fits = [fit_keep_alive(make_trace(frame)) for frame in frames]
    assert fits[0] is not None
    assert fits[1] is not None
    assert fits[1].summary() == fits[0].summary()


@pytest.mark.parametrize("keep_alive_s", [120.0, 400.0])
def test_the_keep_alive_is_found_without_names(keep_alive_s: float) -> None:
    trace = served(keep_alive_s)
    nameless = make_trace(trace.frame.with_columns(environment_id=pl.lit(None, dtype=pl.String)))
    named, found = fit_keep_alive(trace), fit_keep_alive(nameless)
    assert named is not None
    assert found is not None
    assert found.summary() == named.summary()
    assert found.summary()["p50_s"] == pytest.approx(keep_alive_s, rel=0.2)


def test_what_outlived_the_usual_limit_is_believed_although_nothing_was_lost() -> None:
    patient = make_trace(
        pl.DataFrame(
            {
                "arrival_s": [0.0, 700.0, 2_300.0, 3_000.0],
                "environment_id": ["a"] * 4,
                "cold": [True, False, False, False],
                "client_ms": [1000.0] * 4,
            }
        )
    )
    fit = fit_keep_alive(patient)
    assert fit is not None
    rng = np.random.default_rng(0)
    lived_s = fit.draw(rng).at(rng.random(50))
    assert (lived_s >= 1_599.0).all()
    assert (lived_s <= fit.longest_s).all()
    assert fit.longest_s > KEEP_ALIVE_S
    brief = make_trace(patient.frame.with_columns(arrival_s=pl.col("arrival_s") / 10.0))
    assert fit_keep_alive(brief) is None
