"""The caller's time-outs and retries, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.client_policy import ClientPolicy, RetryBudget
from simulator.draws import Randomness, client_jitter
from simulator.engine.outcomes import Refusal, Status
from simulator.engine.usage import billed_in_vain_share, retry_amplification, throttled_shares
from simulator.errors import ParameterError
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout, Stage
from tests.simulator.engine.both import simulate
from tests.simulator.engine.stories import STABLE, ends, platform
from tests.simulator.worlds import draws

PLAIN = ClientPolicy(max_attempts=3, backoff_base_s=0.1, jitter="none")


@pytest.mark.parametrize(("base_s", "waits_ms"), [(0.1, 500.0), (0.0, 0.0)])
def test_a_backoff_that_grows_beyond_all_numbers_is_capped(base_s: float, waits_ms: float) -> None:
    policy = ClientPolicy(max_attempts=40, backoff_base_s=base_s, backoff_factor=1e10, backoff_cap_s=0.5, jitter="none")
    run = simulate(
        draws([0.0], attempts=40), platform(account_concurrency=1, reserved_concurrency=0, client=policy), STABLE
    )
    assert run.attempts.tolist() == [40]
    assert run.client_ms.tolist() == [39 * waits_ms - (400.0 if base_s else 0.0)]


def test_a_refused_attempt_is_tried_again_after_the_backoff_and_the_caller_waits_for_all_of_it() -> None:
    # One at a time. The second request is refused at 0.1 (4 ms), again at 0.204, and finds the environment free at
    # 0.408: 4 + 100 + 4 + 200 + 4 + 100 ms.
    run = simulate(
        draws([0.0, 0.1], handler_ms=100, init_ms=200, overhead_ms=4, attempts=3),
        platform(limit=1, client=PLAIN),
        STABLE,
    )
    assert ends(run) == ["OK", "OK"]
    assert run.attempts.tolist() == [1, 3]
    assert run.client_ms.tolist() == [304.0, 412.0]
    assert run.log.request.tolist() == [0, 1, 1, 1]
    assert run.log.attempt.tolist() == [0, 0, 1, 2]
    assert run.log.sent_s.tolist() == [0.0, 0.1, 0.204, 0.408]
    assert run.log.status.tolist() == [Status.OK, Status.THROTTLED, Status.THROTTLED, Status.OK]
    assert retry_amplification(run) == 2.0
    assert throttled_shares(run) == {Refusal.VERSION_CONCURRENCY: 0.5}


def test_after_the_last_attempt_the_refusal_is_the_answer() -> None:
    run = simulate(draws([0.0], attempts=3), platform(reserved_concurrency=0, client=PLAIN), STABLE)
    assert ends(run) == ["RESERVED_CONCURRENCY"]
    assert run.attempts.tolist() == [3]
    assert run.client_ms.tolist() == [300.0]


@pytest.mark.parametrize(
    ("jitter", "waits_ms"), [("none", [100, 300, 500]), ("full", [25, 75, 125]), ("equal", [62.5, 187.5, 312.5])]
)
def test_the_backoff_grows_to_its_cap_and_jitter_takes_a_part_of_it(jitter: str, waits_ms: list[float]) -> None:
    policy = ClientPolicy(max_attempts=4, backoff_base_s=0.1, backoff_factor=3, backoff_cap_s=0.5, jitter=jitter)  # type: ignore[arg-type]
    run = simulate(
        draws([0.0], attempts=4, client_jitter=0.25), platform(reserved_concurrency=0, client=policy), STABLE
    )
    assert (np.diff(run.log.sent_s) * 1000).tolist() == pytest.approx(waits_ms)


def test_a_caller_who_gives_up_leaves_the_environment_at_work_and_that_is_billed() -> None:
    # Cold until 0.5, works until 1.5; the caller has left at 0.8, and tries again at 0.9 in another environment.
    policy = ClientPolicy(timeout_s=0.8, max_attempts=2, backoff_base_s=0.1, jitter="none")
    run = simulate(draws([0.0], handler_ms=[[1000], [100]], attempts=2), platform(client=policy), STABLE)
    assert ends(run) == ["OK"]
    assert run.log.environment.tolist() == [0, 1]
    assert run.log.client_ms.tolist() == [800.0, 600.0]
    assert run.client_ms.tolist() == [1500.0]
    assert run.log.billed_ms.tolist() == [1500.0, 600.0]
    assert run.log.billed_late_ms.tolist() == [700.0, 0.0]
    assert billed_in_vain_share(run) == pytest.approx(700 / 2100)


def test_an_answer_at_the_last_instant_of_patience_is_an_answer() -> None:
    on_time = ClientPolicy(timeout_s=0.608)
    run = simulate(draws([0.0], handler_ms=100, overhead_ms=8), platform(client=on_time), STABLE)
    assert ends(run) == ["OK"]
    late = ClientPolicy(timeout_s=0.607999)
    run = simulate(draws([0.0], handler_ms=100, overhead_ms=8), platform(client=late), STABLE)
    assert ends(run) == ["TIMEOUT"]
    assert run.client_ms.tolist() == [607.999]


def test_only_the_ends_that_the_policy_names_are_tried_again() -> None:
    policy = ClientPolicy(timeout_s=0.3, max_attempts=3, jitter="none", retry_on=("throttled",))
    run = simulate(draws([0.0], attempts=3), platform(client=policy), STABLE)
    assert (ends(run), run.attempts.tolist()) == (["TIMEOUT"], [1])


def test_a_budget_bounds_the_retries_of_all_callers_and_successes_refill_it() -> None:
    # Two tokens. Three requests at once are refused (the environment is busy): the first two may try again, the third
    # may not; two successes later there is half a token, and after two more a whole one.
    policy = ClientPolicy(
        max_attempts=2, backoff_base_s=10.0, jitter="none", budget=RetryBudget(capacity=2, per_success=0.25)
    )
    run = simulate(
        draws([0.0, 0.1, 0.2, 0.3, 20.0, 30.0, 30.1, 40.0, 40.1], handler_ms=1000, init_ms=0, attempts=2),
        platform(limit=1, client=policy),
        STABLE,
    )
    # Retries at 10.1 and 10.2: the first is served, the second refused for good. At 30.1 three have succeeded (0, 1
    # and 4): 0.75 of a token, no retry. By 40.1 five have.
    assert run.attempts.tolist() == [1, 2, 2, 1, 1, 1, 1, 1, 2]
    assert ends(run)[1:4] == ["OK", "VERSION_CONCURRENCY", "VERSION_CONCURRENCY"]


def test_retry_amplification_of_independent_refusals_is_a_geometric_sum() -> None:
    # Erlang loss with one server and no queue: an attempt is refused with p = ρ/(1+ρ). Retries that wait far longer
    # than a service come back independent, so that a request makes 1 + p + p² attempts, with the load that includes
    # them: solved by hand for p (fixed point of ρ = λ(1 + p + p²)·S).
    n, service_s, rate = 40_000, 0.1, 4.0
    p = 0.0
    for _ in range(200):
        load = rate * (1 + p + p * p) * service_s
        p = load / (1 + load)
    randomness = Randomness(3)
    rng = np.random.default_rng(0)
    policy = ClientPolicy(max_attempts=3, backoff_base_s=500.0, backoff_factor=1.0, backoff_cap_s=500.0)
    run = simulate(
        draws(
            np.cumsum(rng.exponential(1 / rate, n)),
            handler_ms=service_s * 1000,
            init_ms=0,
            attempts=3,
            client_jitter=client_jitter(randomness, 3, n),
        ),
        platform(limit=1, client=policy, requests_per_concurrency=None),
        STABLE,
    )
    assert retry_amplification(run) == pytest.approx(1 + p + p * p, rel=0.02)
    assert (run.status == Status.THROTTLED).mean() == pytest.approx(p**3, rel=0.1)


def test_each_attempt_draws_its_version_with_the_weight_of_its_own_moment() -> None:
    policy = ClientPolicy(max_attempts=2, backoff_base_s=5.0, jitter="none")
    run = simulate(
        draws([0.0], attempts=2, route=[[0.5], [0.5]]),
        Platform(
            versions={"baseline": VersionSettings(concurrency_limit=0), "optimized": VersionSettings()}, client=policy
        ),
        Rollout((Stage(0.0, 0.0), Stage(5.0, 1.0))),
    )
    assert run.log.version.tolist() == [0, 1]
    assert ends(run) == ["OK"]


def test_draws_that_lack_what_the_policy_needs_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"draws for 1 attempt\(s\), but client.max_attempts=3"):
        simulate(draws([0.0]), platform(client=PLAIN), STABLE)
    with pytest.raises(ParameterError, match=r"client\.jitter='full' needs client_jitter among the draws"):
        simulate(draws([0.0], attempts=2), platform(client=ClientPolicy(max_attempts=2)), STABLE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout_s": 0}, "client.timeout_s=0 must be above 0"),
        ({"max_attempts": 0}, "client.max_attempts=0 is outside 1 to 64"),
        ({"backoff_cap_s": 0.01}, "backoff_cap_s=0.01 is below backoff_base_s=0.1; raise it"),
        ({"jitter": "some"}, "client.jitter='some' is none of none, equal, full"),
        ({"retry_on": ("errors",)}, "client.retry_on='errors' is none of throttled, timeout"),
    ],
)
def test_policies_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ClientPolicy(**settings)  # type: ignore[arg-type]


def test_callers_who_keep_asking_wait_as_in_an_mmc_queue() -> None:
    # A retrial queue whose callers ask again at once is M/M/c in the limit (Artalejo & Gómez-Corral, Retrial Queueing
    # Systems, 2008, ch. 1): Erlang C gives the share that has to wait, and W = C / (cμ − λ) how long on average. Here
    # they ask again after 5 ms at first, for five seconds in all, where a service takes one.
    n, servers, load = 8_000, 4, 2.4
    rng = np.random.default_rng(11)
    policy = ClientPolicy(max_attempts=64, backoff_base_s=0.005, backoff_factor=1.07, jitter="none")
    run = simulate(
        draws(
            np.cumsum(rng.exponential(1 / load, n)),
            handler_ms=rng.exponential(1000.0, n),
            init_ms=0,
            attempts=64,
            versions=1,
        ),
        platform(limit=servers, client=policy, requests_per_concurrency=None),
        STABLE,
    )
    terms = [load**k / math.factorial(k) for k in range(servers)]
    waiting = load**servers / math.factorial(servers) * servers / (servers - load)
    erlang_c = waiting / (sum(terms) + waiting)
    wait_s = (run.client_ms - run.duration_ms) / 1000.0
    assert (run.attempts > 1).mean() == pytest.approx(erlang_c, rel=0.1)
    assert wait_s.mean() == pytest.approx(erlang_c / (servers - load), rel=0.2)


def test_at_one_instant_first_attempts_come_before_second_ones_and_answers_before_both() -> None:
    # One at a time. 0 is served from 0 to 1; 1 and 2 are refused at 0.5, to try again at 1, where 3 arrives too. At
    # that instant the environment becomes free first; then 3 takes it, before the second attempts of 1 and 2.
    policy = ClientPolicy(max_attempts=2, backoff_base_s=0.5, jitter="none")
    run = simulate(
        draws([0.0, 0.5, 0.5, 1.0], handler_ms=1000, init_ms=0, attempts=2), platform(limit=1, client=policy), STABLE
    )
    assert ends(run) == ["OK", "VERSION_CONCURRENCY", "VERSION_CONCURRENCY", "OK"]
    assert run.log.sent_s.tolist() == [0.0, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert run.log.request.tolist() == [0, 1, 2, 3, 1, 2]
