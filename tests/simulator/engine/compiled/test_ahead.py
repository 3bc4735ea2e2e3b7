"""Sorting a block's ends gives what the reference gives, and the kernel that keeps every event in a heap."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.client_policy import ClientPolicy
from simulator.draws import Draws
from simulator.engine import reference
from simulator.engine.compiled import ahead
from simulator.engine.compiled.run import Run
from simulator.model_policy import ModelCall, ModelQuota
from simulator.platform import Platform, VersionSettings
from simulator.provisioned import ProvisionedChange, TargetTracking
from simulator.rollout import Rollout
from tests.simulator.engine.both import differences, simulate
from tests.simulator.engine.compiled.random_worlds import random_world, without_feedback
from tests.simulator.engine.compiled.test_same import part_of
from tests.simulator.worlds import draws

AT_REST = Rollout.constant(0.0)
ROOMY = Platform(
    versions={"v": VersionSettings(timeout_s=2.0)},
    account_concurrency=10**6,
    scale_out_environments=10**6,
    gateway_burst=10**6,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([5, 60, 300]), st.lists(st.integers(0, 300), max_size=3).map(sorted))
def test_every_request_is_the_same_however_it_is_cut(seed: int, most_requests: int, cuts: list[int]) -> None:
    world = without_feedback(random_world(seed, most_requests))
    assert ahead.fits(world.platform)
    expected = reference.simulate(world.draws, world.platform, world.rollout)
    run = Run(world.platform, world.rollout, world.draws.requests)
    for part in _parts(world.draws, cuts):
        run.feed(part)
    run.finish()
    assert differences(expected, run.compact().outcomes(world.draws.arrival_s)) == []


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 300), max_size=3).map(sorted))
def test_figures_are_those_of_the_kernel(seed: int, cuts: list[int]) -> None:
    world = without_feedback(random_world(seed, 300))
    runs = [Run(world.platform, world.rollout, None, sort_ends=sort_ends) for sort_ends in (True, False)]
    for run in runs:
        for part in _parts(world.draws, cuts):
            run.feed(part)
        run.finish()
    one, other = (run.world for run in runs)
    for name in ("figures", "refusals", "latencies"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.mark.parametrize("rate_rps", [5.0, 3000.0])
def test_what_outlives_a_block_goes_on(rate_rps: float) -> None:
    # Two blocks and a part; at the second rate, as many are at work as a block holds.
    n = 2 * ahead.BLOCK_REQUESTS + 1000
    rng = np.random.default_rng(1)
    handler_ms = rng.exponential(900.0 if rate_rps < 100 else 2500.0, n)
    given_draws = draws(np.cumsum(rng.exponential(1 / rate_rps, n)), handler_ms=handler_ms, versions=1)
    platform = replace(ROOMY, versions={"v": VersionSettings(timeout_s=6.0, provisioned=2)}, suppressed_init=False)
    run = simulate(given_draws, platform, AT_REST)
    assert run.cold.sum() >= 10
    # Two environments, each busy for some seconds with each.
    assert run.provisioned.sum() > 5


def test_a_handler_that_takes_no_time_ends_after_it_came() -> None:
    # At one instant: the first comes and ends, then the second, which so finds its environment free.
    run = simulate(draws([1.0, 1.0, 1.0, 5.0], handler_ms=0.0, init_ms=0, versions=1), ROOMY, AT_REST)
    assert run.environment.tolist() == [0, 0, 0, 0]


def test_arrivals_may_lie_decades_apart() -> None:
    # More than the ends of one block can tell: it is halved until they fit.
    year_s = 365.25 * 86_400.0
    arrival_s = np.concatenate([[0.0, 1.0, 2.0], 5 * year_s * np.arange(1, 40), [200 * year_s, 200 * year_s + 2.0]])
    run = simulate(draws(arrival_s, handler_ms=1500.0, versions=1), ROOMY, AT_REST)
    assert run.cold.tolist() == [True, True, False, *(True for _ in range(40)), False]


def test_what_can_feed_back_takes_the_other_way() -> None:
    call = ModelCall("m", 100)
    quotas = {"m": ModelQuota(60)}
    with_feedback = [
        replace(ROOMY, client=ClientPolicy(max_attempts=2)),
        replace(ROOMY, quotas=quotas, versions={"v": VersionSettings(model=call)}),
        replace(ROOMY, versions={"v": VersionSettings(provisioned_changes=(ProvisionedChange(1.0, 1),))}),
        replace(ROOMY, versions={"v": VersionSettings(provisioned=1, target_tracking=TargetTracking(1, 2))}),
    ]
    assert [ahead.fits(platform) for platform in with_feedback] == [False] * 4
    assert ahead.fits(ROOMY)
    # Patience and provisioned concurrency that stays change nothing: the end is known.
    assert ahead.fits(
        replace(ROOMY, client=ClientPolicy(timeout_s=1.0), versions={"v": VersionSettings(provisioned=3)})
    )


def _parts(whole: Draws, cuts: list[int]) -> list[Draws]:
    n = whole.requests
    edges = [0, *(min(cut, n) for cut in cuts), n]
    return [part_of(whole, begin, end) for begin, end in itertools.pairwise(edges)]
