"""The token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replay.cloud.gateway.throttle import Throttle, TokenBucket

GAPS_S = st.lists(st.floats(0, 2), max_size=200)


@given(GAPS_S, st.floats(0.1, 50), st.integers(0, 20))
def test_no_stretch_of_time_lets_more_through_than_burst_and_rate(
    gaps_s: list[float], rate_rps: float, burst: int
) -> None:
    bucket = TokenBucket.full(rate_rps, burst, 0.0)
    now_s, passed = 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if bucket.take(now_s):
            passed.append(now_s)

    for first in range(len(passed)):
        for last in range(first, len(passed)):
            allowed = burst + rate_rps * (passed[last] - passed[first])
            assert last - first + 1 <= allowed + 1e-6


@given(st.floats(0.5, 50), st.integers(1, 20))
def test_a_caller_within_the_rate_is_never_refused(rate_rps: float, burst: int) -> None:
    bucket = TokenBucket.full(rate_rps, burst, 0.0)

    assert all(bucket.take(index * 1.000001 / rate_rps) for index in range(100))


def test_by_hand() -> None:
    bucket = TokenBucket.full(rate_rps=2, burst=3, now_s=0.0)

    assert [bucket.take(at_s) for at_s in (0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 0.6, 1.0)] == [
        True, True, True, False, False, True, False, True,
    ]  # fmt: skip


def admit(throttle: Throttle, route: str, now_s: float = 0.0, **settings: object) -> bool:
    default = {"throttlingBurstLimit": 2, "throttlingRateLimit": 1.0}
    return throttle.admit("api", "$default", route, default, settings or None, now_s)


def test_routes_have_buckets_of_their_own_and_their_settings_win() -> None:
    throttle = Throttle(1_000, 1_000, 0.0)

    assert [admit(throttle, "a") for _ in range(3)] == [True, True, False]
    assert [admit(throttle, "b") for _ in range(3)] == [True, True, False]
    assert [admit(throttle, "c", throttlingBurstLimit=1) for _ in range(2)] == [True, False]
    assert not admit(throttle, "d", throttlingBurstLimit=0)


def test_changed_settings_take_effect_at_once() -> None:
    throttle = Throttle(1_000, 1_000, 0.0)
    assert [admit(throttle, "a") for _ in range(3)] == [True, True, False]

    assert [admit(throttle, "a", throttlingBurstLimit=4) for _ in range(5)] == [True, True, True, True, False]


def test_the_account_limits_all_routes_together() -> None:
    throttle = Throttle(1, 3, 0.0)

    admitted = [throttle.admit("api", "s", route, None, None, 0.0) for route in "abcd"]

    assert admitted == [True, True, True, False]
