"""What happens to each request, written out: one small story a rule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.engine.buckets import TokenBucket
from simulator.engine.outcomes import Outcomes, Refusal, Status
from simulator.errors import ParameterError
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout, Stage
from tests.simulator.engine.both import simulate
from tests.simulator.worlds import draws

STABLE = Rollout.constant(0.0)


def platform(*, provisioned: int = 0, timeout_s: float = 30.0, limit: int | None = None, **more: object) -> Platform:
    one = VersionSettings(provisioned=provisioned, timeout_s=timeout_s, concurrency_limit=limit)
    return Platform(versions={"baseline": one}, **more)  # type: ignore[arg-type]


def story(outcomes: Outcomes) -> list[tuple[int, bool, str, float]]:
    """Environment, cold, how it ended (or which limit refused), what the caller waited."""
    return [
        (
            int(outcomes.environment[i]),
            bool(outcomes.cold[i]),
            Refusal(int(outcomes.refusal[i])).name
            if outcomes.status[i] == Status.THROTTLED
            else Status(int(outcomes.status[i])).name,
            float(outcomes.client_ms[i]),
        )
        for i in range(outcomes.requests)
    ]


def test_a_first_request_waits_for_setup_and_init_and_the_next_is_warm() -> None:
    run = simulate(
        draws([0.0, 5.0], handler_ms=100, cold_handler_ms=140, init_ms=500, setup_ms=30, overhead_ms=8),
        platform(),
        STABLE,
    )
    assert story(run) == [(0, True, "OK", 678.0), (0, False, "OK", 108.0)]
    assert run.init_ms.tolist() == [500.0, 0.0]
    assert run.duration_ms.tolist() == [140.0, 100.0]
    assert run.end_s.tolist() == [0.67, 5.1]


def test_billed_time_is_init_and_duration_rounded_up() -> None:
    # The recorded REPORT line of 2025-12-30: Duration 619.03 ms, Init 495.16 ms, Billed 1115 ms.
    run = simulate(draws([0.0, 9.0], handler_ms=619.03, init_ms=495.16), platform(), STABLE)
    assert run.billed_ms.tolist() == [1115.0, 620.0]


def test_the_most_recently_used_environment_serves_next() -> None:
    # Three at once, ending at 0.6 (0), 0.7 (1), 0.65 (2): number 1 is the last to end and serves at 5; at 5.01 it is
    # busy, so the one before it serves.
    run = simulate(draws([0.0, 0.0, 0.0, 5.0, 5.01], handler_ms=[100, 200, 150, 100, 100]), platform(), STABLE)
    assert [entry[0] for entry in story(run)] == [0, 1, 2, 1, 2]


def test_an_environment_is_gone_when_its_keep_alive_ends_to_the_microsecond() -> None:
    ends_s = 0.6
    alive = simulate(draws([0.0, ends_s + 59.999999], keep_alive_s=60), platform(), STABLE)
    gone = simulate(draws([0.0, ends_s + 60.0], keep_alive_s=60), platform(), STABLE)
    assert alive.cold.tolist() == [True, False]
    assert gone.cold.tolist() == [True, True]


def test_at_one_instant_ends_come_before_arrivals_and_arrivals_in_order() -> None:
    run = simulate(draws([0.0, 0.6, 0.6], handler_ms=100, init_ms=500), platform(), STABLE)
    assert story(run) == [(0, True, "OK", 600.0), (0, False, "OK", 100.0), (1, True, "OK", 600.0)]


def test_a_request_that_takes_no_time_frees_its_environment_for_the_next_of_the_same_instant() -> None:
    run = simulate(draws([1.0, 1.0, 1.0], handler_ms=0, init_ms=0), platform(), STABLE)
    assert run.environment.tolist() == [0, 0, 0]


def test_provisioned_environments_serve_first_and_the_rest_spills_over_cold() -> None:
    run = simulate(draws([0.0, 0.0, 0.0, 5.0], handler_ms=100), platform(provisioned=2), STABLE)
    assert run.cold.tolist() == [False, False, True, False]
    assert run.provisioned.tolist() == [True, True, False, True]


def test_provisioned_environments_outlive_the_keep_alive() -> None:
    run = simulate(draws([0.0, 5000.0], keep_alive_s=60), platform(provisioned=1), STABLE)
    assert run.cold.tolist() == [False, False]


def test_over_account_concurrency_exactly_the_excess_is_refused() -> None:
    run = simulate(draws([0.0] * 7, overhead_ms=4), platform(account_concurrency=5), STABLE)
    assert [entry[2] for entry in story(run)] == ["OK"] * 5 + ["ACCOUNT_CONCURRENCY"] * 2
    assert run.client_ms[5:].tolist() == [4.0, 4.0]
    assert run.billed_ms[5:].tolist() == [0.0, 0.0]
    assert np.isnan(run.start_s[5:]).all()


def test_provisioned_concurrency_is_carved_out_of_the_reserved_share() -> None:
    run = simulate(draws([0.0] * 6), platform(provisioned=2, reserved_concurrency=4), STABLE)
    assert [entry[2] for entry in story(run)] == ["OK"] * 4 + ["RESERVED_CONCURRENCY"] * 2
    assert run.provisioned.sum() == 2


def test_a_version_of_its_own_limit_refuses_beyond_it() -> None:
    run = simulate(draws([0.0, 0.0, 1.0]), platform(limit=1), STABLE)
    assert [entry[2] for entry in story(run)] == ["OK", "VERSION_CONCURRENCY", "OK"]


def test_scale_out_is_a_bucket_that_refills_continuously() -> None:
    # Two environments a second, at most two in the bucket; requests so long that none is ever reused.
    run = simulate(
        draws([0.0, 0.0, 0.0, 0.4, 0.5, 0.6, 9.0, 9.0, 9.0], handler_ms=60_000),
        platform(timeout_s=100.0, gateway_timeout_s=200.0, scale_out_environments=2, scale_out_period_s=1.0),
        STABLE,
    )
    served = [entry[2] != "SCALE_OUT" for entry in story(run)]
    assert served == [True, True, False, False, True, False, True, True, False]


def test_the_gateway_refuses_what_its_bucket_cannot_take() -> None:
    run = simulate(draws([0.0] * 4 + [0.1]), platform(gateway_rate_rps=10, gateway_burst=3), STABLE)
    assert [entry[2] for entry in story(run)] == ["OK", "OK", "OK", "GATEWAY_RATE", "OK"]
    assert run.version.tolist() == [0, 0, 0, -1, 0]


def test_a_function_time_out_ends_the_environment_where_init_is_not_suppressed() -> None:
    run = simulate(draws([0.0, 10.0], handler_ms=[5_000, 100]), platform(timeout_s=3.0, suppressed_init=False), STABLE)
    assert story(run) == [(0, True, "TIMEOUT", 3_500.0), (1, True, "OK", 600.0)]
    assert run.duration_ms.tolist() == [3_000.0, 100.0]
    assert run.billed_ms.tolist() == [3_500.0, 600.0]


def test_a_killed_provisioned_environment_is_replaced_after_an_init() -> None:
    run = simulate(
        draws([0.0, 3.4, 3.6], handler_ms=[9_000, 100, 100], init_ms=500),
        platform(provisioned=1, timeout_s=3.0),
        STABLE,
    )
    # Killed at 3.0, ready again at 3.5: the request at 3.4 spills over, the one at 3.6 finds the replacement.
    assert run.cold.tolist() == [False, True, False]
    assert run.provisioned.tolist() == [True, False, True]
    assert len({int(number) for number in run.environment}) == 3


def test_the_gateway_answers_in_its_own_time_and_the_environment_works_on() -> None:
    run = simulate(
        draws([0.0, 31.0, 41.0], handler_ms=40_000, overhead_ms=5),
        platform(timeout_s=60.0, gateway_timeout_s=30.0),
        STABLE,
    )
    assert [entry[2] for entry in story(run)] == ["TIMEOUT"] * 3
    assert run.client_ms[0] == 30_005.0
    assert run.billed_ms[0] == 40_500.0
    # At 31 s the first is still busy; at 41 s it is free again.
    assert run.environment.tolist() == [0, 1, 0]


def test_an_init_beyond_its_limit_runs_again_under_the_functions_time_out() -> None:
    run = simulate(draws([0.0], handler_ms=100, init_ms=12_000), platform(timeout_s=20.0), STABLE)
    assert run.init_ms.tolist() == [10_000.0]
    assert run.duration_ms.tolist() == [12_100.0]
    killed = simulate(draws([0.0], handler_ms=100, init_ms=12_000), platform(timeout_s=5.0), STABLE)
    assert killed.status.tolist() == [int(Status.TIMEOUT)]


def test_the_alias_draws_by_the_weight_of_the_moment_and_each_version_has_its_own_pool() -> None:
    two = Platform(versions={"baseline": VersionSettings(), "optimized": VersionSettings()})
    rollout = Rollout((Stage(0.0, 0.0), Stage(10.0, 0.5), Stage(20.0, 1.0)))
    run = simulate(
        draws(
            [0.0, 10.0, 11.0, 20.0],
            route=[0.0, 0.49, 0.5, 0.99],
            handler_ms=np.array([100.0, 50.0])[:, None, None],
        ),
        two,
        rollout,
    )
    assert run.version.tolist() == [0, 1, 0, 1]
    assert run.environment.tolist() == [0, 1, 0, 1]
    assert run.duration_ms.tolist() == [100.0, 50.0, 100.0, 50.0]


def test_no_request_at_all() -> None:
    assert simulate(draws([]), platform(), STABLE).requests == 0


def test_a_weight_without_a_second_version_is_refused() -> None:
    with pytest.raises(ParameterError, match="second version"):
        simulate(draws([0.0]), platform(), Rollout.constant(0.5))
    with pytest.raises(ParameterError, match="1 version"):
        simulate(draws([0.0], versions=1), Platform(), STABLE)


def test_the_token_bucket_by_hand() -> None:
    bucket = TokenBucket(capacity=2, per_second=1.0, ticks_per_second=1000)
    assert [bucket.take(tick) for tick in (0, 0, 0, 999, 1000, 1001, 9000, 9000, 9000)] == [
        True, True, False, False, True, False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(("load", "servers"), [(5.0, 6), (20.0, 24), (3.0, 1)])
def test_refusals_under_a_concurrency_limit_follow_erlangs_loss_formula(load: float, servers: int) -> None:
    # Erlang B holds for any service law of the same mean; here one that is far from exponential.
    n, mean_ms = 60_000, 500.0
    rng = np.random.default_rng(servers)
    arrival_s = np.cumsum(rng.exponential(mean_ms / 1000.0 / load, n))
    handler_ms = mean_ms * np.where(rng.random(n) < 0.5, 0.2, 1.8)
    run = simulate(draws(arrival_s, handler_ms=handler_ms, init_ms=0, versions=1), platform(limit=servers), STABLE)
    refused = float((run.status == Status.THROTTLED).mean())
    terms = [load**k / math.factorial(k) for k in range(servers + 1)]
    expected = terms[-1] / math.fsum(terms)
    assert refused == pytest.approx(expected, abs=0.012)


def test_concurrency_without_limits_is_that_of_infinitely_many_servers() -> None:
    # M/G/∞: the number in service is Poisson with mean rate × service time, whatever the service law.
    n, rate_rps = 60_000, 20.0
    rng = np.random.default_rng(1)
    arrival_s = np.cumsum(rng.exponential(1.0 / rate_rps, n))
    run = simulate(draws(arrival_s, handler_ms=rng.uniform(0, 1000, n), init_ms=0, versions=1), platform(), STABLE)
    at_s = np.linspace(100.0, arrival_s[-1] - 100.0, 4000)
    busy = np.searchsorted(np.sort(run.start_s), at_s, "right") - np.searchsorted(np.sort(run.end_s), at_s, "right")
    assert busy.mean() == pytest.approx(10.0, rel=0.03)
    assert busy.var() == pytest.approx(10.0, rel=0.12)
