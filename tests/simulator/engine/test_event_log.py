"""Whole event logs of small stories, and that watching changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.client_policy import ClientPolicy
from simulator.draws import Draws
from simulator.engine import reference
from simulator.engine.event_log import What, simulate_with_log
from simulator.engine.outcomes import Status
from simulator.errors import ParameterError
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform
from tests.simulator.engine.both import differences
from tests.simulator.engine.compiled.random_worlds import random_world
from tests.simulator.engine.stories import STABLE, platform
from tests.simulator.worlds import draws


def told(given_draws: Draws, given_platform: Platform, *requests: int) -> list[str]:
    """Give a line for each event: time, request, attempt, what, circumstances."""
    _, events = simulate_with_log(given_draws, given_platform, STABLE, requests)
    return [
        f"{event.at_s:.3f} {event.request}.{event.attempt} {event.what.name.lower()}{_details(event.details)}"
        for event in events
    ]


def _details(details: Any) -> str:
    return "".join(f" {name}={value}" for name, value in details.items())


def test_a_cold_and_a_warm_request() -> None:
    given_draws = draws([0.0, 1.0, 1.0], handler_ms=100, init_ms=500, setup_ms=50, overhead_ms=4, keep_alive_s=60)
    assert told(given_draws, platform(), 0, 1) == [
        "0.000 0.0 arrives",
        "0.000 0.0 routed version=baseline",
        "0.000 0.0 starts environment=0",
        "0.550 0.0 init_ends setup_ms=50.0 init_ms=500.0",
        "0.650 0.0 handler_ends duration_ms=100.0",
        "0.650 0.0 free environment=0 idle_until_s=60.65",
        "0.654 0.0 answered status=ok attempt_ms=654.0",
        "1.000 1.0 arrives",
        "1.000 1.0 routed version=baseline",
        "1.000 1.0 takes environment=0 provisioned=False",
        "1.100 1.0 handler_ends duration_ms=100.0",
        "1.100 1.0 free environment=0 idle_until_s=61.1",
        "1.104 1.0 answered status=ok attempt_ms=104.0",
    ]


def test_a_refusal_a_time_out_and_an_environment_that_starts_over() -> None:
    policy = ClientPolicy(timeout_s=2.0, max_attempts=2, backoff_base_s=0.5, jitter="none")
    given_draws = draws(
        [0.0, 0.1], handler_ms=[[3000, 10], [10, 10]], init_ms=300, attempts=2, keep_alive_s=60, versions=1
    )
    assert told(given_draws, platform(limit=1, timeout_s=2.5, client=policy), 0, 1) == [
        "0.000 0.0 arrives",
        "0.000 0.0 routed version=baseline",
        "0.000 0.0 starts environment=0",
        "0.300 0.0 init_ends setup_ms=0.0 init_ms=300.0",
        "2.000 0.0 gave_up status=timeout attempt_ms=2000.0",
        "2.500 0.1 retries waited_ms=500.0",
        "2.500 0.1 routed version=baseline",
        "2.500 0.1 refused limit=version_concurrency",
        "2.500 0.1 answered status=throttled attempt_ms=0.0",
        "2.800 0.0 stopped duration_ms=2500.0",
        "2.800 0.0 free environment=0 idle_until_s=62.8",
        "0.100 1.0 arrives",
        "0.100 1.0 routed version=baseline",
        "0.100 1.0 refused limit=version_concurrency",
        "0.100 1.0 answered status=throttled attempt_ms=0.0",
        "0.600 1.1 retries waited_ms=500.0",
        "0.600 1.1 routed version=baseline",
        "0.600 1.1 refused limit=version_concurrency",
        "0.600 1.1 answered status=throttled attempt_ms=0.0",
    ]


def test_an_environment_that_was_stopped_ends_or_runs_init_again() -> None:
    given_draws = draws([0.0, 3.0], handler_ms=[3000, 10], init_ms=300, keep_alive_s=60)
    again = told(given_draws, platform(timeout_s=1.0), 1)
    assert again[2:4] == [
        "3.000 1.0 runs_init_again environment=0",
        "3.310 1.0 handler_ends duration_ms=310.0",
    ]
    ended = told(given_draws, platform(timeout_s=1.0, suppressed_init=False), 0)
    assert ended[-3:] == [
        "1.300 0.0 stopped duration_ms=1000.0",
        "1.300 0.0 ended environment=0",
        "1.300 0.0 answered status=timeout attempt_ms=1300.0",
    ]


def test_the_model_throttles_and_the_sdk_tries_again() -> None:
    call = ModelCall("m", 100, SdkRetries("standard"), refusal_ms=20.0)
    given_platform = platform(model=call, quotas={"m": ModelQuota(requests_per_minute=60)}, provisioned=2)
    # Sixty take what there is; the next one waits for one more: half of a second, and then of two.
    given_draws = draws([0.0] * 60 + [0.1], handler_ms=200, inference_ms=150, sdk_jitter=0.5)
    busy = platform(model=call, quotas={"m": ModelQuota(requests_per_minute=60)})
    assert told(given_draws, busy, 60)[3:] == [
        "0.600 60.0 init_ends setup_ms=0.0 init_ms=500.0",
        "0.650 60.0 asks_model try=1",
        "0.670 60.0 model_refuses limit=model_requests",
        "1.170 60.0 asks_model try=2",
        "1.190 60.0 model_refuses limit=model_requests",
        "2.190 60.0 asks_model try=3",
        "2.340 60.0 model_answers inference_ms=150.0",
        "2.340 60.0 handler_ends duration_ms=1740.0",
        "2.340 60.0 free environment=60 idle_until_s=602.34",
        "2.340 60.0 answered status=ok attempt_ms=2240.0",
    ]
    assert "0.000 0.0 takes environment=1 provisioned=True" in told(given_draws, given_platform, 0)


def test_the_gateway_refuses_before_the_alias_draws() -> None:
    assert told(draws([0.0] * 2, overhead_ms=5), platform(gateway_burst=1), 1) == [
        "0.000 1.0 arrives",
        "0.000 1.0 refused limit=gateway_rate",
        "0.005 1.0 answered status=throttled attempt_ms=5.0",
    ]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_watching_changes_nothing_and_sees_every_attempt(seed: int) -> None:
    world = random_world(seed)
    n = world.draws.requests
    expected = reference.simulate(world.draws, world.platform, world.rollout)
    found, events = simulate_with_log(world.draws, world.platform, world.rollout, range(n))
    assert differences(expected, found) == []
    log = expected.log
    attempts = sorted(zip(log.request.tolist(), log.attempt.tolist(), strict=True))
    for begins in ((What.ARRIVES, What.RETRIES), (What.ANSWERED, What.GAVE_UP)):
        assert sorted((event.request, event.attempt) for event in events if event.what in begins) == attempts
    for what, rows in (
        (What.STARTS, log.cold & (log.environment >= 0)),
        (What.HANDLER_ENDS, log.environment >= 0),
        (What.REFUSED, (log.status == Status.THROTTLED) & (log.environment < 0)),
    ):
        seen = sum(event.what == what for event in events)
        seen += sum(event.what == What.RUNS_INIT_AGAIN for event in events) * (what == What.STARTS)
        seen += sum(event.what == What.STOPPED for event in events) * (what == What.HANDLER_ENDS)
        if what != What.REFUSED or world.platform.client.timeout_s is None:
            assert seen == rows.sum()
    asked = sum(event.what == What.ASKS_MODEL for event in events)
    assert asked == log.model_tries.sum()
    times = [(event.request, event.at_s) for event in events]
    assert times == sorted(times)
    if n:
        _, some = simulate_with_log(world.draws, world.platform, world.rollout, [n - 1])
        assert some == tuple(event for event in events if event.request == n - 1)


def test_a_request_that_there_is_not() -> None:
    with pytest.raises(ParameterError, match="request 2 is outside 0 to 1, the requests of this run"):
        simulate_with_log(draws(np.zeros(2)), platform(), STABLE, [2])
