"""Bedrock's quotas and the SDK's retries inside the handler, written out."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.client_policy import ClientPolicy
from simulator.engine.bedrock import QuotaMeter
from simulator.engine.outcomes import Refusal, Status
from simulator.engine.usage import model_amplification, throttled_shares
from simulator.errors import ParameterError
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout
from tests.simulator.engine.both import simulate
from tests.simulator.engine.stories import STABLE, ends, platform
from tests.simulator.worlds import draws

ONCE = SdkRetries("off")
SECOND = 1_000_000


def quota_platform(
    retries: SdkRetries = ONCE,
    *,
    max_tokens: int = 100,
    timeout_s: float = 30.0,
    client: ClientPolicy | None = None,
    **quota: float,
) -> Platform:
    return platform(
        quotas={"m": ModelQuota(**quota)},
        model=ModelCall("m", max_tokens, retries, refusal_ms=20.0),
        timeout_s=timeout_s,
        client=ClientPolicy() if client is None else client,
        provisioned=10,
    )


def test_a_quota_that_suffices_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    given = draws(
        np.cumsum(rng.exponential(0.1, 300)), handler_ms=rng.exponential(400, 300), inference_ms=300.0, versions=1
    )
    free = simulate(given, platform(provisioned=10), STABLE)
    metered = simulate(given, quota_platform(requests_per_minute=1e9, tokens_per_minute=1e12), STABLE)
    for name in ("status", "environment", "cold", "client_ms", "billed_ms", "end_s"):
        np.testing.assert_array_equal(getattr(free, name), getattr(metered, name))
    assert metered.log.model_tries.tolist() == [1] * 300


def test_requests_beyond_the_quota_are_refused_and_their_waiting_is_billed() -> None:
    # Two a minute: the third asks after 300 − 200 = 100 ms of its own work, and learns 20 ms later.
    run = simulate(
        draws([0.0, 0.0, 0.0], handler_ms=300, inference_ms=200, overhead_ms=5),
        quota_platform(requests_per_minute=2),
        STABLE,
    )
    assert ends(run) == ["OK", "OK", "MODEL_REQUESTS"]
    assert run.client_ms.tolist() == [305.0, 305.0, 125.0]
    assert run.billed_ms.tolist() == [300.0, 300.0, 120.0]
    assert throttled_shares(run) == {Refusal.MODEL_REQUESTS: pytest.approx(1 / 3)}


def test_tokens_are_reserved_with_max_tokens_and_settled_with_the_burn_down() -> None:
    meter = QuotaMeter(ModelQuota(tokens_per_minute=6000, output_burndown=5))
    assert meter.reserve(0, 1000, 4000) == Refusal.NONE
    # 1,000 are left; they become 1,100 within a second, though little of the 4,000 will be used.
    assert meter.reserve(SECOND, 600, 501) == Refusal.MODEL_TOKENS
    assert meter.reserve(SECOND, 600, 500) == Refusal.NONE
    # The first answers with 300 tokens, which cost 1,500: 2,500 come back. The second with 400, which cost 2,000: it
    # had reserved 500, so another 1,500 go. In a second flow in 100 more.
    meter.settle(SECOND, 4000, 300)
    meter.settle(SECOND, 500, 400)
    assert meter.reserve(2 * SECOND, 1100, 1) == Refusal.MODEL_TOKENS
    assert meter.reserve(2 * SECOND, 1099, 1) == Refusal.NONE


def test_a_quota_refills_to_its_minute_and_no_further() -> None:
    meter = QuotaMeter(ModelQuota(requests_per_minute=60, tokens_per_minute=600))
    assert [meter.reserve(0, 5, 5) for _ in range(61)] == [Refusal.NONE] * 60 + [Refusal.MODEL_REQUESTS]
    assert [meter.reserve(1000 * SECOND, 100, 100) for _ in range(4)] == [Refusal.NONE] * 3 + [Refusal.MODEL_TOKENS]


def test_standard_retries_wait_inside_the_handler() -> None:
    # One a minute and 59 s to wait for the next; the second request is refused at 0.1, told at 0.12, waits
    # 0.5 · 1 s, is refused at 0.62, told at 0.64, waits 0.5 · 2 s, is refused at 1.64, and gives up at 1.66.
    run = simulate(
        draws([0.0, 0.0], handler_ms=300, inference_ms=200, sdk_jitter=0.5),
        quota_platform(SdkRetries(), requests_per_minute=1),
        STABLE,
    )
    assert ends(run) == ["OK", "MODEL_REQUESTS"]
    assert run.client_ms.tolist() == [300.0, 1660.0]
    assert run.log.model_tries.tolist() == [1, 3]
    assert model_amplification(run) == 2.0


def test_a_retry_that_finds_the_quota_refilled_succeeds() -> None:
    # Sixty a minute. The second one of the instant 0 must be the 61st: so drain it with sixty.
    run = simulate(
        draws([0.0] * 61, handler_ms=200, inference_ms=200, sdk_jitter=0.999),
        platform(
            quotas={"m": ModelQuota(requests_per_minute=60)},
            model=ModelCall("m", 1, SdkRetries(), refusal_ms=1.0),
            provisioned=61,
        ),
        STABLE,
    )
    # Told at 1 ms, waits 999 ms: at 1.0 s one request has flowed in.
    assert ends(run) == ["OK"] * 61
    assert run.client_ms[60] == 1200.0


def test_legacy_asks_five_times_and_waits_longer() -> None:
    run = simulate(
        draws([0.0, 0.0], handler_ms=200, inference_ms=200, sdk_jitter=0.25),
        quota_platform(SdkRetries("legacy"), requests_per_minute=1),
        STABLE,
    )
    assert run.log.model_tries.tolist() == [1, 5]
    # Five refusals of 20 ms and 0.25 · (1 + 2 + 4 + 8) s.
    assert run.client_ms[1] == 3850.0


def test_a_function_time_out_ends_the_waiting() -> None:
    run = simulate(
        draws([0.0, 0.0], handler_ms=200, inference_ms=200, sdk_jitter=0.5),
        quota_platform(SdkRetries(), requests_per_minute=1, timeout_s=1.2),
        STABLE,
    )
    assert ends(run) == ["OK", "TIMEOUT"]
    assert run.duration_ms.tolist() == [200.0, 1200.0]
    assert run.refusal.tolist() == [Refusal.NONE, Refusal.NONE]


def test_a_stopped_function_leaves_its_call_at_work_and_its_tokens_reserved_until_then() -> None:
    # 1,000 tokens: the first call holds all of them for its 10 s, though its function is stopped after 1 s.
    run = simulate(
        draws(
            [0.0, 5.0, 10.1],
            handler_ms=[10_000, 100, 100],
            inference_ms=[10_000, 100, 100],
            input_tokens=0,
            output_tokens=0,
        ),
        quota_platform(max_tokens=1000, tokens_per_minute=1000, timeout_s=1.0),
        STABLE,
    )
    assert ends(run) == ["TIMEOUT", "MODEL_TOKENS", "OK"]


def test_two_versions_that_call_one_model_share_its_quota() -> None:
    call = VersionSettings(provisioned=3, model=ModelCall("m", 1, ONCE))
    shared = Platform(versions={"baseline": call, "optimized": call}, quotas={"m": ModelQuota(requests_per_minute=2)})
    given = draws([0.0, 0.0, 0.0], route=[[0.0, 0.9, 0.0]], handler_ms=100, inference_ms=100)
    run = simulate(given, shared, Rollout.constant(0.5))
    assert run.version.tolist() == [1, 0, 1]
    assert ends(run) == ["OK", "OK", "MODEL_REQUESTS"]


def test_adaptive_holds_the_next_call_of_its_environment_back() -> None:
    # One environment, ten requests a minute, a call a second: once refused, its client sends half a call a second, so
    # that its handlers take longer, and nothing else may run meanwhile.
    def of(mode: str) -> int:
        run = simulate(
            draws(np.arange(60.0), handler_ms=50, inference_ms=50, sdk_jitter=0.0),
            platform(
                limit=1,
                quotas={"m": ModelQuota(requests_per_minute=10)},
                model=ModelCall("m", 1, SdkRetries(mode, 2), refusal_ms=1.0),  # type: ignore[arg-type]
            ),
            STABLE,
        )
        return int(run.log.model_tries.sum())

    assert of("adaptive") < 0.8 * of("standard")


def test_a_callers_retry_after_the_gateways_time_out_meets_a_handler_that_still_retries() -> None:
    # The handler waits for quota (told at 0.02, waits 20 s); the gateway answers at 0.5, and the caller tries again
    # at 0.6, before it is known when the first handler ends.
    policy = ClientPolicy(max_attempts=2, backoff_base_s=0.1, jitter="none", retry_on=("timeout",))
    run = simulate(
        draws([0.0, 0.0], handler_ms=100, inference_ms=100, sdk_jitter=0.999, attempts=2),
        platform(
            provisioned=5,
            gateway_timeout_s=0.5,
            client=policy,
            quotas={"m": ModelQuota(requests_per_minute=1)},
            model=ModelCall("m", 1, SdkRetries(), refusal_ms=20.0),
        ),
        STABLE,
    )
    assert run.attempts.tolist() == [1, 2]
    assert run.log.sent_s.tolist() == [0.0, 0.0, 0.6]
    assert run.log.environment.tolist() == [0, 1, 0] or len(set(run.log.environment.tolist())) >= 2
    assert ends(run) == ["OK", "TIMEOUT"]
    assert run.client_ms.tolist() == [100.0, 1100.0]
    late = run.log.billed_late_ms
    assert (late[1:] > 2000).all(), "both handlers of the second request wait on, billed"


def test_what_lacks_for_a_quota_is_said() -> None:
    with pytest.raises(ParameterError, match="the draws have no model part"):
        simulate(draws([0.0]), quota_platform(requests_per_minute=1), STABLE)
    with pytest.raises(ParameterError, match=r"draws for 2 SDK attempt\(s\), but retries have 3"):
        simulate(draws([0.0], inference_ms=1, sdk_tries=2), quota_platform(SdkRetries(), requests_per_minute=1), STABLE)
    with pytest.raises(ParameterError, match=r"versions.baseline.model.quota='x' is not among the quotas \(none\)"):
        platform(model=ModelCall("x", 1))
    with pytest.raises(ParameterError, match="max_tokens=100 is above the quota's tokens_per_minute=50: no call could"):
        quota_platform(tokens_per_minute=50)


def test_over_a_long_time_no_more_calls_pass_than_the_quota_allows() -> None:
    n = 3000
    rng = np.random.default_rng(5)
    run = simulate(
        draws(np.cumsum(rng.exponential(0.1, n)), handler_ms=50, inference_ms=50, sdk_jitter=rng.random((1, 5, n))),
        platform(
            quotas={"m": ModelQuota(requests_per_minute=200)},
            model=ModelCall("m", 1, SdkRetries(), refusal_ms=5.0),
            provisioned=100,
        ),
        STABLE,
    )
    granted = run.status == Status.OK
    minutes = (run.end_s.max() - run.arrival_s[0]) / 60
    assert granted.sum() == pytest.approx(200 * (minutes + 1), rel=0.02), "one minute's allowance to begin with"
