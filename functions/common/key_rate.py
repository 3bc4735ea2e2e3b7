"""The rate of an API key, kept in DynamoDB by whoever answers.

The gateway keeps an authorizer's word for minutes, so an authorizer sees a key's first request only. It hands the key's
rate on in its context, and this counts: the generic cell rate algorithm, a token bucket whose whole state is one
number, the time at which the bucket will be full again ("theoretical arrival time", ITU-T I.371). One conditional
update moves it: an idle key takes one request to the table, one in a burst two, a refused one as many; each is billed.

Environments agree as far as their clocks do. A table that is slow, throttled or gone lets requests pass (fail open):
the gateway's own throttle still bounds them, and a lost count is cheaper than an API that is down with its table.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from functions.common.aws_call import AwsCaller, AwsCallError
from functions.common.deadline import CallExpiredError, call_within
from functions.common.errors import RateLimitedError
from functions.common.table import call_table

KEPT_S: Final = 3600
"""How long a bucket that is full again is kept before DynamoDB may delete it."""
_US: Final = 1_000_000


@dataclass(frozen=True)
class KeyRate:
    """What a key may do: ``rate_rps`` requests a second over time, ``burst`` at once."""

    key_id: str
    rate_rps: float
    burst: int


class KeyRates:
    """The table of buckets.

    Parameters
    ----------
    table
        Its name.
    timeout_s
        What counting may take of a request's time, both updates together.
    dynamodb
        Calls DynamoDB.
    """

    def __init__(self, table: str, timeout_s: float, dynamodb: AwsCaller) -> None:
        self._table = table
        self._timeout_s = timeout_s
        self._dynamodb = dynamodb

    def take(self, key: KeyRate, limit_s: float) -> str:
        """Count one request; give ``ok``, or ``error`` where it could not be counted and passes.

        Raises
        ------
        RateLimitedError
            The key has none left; it says when the next one will pass.
        """
        try:
            wait_s = call_within(min(limit_s, self._timeout_s), lambda: self._move(key, time.time()))
        except (AwsCallError, CallExpiredError, AttributeError, KeyError, TypeError, ValueError):
            return "error"
        if wait_s > 0:
            raise RateLimitedError(
                f"this key may ask {key.rate_rps:g} times a second, and {key.burst} times at once",
                retry_after_s=math.ceil(wait_s),
            )
        return "ok"

    def _move(self, key: KeyRate, now_s: float) -> float:
        """Take a token where there is one; give the seconds until there is one, 0 where it was taken."""
        step = round(_US / key.rate_rps)
        now = round(now_s * _US)
        latest = now + (key.burst - 1) * step
        # A bucket that is full: the time lies behind us.
        full_at = self._update(
            key,
            "SET full_at = :next, expires_at = :end",
            "attribute_not_exists(full_at) OR full_at <= :now",
            {":next": now + step, ":now": now},
            now_s,
        )
        if full_at is None:
            return 0.0
        if full_at <= latest:
            full_at = self._update(
                key,
                "SET full_at = full_at + :step, expires_at = :end",
                "full_at <= :latest",
                {":step": step, ":latest": latest},
                now_s,
            )
            if full_at is None:
                return 0.0
        return max(full_at - latest, 1) / _US

    def _update(self, key: KeyRate, update: str, condition: str, values: Mapping[str, int], now_s: float) -> int | None:
        """Write where ``condition`` holds; give None then, else the time that stands."""
        numbers = {**values, ":end": round(now_s + key.burst / key.rate_rps) + KEPT_S}
        try:
            call_table(
                self._dynamodb,
                "UpdateItem",
                {
                    "TableName": self._table,
                    "Key": {"key_id": {"S": key.key_id}},
                    "UpdateExpression": update,
                    "ConditionExpression": condition,
                    "ExpressionAttributeValues": {name: {"N": str(value)} for name, value in numbers.items()},
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                },
            )
        except AwsCallError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            stood: Any = error.document.get("Item", {})
            # Deleted between condition and answer: as good as full.
            return int(stood.get("full_at", {}).get("N", 0))
        return None


def key_rate(authorizer: object) -> KeyRate | None:
    """Read a key's rate from what the gateway's authorizer said; None where it has none, or there is no key.

    Parameters
    ----------
    authorizer
        ``requestContext.authorizer.lambda`` of the event.
    """
    if not isinstance(authorizer, Mapping) or "rate_rps" not in authorizer:
        return None
    try:
        rate = KeyRate(str(authorizer["key_id"]), float(authorizer["rate_rps"]), int(authorizer["burst"]))
    except (KeyError, TypeError, ValueError):
        return None
    return rate if rate.rate_rps > 0 and rate.burst >= 1 else None
