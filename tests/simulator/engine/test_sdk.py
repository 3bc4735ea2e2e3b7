"""The SDK's retries are held to the installed botocore itself, on a clock of our own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from botocore.retries import adaptive, bucket, quota, standard, throttling
from botocore.retryhandler import delay_exponential

from simulator.engine.sdk import QUOTA_CAPACITY, RateLimiter, SdkClient
from simulator.errors import ParameterError
from simulator.model_policy import DEFAULT_ATTEMPTS, SdkRetries


class FakeClock:
    """A clock that only sleeping moves; botocore's bucket waits on a condition, which sleeps here too."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def current_time(self) -> float:
        return self.now_s

    def wait(self, amount_s: float) -> None:
        # Never less than a nanosecond: a real clock moves on however short the sleep.
        self.now_s += max(amount_s, 1e-9)


def throttled_context(attempt: int) -> Any:
    return standard.RetryContext(
        attempt_number=attempt,
        http_response=SimpleNamespace(status_code=429, headers={}),
        parsed_response={"Error": {"Code": "ThrottlingException"}},
    )


def test_the_attempts_are_botocores() -> None:
    assert DEFAULT_ATTEMPTS["standard"] == standard.DEFAULT_MAX_ATTEMPTS
    assert DEFAULT_ATTEMPTS["adaptive"] == standard.DEFAULT_MAX_ATTEMPTS
    # Legacy's number is in botocore's own table of retries.
    import json
    from pathlib import Path

    import botocore

    table = json.loads((Path(botocore.__file__).parent / "data" / "_retry.json").read_text())
    assert DEFAULT_ATTEMPTS["legacy"] == table["retry"]["__default__"]["max_attempts"]


@pytest.mark.parametrize("uniform", [0.0, 0.3, 0.999])
def test_the_waits_are_botocores(uniform: float) -> None:
    detector = standard.ThrottlingErrorDetector(standard.RetryEventAdapter())
    theirs = standard.ExponentialBackoff(random=lambda: uniform, throttling_detector=detector)
    ours = SdkClient(SdkRetries(max_attempts=10), 0.0)
    legacy = SdkClient(SdkRetries("legacy", max_attempts=10), 0.0)
    for attempt in range(1, 9):
        assert ours.throttled(attempt, 0.0, uniform) == theirs.delay_amount(throttled_context(attempt))
        if uniform:
            assert legacy.throttled(attempt, 0.0, uniform) == delay_exponential(uniform, 2, attempt)


def test_the_retry_quota_is_botocores() -> None:
    theirs = quota.RetryQuota()
    detector = standard.ThrottlingErrorDetector(standard.RetryEventAdapter())
    checker = standard.RetryQuotaChecker(theirs, detector)
    ours = SdkClient(SdkRetries(max_attempts=4), 0.0)
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(400):
        context, throttles = throttled_context(1), int(rng.integers(0, 7))
        for attempt in range(1, min(throttles, 4) + 1):
            waits = ours.throttled(attempt, 0.0, 0.5) is not None
            allowed = attempt < 4 and checker.acquire_retry_quota(context)
            assert waits == allowed
            refused += attempt < 4 and not allowed
            if not allowed:
                break
        else:
            if throttles < 4:
                ours.answered(0.0)
                response = SimpleNamespace(status_code=200)
                checker.release_retry_quota(context.request_context, http_response=response)
    assert theirs.available_capacity < QUOTA_CAPACITY
    assert refused > 10, "the quota has run dry in this story"


def test_the_adaptive_rate_is_botocores(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(7.3)
    tokens = bucket.TokenBucket(max_rate=1, clock=clock)
    monkeypatch.setattr(tokens, "_new_fill_rate_condition", _Condition(clock))
    detector = standard.ThrottlingErrorDetector(standard.RetryEventAdapter())
    theirs = adaptive.ClientRateLimiter(
        throttling.CubicCalculator(starting_max_rate=0, start_time=clock.now_s),
        adaptive.RateClocker(clock),
        tokens,
        detector,
        clock,
    )
    ours = RateLimiter(7.3)
    rng = np.random.default_rng(4)
    waits = []
    for _ in range(3000):
        clock.now_s += float(rng.exponential(0.2))
        before_s = clock.now_s
        theirs.on_sending_request(request=None)
        wait_s = ours.hold_s(before_s)
        assert wait_s == pytest.approx(clock.now_s - before_s, abs=1e-6)
        waits.append(wait_s)
        clock.now_s += float(rng.exponential(0.1))
        throttled = bool(rng.random() < 0.2)
        code = "ThrottlingException" if throttled else "ValidationException"
        response = SimpleNamespace(status_code=429 if throttled else 200, headers={})
        theirs.on_receiving_response(
            response=(response, {"Error": {"Code": code}} if throttled else {}),
            attempts=1,
            operation=None,
            caught_exception=None,
            request_dict={"context": {}},
        )
        ours.answered(clock.now_s, throttled=throttled)
    assert 0.1 < np.mean(np.array(waits) > 0) < 1.0


class _Condition:
    """Stands for the bucket's condition variable: waiting moves the fake clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.wait = clock.wait

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def notify(self) -> None: ...


def test_retries_that_cannot_be_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"retries\.mode='fast' is none of off, standard, adaptive, legacy"):
        SdkRetries("fast")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"retries\.max_attempts=3 contradicts retries.mode='off'"):
        SdkRetries("off", 3)
    with pytest.raises(ParameterError, match=r"retries\.max_attempts=0 is outside 1 to 20"):
        SdkRetries(max_attempts=0)
