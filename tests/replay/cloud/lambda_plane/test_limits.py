"""The ledger of concurrency and the scale-out bucket, against their definitions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.cloud.lambda_plane.limits import ConcurrencyLedger, TokenBucket


def test_a_bucket_refills_continuously_and_holds_no_more_than_its_burst() -> None:
    bucket = TokenBucket(burst=3, per_s=10)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.15), bucket.take(0.15)] == [True, False]  # 1.5 tokens back, one used
    assert [bucket.take(0.2), bucket.take(0.2)] == [True, False]  # 0.5 + 0.5
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


@given(
    burst=st.integers(1, 20),
    per_s=st.floats(0.1, 50),
    steps=st.lists(st.floats(0, 3), min_size=1, max_size=80),
)
def test_a_bucket_never_gives_more_than_burst_plus_rate_times_time(
    burst: int, per_s: float, steps: list[float]
) -> None:
    bucket, now_s, taken = TokenBucket(burst, per_s), 0.0, 0
    for step in steps:
        now_s += step
        taken += bucket.take(now_s)
        assert taken <= burst + now_s * per_s + 1e-6


@given(
    account=st.integers(1, 30),
    reserved=st.dictionaries(st.sampled_from("ab"), st.integers(0, 10)),
    provisioned=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 4)),
    moves=st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=120),
)
def test_no_limit_is_ever_exceeded_and_none_refuses_early(
    account: int, reserved: dict[str, int], provisioned: dict[str, int], moves: list[tuple[bool, str]]
) -> None:
    ledger, running = ConcurrencyLedger(account), Counter[str]()
    for starts, function in moves:
        if not starts:
            if running[function]:
                ledger.release(function)
                running[function] -= 1
            continue
        if function in reserved:
            room = running[function] + provisioned.get(function, 0) < reserved[function]
        else:
            names = {*running, *provisioned} - set(reserved)
            used = sum(running[name] + provisioned.get(name, 0) for name in names)
            room = used < account - sum(reserved.values())
        refused = ledger.acquire(function, provisioned, reserved)
        assert (refused is None) == room
        running[function] += refused is None
        assert ledger.running(function) == running[function]


@pytest.mark.parametrize(
    ("reserved", "reason"),
    [
        ({"f": 0}, "ReservedFunctionConcurrentInvocationLimitExceeded"),
        ({"g": 1}, "ConcurrentInvocationLimitExceeded"),
    ],
)
def test_the_reason_names_the_limit(reserved: dict[str, int], reason: str) -> None:
    assert ConcurrencyLedger(1).acquire("f", {}, reserved) == reason
