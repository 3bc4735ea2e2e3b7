"""The compiled engine does what the reference does, attempt by attempt, with everything on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.draws import Draws
from simulator.engine import compiled, reference
from simulator.engine.compiled.run import BLOCK_REQUESTS, Run
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout, Stage
from tests.simulator.engine.both import differences, simulate
from tests.simulator.engine.compiled.random_worlds import random_platform, random_world
from tests.simulator.worlds import draws


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([5, 20, 60]))
def test_every_attempt_is_the_same(seed: int, most_requests: int) -> None:
    world = random_world(seed, most_requests)
    simulate(world.draws, world.platform, world.rollout)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_of_draws_change_nothing(seed: int) -> None:
    # More requests than one block holds, so many in flight that the window grows, and retries that reach back.
    rng = np.random.default_rng(seed)
    n = 2 * BLOCK_REQUESTS + 1000
    platform = random_platform(np.random.default_rng(seed + 1))
    attempts = platform.client.max_attempts
    by_version, by_attempt = (2, attempts, n), (attempts, n)
    given_draws = draws(
        np.sort(rng.random(n)) * 20.0,
        handler_ms=rng.exponential(800.0, by_version),
        cold_handler_ms=rng.exponential(800.0, by_version),
        init_ms=rng.exponential(300.0, by_version),
        route=rng.random(by_attempt),
        client_jitter=rng.random(by_attempt),
        inference_ms=rng.exponential(500.0, by_version),
        sdk_jitter=rng.random((attempts, 5, n)),
        attempts=attempts,
    )
    rollout = Rollout.constant(0.0) if len(platform.versions) == 1 else Rollout((Stage(0.0, 0.2), Stage(10.0, 0.8)))
    simulate(given_draws, platform, rollout)


def test_what_grows_grows() -> None:
    # Thousands at work at one time, in one block and over several: events, environments and window are doubled.
    n = BLOCK_REQUESTS + 5000
    given_draws = draws(np.arange(n) * 1e-4, handler_ms=np.linspace(1500.0, 2500.0, n), versions=1)
    platform = Platform(
        versions={"v": VersionSettings(timeout_s=2.0)},
        account_concurrency=10**6,
        scale_out_environments=10**6,
        gateway_burst=10**6,
    )
    run = simulate(given_draws, platform, Rollout.constant(0.0))
    assert len(set(run.environment.tolist())) > 9000


def test_a_row_takes_48_bytes() -> None:
    given_draws = draws(np.arange(1000) / 10.0, versions=1)
    found = compiled.simulate_compact(given_draws, Platform(versions={"v": VersionSettings()}), Rollout.constant(0.0))
    assert found.bytes_per_request == 48.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_a_run_can_stop_anywhere_and_go_on(seed: int, cut: int) -> None:
    world = random_world(seed)
    whole = reference.simulate(world.draws, world.platform, world.rollout)
    cut = min(cut, world.draws.requests)
    run = Run(world.platform, world.rollout, world.draws.requests)
    for part in (part_of(world.draws, 0, cut), part_of(world.draws, cut, world.draws.requests)):
        run.feed(part)
    run.finish()
    assert differences(whole, run.compact().outcomes(world.draws.arrival_s)) == []


def part_of(whole: Draws, begin: int, end: int) -> Draws:
    """Give the draws of some of the requests."""
    model = whole.model
    return Draws(
        **{
            name: None if values is None else values[..., begin:end]
            for name, values in vars(whole).items()
            if name != "model"
        },
        model=None if model is None else type(model)(**{k: v[..., begin:end] for k, v in vars(model).items()}),
    )
