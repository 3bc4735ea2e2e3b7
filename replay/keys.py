"""API keys of a deployment: made, rotated, revoked and listed in its table.

The form of a key and of a row is what ``functions/authorizer/keys.py`` reads: ``tc_ID_SECRET``, and of the secret only
the SHA-256. A key is shown once, when it is made; nobody can read it back.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from replay.aws import cloud_errors, error_code
from replay.errors import InputError

ID_LENGTH: Final = 12
SECRET_BYTES: Final = 32
MAX_RATE_RPS: Final = 10_000
MAX_GRACE_S: Final = 30 * 86_400
MAX_VALID_S: Final = 36_500 * 86_400
"""A century; dates end with the year 9999, and a key beyond them could not be listed."""
_ID_LETTERS: Final = string.ascii_letters + string.digits
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY_ID: Final = re.compile(rf"[A-Za-z0-9]{{{ID_LENGTH}}}")


@dataclass(frozen=True)
class Rate:
    """What a key may do.

    Raises
    ------
    InputError
        Out of range.
    """

    rate_rps: float
    """Requests a second over time, above 0 and at most 10,000."""
    burst: int
    """Requests at once, from 1 to 10,000."""

    def __post_init__(self) -> None:
        if not 0 < self.rate_rps <= MAX_RATE_RPS:
            raise InputError(f"rate={self.rate_rps:g} must be above 0 and at most {MAX_RATE_RPS} requests a second")
        if not 1 <= self.burst <= MAX_RATE_RPS:
            raise InputError(f"burst={self.burst} must lie between 1 and {MAX_RATE_RPS} requests")

    @classmethod
    def of(cls, rate_rps: float | None, burst: int | None) -> Rate | None:
        """Give the rate of two options, None without a rate; a burst that is not named is two seconds' worth.

        Raises
        ------
        InputError
            A burst without a rate, or one that is out of range.
        """
        if rate_rps is None:
            if burst is not None:
                raise InputError(f"burst={burst} goes with a rate; give --rate as well")
            return None
        if burst is None:
            burst = math.ceil(2 * rate_rps) if 0 < rate_rps <= MAX_RATE_RPS / 2 else MAX_RATE_RPS
        return cls(rate_rps, burst)


@dataclass(frozen=True)
class NewKey:
    """A key as its owner gets it."""

    key_id: str
    tenant: str
    key: str
    """The whole key; kept nowhere."""


@dataclass(frozen=True)
class KeyRow:
    """What is known of a key; times in seconds since the epoch."""

    key_id: str
    tenant: str
    created_at: int
    expires_at: int | None
    revoked: bool
    rate_rps: float | None = None
    """Requests a second that it may make; None for what the gateway lets through."""
    burst: int | None = None


def create(client: Any, table: str, tenant: str, *, valid_s: int | None = None, rate: Rate | None = None) -> NewKey:
    """Make a key for ``tenant``; ``valid_s`` None for one that does not expire, ``rate`` None for one without its own.

    Raises
    ------
    InputError
        ``tenant`` or ``valid_s`` is not usable.
    CloudError
        The table is missing, or does not answer.
    """
    if not _TENANT.fullmatch(tenant):
        raise InputError(f"tenant={tenant!r} must have 1 to 64 letters, digits, dots, hyphens or underscores")
    if valid_s is not None and not 0 < valid_s <= MAX_VALID_S:
        raise InputError(
            f"valid_s={valid_s} must be above 0 and at most {MAX_VALID_S}; without it, a key does not expire"
        )
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(ID_LENGTH))
    key, digest = _new_secret(key_id)
    now = int(time.time())
    item: dict[str, Any] = {
        "key_id": {"S": key_id},
        "tenant": {"S": tenant},
        "digest": {"S": digest},
        "created_at": {"N": str(now)},
    }
    if valid_s is not None:
        item["expires_at"] = {"N": str(now + valid_s)}
    if rate is not None:
        item |= {"rate_rps": {"N": str(rate.rate_rps)}, "burst": {"N": str(rate.burst)}}
    with cloud_errors(f"table {table}: key {key_id} cannot be written"), _written_once(client, table, key_id, digest):
        client.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(key_id)")
    return NewKey(key_id, tenant, key)


def rotate(client: Any, table: str, key_id: str, *, grace_s: int) -> NewKey:
    """Give a key a new secret; the former one is good for ``grace_s`` more.

    Raises
    ------
    InputError
        No such key, one that is revoked or has expired, or a ``grace_s`` outside [0, 30 days].
    CloudError
        The table is missing, does not answer, or somebody else rotated the key at the same time.
    """
    if not 0 <= grace_s <= MAX_GRACE_S:
        raise InputError(f"grace_s={grace_s} must lie between 0 and {MAX_GRACE_S}")
    item = _read(client, table, key_id)
    if item.get("revoked", {}).get("BOOL"):
        raise InputError(f"key {key_id} is revoked; make a new one")
    if "expires_at" in item and int(item["expires_at"]["N"]) <= time.time():
        raise InputError(f"key {key_id} has expired, and a new secret would not open either; make a new one")
    key, digest = _new_secret(key_id)
    with cloud_errors(f"table {table}: key {key_id} cannot be rotated"), _written_once(client, table, key_id, digest):
        client.update_item(
            TableName=table,
            Key={"key_id": {"S": key_id}},
            UpdateExpression="SET digest = :new, former_digest = :old, former_expires_at = :until",
            ConditionExpression="digest = :old",
            ExpressionAttributeValues={
                ":new": {"S": digest},
                ":old": item["digest"],
                ":until": {"N": str(int(time.time()) + grace_s)},
            },
        )
    return NewKey(key_id, item["tenant"]["S"], key)


def limit(client: Any, table: str, key_id: str, rate: Rate | None) -> None:
    """Give a key another rate, or with None none. The gateway keeps the former one for some minutes (``auth.cache_s``).

    Raises
    ------
    InputError
        No such key.
    CloudError
        The table is missing, or does not answer.
    """
    _read(client, table, key_id)
    change: dict[str, Any] = {"UpdateExpression": "REMOVE rate_rps, burst"}
    if rate is not None:
        change = {
            "UpdateExpression": "SET rate_rps = :rate, burst = :burst",
            "ExpressionAttributeValues": {":rate": {"N": str(rate.rate_rps)}, ":burst": {"N": str(rate.burst)}},
        }
    with cloud_errors(f"table {table}: the rate of key {key_id} cannot be written"):
        client.update_item(TableName=table, Key={"key_id": {"S": key_id}}, **change)


def revoke(client: Any, table: str, key_id: str) -> None:
    """Make a key useless. The gateway keeps an authorizer's word for some minutes (``auth.cache_s``).

    Raises
    ------
    InputError
        No such key.
    CloudError
        The table is missing, or does not answer.
    """
    _read(client, table, key_id)
    with cloud_errors(f"table {table}: key {key_id} cannot be revoked"):
        client.update_item(
            TableName=table,
            Key={"key_id": {"S": key_id}},
            UpdateExpression="SET revoked = :yes",
            ExpressionAttributeValues={":yes": {"BOOL": True}},
        )


def list_keys(client: Any, table: str) -> list[KeyRow]:
    """Give all keys by tenant and age, without anything secret. Raises CloudError."""
    rows: list[KeyRow] = []
    with cloud_errors(f"table {table}: keys cannot be listed"):
        for page in client.get_paginator("scan").paginate(
            TableName=table, ProjectionExpression="key_id, tenant, created_at, expires_at, revoked, rate_rps, burst"
        ):
            rows.extend(_row(item) for item in page["Items"])
    return sorted(rows, key=lambda row: (row.tenant, row.created_at, row.key_id))


def _row(item: dict[str, Any]) -> KeyRow:
    return KeyRow(
        key_id=item["key_id"]["S"],
        tenant=item["tenant"]["S"],
        created_at=int(item["created_at"]["N"]),
        expires_at=int(item["expires_at"]["N"]) if "expires_at" in item else None,
        revoked=bool(item.get("revoked", {}).get("BOOL", False)),
        rate_rps=float(item["rate_rps"]["N"]) if "rate_rps" in item else None,
        burst=int(item["burst"]["N"]) if "burst" in item else None,
    )


def _read(client: Any, table: str, key_id: str) -> dict[str, Any]:
    if not _KEY_ID.fullmatch(key_id):
        raise InputError(f"key id {key_id!r} must have {ID_LENGTH} letters and digits: the part after tc_")
    with cloud_errors(f"table {table}: key {key_id} cannot be read"):
        item: dict[str, Any] | None = client.get_item(
            TableName=table, Key={"key_id": {"S": key_id}}, ConsistentRead=True
        ).get("Item")
    if item is None:
        raise InputError(f"key {key_id} is not in table {table}; `tailcast key list` shows all")
    return item


@contextmanager
def _written_once(client: Any, table: str, key_id: str, digest: str) -> Iterator[None]:
    """Let a write whose condition failed pass if it was this one: the SDK tries again where an answer was lost."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error_code(error) != "ConditionalCheckFailedException":
            raise
        if _read(client, table, key_id)["digest"]["S"] != digest:
            raise


def _new_secret(key_id: str) -> tuple[str, str]:
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return f"tc_{key_id}_{secret}", hashlib.sha256(secret.encode()).hexdigest()
