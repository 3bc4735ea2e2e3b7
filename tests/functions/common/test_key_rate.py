"""The rate of a key, counted in a real table of the local cloud."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from functions.common import key_rate as module
from functions.common.aws_call import AwsCaller, AwsCallError
from functions.common.errors import RateLimitedError
from functions.common.key_rate import KeyRate, KeyRates, key_rate
from functions.common.table import table_caller
from replay.cloud import LocalCloud


@pytest.fixture
def table(local_cloud: LocalCloud) -> str:
    name = f"rates-{uuid4().hex[:8]}"
    local_cloud.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "key_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The wall clock of the counter; time passes when ``now`` is set."""
    fake = SimpleNamespace(now=1_000_000.0, time=lambda: fake.now)
    monkeypatch.setattr(module, "time", fake)
    return fake


@pytest.fixture
def new_caller(local_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], AwsCaller]]:
    # What is counted matters here, not how loaded the machine is.
    monkeypatch.setattr("functions.common.table.READ_TIMEOUT_S", 30.0)
    made: list[AwsCaller] = []

    def make() -> AwsCaller:
        made.append(table_caller(local_cloud.environment()))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


@pytest.fixture
def counted(new_caller: Callable[[], AwsCaller], table: str) -> KeyRates:
    return KeyRates(table, 30.0, new_caller())


def taken(rates: KeyRates, key: KeyRate, times: int) -> list[str]:
    """Give what each of so many requests meets: ``ok``, ``error``, or the seconds to wait."""

    def one() -> str:
        try:
            return rates.take(key, 30.0)
        except RateLimitedError as error:
            return str(error.retry_after_s)

    return [one() for _ in range(times)]


def test_a_burst_passes_and_then_the_rate(counted: KeyRates, clock: SimpleNamespace) -> None:
    key = KeyRate("a", rate_rps=0.5, burst=3)
    assert taken(counted, key, 5) == ["ok", "ok", "ok", "2", "2"]
    clock.now += 1.9
    assert taken(counted, key, 1) == ["1"]
    clock.now += 0.2
    assert taken(counted, key, 2) == ["ok", "2"]
    # Idle for long, it may burst again, and no more than that.
    clock.now += 3600
    assert taken(counted, key, 4) == ["ok", "ok", "ok", "2"]


def test_a_bucket_is_kept_until_long_after_it_is_full_again(
    counted: KeyRates, clock: SimpleNamespace, local_cloud: LocalCloud, table: str
) -> None:
    taken(counted, KeyRate("a", rate_rps=0.01, burst=100), 2)
    key = {"key_id": {"S": "a"}}
    item = local_cloud.client("dynamodb").get_item(TableName=table, Key=key)["Item"]
    # Two of a hundred tokens, a hundred seconds each; a full burst would take 10,000 s.
    assert float(item["full_at"]["N"]) == pytest.approx((clock.now + 200) * 1e6)
    assert clock.now + 10_000 < float(item["expires_at"]["N"]) <= clock.now + 10_000 + 86_400


def test_keys_do_not_share(counted: KeyRates, clock: SimpleNamespace) -> None:
    assert taken(counted, KeyRate("a", 1, 1), 2) == ["ok", "1"]
    assert taken(counted, KeyRate("b", 1, 1), 2) == ["ok", "1"]


def test_environments_at_once_let_a_burst_through_and_not_one_more(
    new_caller: Callable[[], AwsCaller], table: str, clock: SimpleNamespace
) -> None:
    key = KeyRate("a", rate_rps=0.1, burst=7)
    environments = [KeyRates(table, 30.0, new_caller()) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        met = [one for several in pool.map(lambda each: taken(each, key, 3), environments) for one in several]
    assert met.count("ok") == 7
    assert met.count("error") == 0


def test_a_token_that_another_environment_takes_meanwhile_is_not_taken_twice(clock: SimpleNamespace) -> None:
    """The bucket has one token when it is looked at, and none when it is written."""

    def outrun(*_: Any) -> Any:
        item = {"full_at": {"N": str(round(clock.now * 1e6))}}
        raise AwsCallError("ConditionalCheckFailedException", http_status=400, document={"Item": item})

    rates = KeyRates("t", 5.0, cast("AwsCaller", SimpleNamespace(post=outrun)))
    assert taken(rates, KeyRate("a", 1, 1), 1) == ["1"]


def refuses(*_: Any) -> Any:
    raise AwsCallError("ProvisionedThroughputExceededException", http_status=400)


def breaks(*_: Any) -> Any:
    raise AwsCallError("TimeoutError", timed_out=True)


def hangs(*_: Any) -> Any:
    time.sleep(60)


def says_nonsense(*_: Any) -> Any:
    raise AwsCallError("ConditionalCheckFailedException", http_status=400, document={"Item": {"full_at": {"N": "x"}}})


@pytest.mark.parametrize("post", [refuses, breaks, hangs, says_nonsense])
def test_a_table_that_cannot_count_lets_pass(post: Callable[..., Any]) -> None:
    started_s = time.monotonic()
    rates = KeyRates("t", 0.2, cast("AwsCaller", SimpleNamespace(post=post)))
    assert rates.take(KeyRate("a", 1, 1), 5.0) == "error"
    assert time.monotonic() - started_s < 30  # a hanging table would take 60


@pytest.mark.parametrize(("timeout_s", "limit_s"), [(0.1, 50.0), (50.0, 0.1)])
def test_counting_takes_neither_more_than_its_own_time_nor_than_what_is_left(timeout_s: float, limit_s: float) -> None:
    started_s = time.monotonic()
    rates = KeyRates("t", timeout_s, cast("AwsCaller", SimpleNamespace(post=hangs)))
    assert rates.take(KeyRate("a", 1, 1), limit_s) == "error"
    assert time.monotonic() - started_s < 30  # the other limit is 50


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ({"key_id": "k", "rate_rps": 2.5, "burst": 4, "tenant": "t"}, KeyRate("k", 2.5, 4)),
        ({"key_id": "k", "rate_rps": "5", "burst": "10"}, KeyRate("k", 5.0, 10)),
        ({"key_id": "k", "tenant": "t"}, None),
        ({"key_id": "k", "rate_rps": "x", "burst": 4}, None),
        ({"key_id": "k", "rate_rps": 0, "burst": 4}, None),
        ({"key_id": "k", "rate_rps": 1, "burst": 0}, None),
        ({"rate_rps": 1, "burst": 1}, None),
        (None, None),
        ("none", None),
    ],
)
def test_a_rate_is_what_the_authorizer_says(said: object, rate: KeyRate | None) -> None:
    assert key_rate(said) == rate
