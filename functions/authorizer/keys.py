"""API keys: what they look like, what is kept of them, and when one is good.

A key is ``tc_ID_SECRET``. The id finds the row; of the secret only the SHA-256 is kept. A slow password hash would add
nothing: the secret is 256 random bits, which nobody guesses, however fast the hash. A rotated key keeps the digest of
its former secret for a while, so that callers can change over without an outage.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_FORM: Final = re.compile(r"tc_([A-Za-z0-9]{12})_([A-Za-z0-9_-]{43})")
_NO_DIGEST: Final = "0" * 64


@dataclass(frozen=True)
class PresentedKey:
    """A key as a caller sent it, taken apart."""

    key_id: str
    digest: str
    """SHA-256 of the secret, hexadecimal."""


@dataclass(frozen=True)
class StoredKey:
    """A row of the table; times in seconds since the epoch, 0 for never."""

    tenant: str
    digest: str
    expires_at: int
    former_digest: str
    former_expires_at: int
    revoked: bool
    rate_rps: float | None = None
    """Requests a second that the key may make, and ``burst`` at once; None for what the gateway lets through."""
    burst: int | None = None


def parse(text: str) -> PresentedKey | None:
    """Take a key apart; None where it does not look like one."""
    match = _FORM.fullmatch(text)
    return None if match is None else PresentedKey(match[1], hashlib.sha256(match[2].encode()).hexdigest())


def from_item(item: Mapping[str, Any]) -> StoredKey:
    """Read a row as DynamoDB gives it. Raises KeyError or ValueError where it is damaged."""
    return StoredKey(
        tenant=str(item["tenant"]["S"]),
        digest=str(item["digest"]["S"]),
        expires_at=int(item.get("expires_at", {}).get("N", 0)),
        former_digest=str(item.get("former_digest", {}).get("S", _NO_DIGEST)),
        former_expires_at=int(item.get("former_expires_at", {}).get("N", 0)),
        revoked=bool(item.get("revoked", {}).get("BOOL", False)),
        rate_rps=float(item["rate_rps"]["N"]) if "rate_rps" in item else None,
        burst=int(item["burst"]["N"]) if "burst" in item else None,
    )


def is_good(presented: PresentedKey, stored: StoredKey, now_s: float) -> bool:
    """Say whether the key may be used at ``now_s``.

    Both digests are always compared, in constant time: how long it takes says nothing of how much of a digest fits.
    """
    current = hmac.compare_digest(presented.digest, stored.digest)
    former = hmac.compare_digest(presented.digest, stored.former_digest) and now_s < stored.former_expires_at
    in_time = stored.expires_at == 0 or now_s < stored.expires_at
    return (current or former) and in_time and not stored.revoked
