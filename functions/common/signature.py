"""Signature version 4, which every call of AWS carries.

Source: IAM user guide, "Create a signed AWS API request". A test holds it against botocore's signer.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from functions.common.errors import ConfigurationError

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Credentials:
    """Of the execution role. Lambda sets them once for an execution environment, which ends before they do."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    """Session token; empty for none."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Credentials:
        """Read them. Raises ConfigurationError where there are none."""
        access_key, secret_key = environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
        if not access_key or not secret_key:
            raise ConfigurationError(
                "environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are missing; Lambda sets them"
            )
        return cls(access_key, secret_key, environment.get("AWS_SESSION_TOKEN", ""))


class Signer:
    """Signs requests to one service in one region."""

    def __init__(self, credentials: Credentials, region: str, service: str) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._day = ""
        self._key = b""

    def sign(self, method: str, path: str, headers: Mapping[str, str], body: bytes, time: str) -> dict[str, str]:
        """Give ``headers`` with those that sign the request.

        Parameters
        ----------
        method, path
            As they are sent; the path is percent-encoded and has no query.
        headers
            All that are signed, in lower case, ``host`` among them.
        body
            As it is sent.
        time
            ``20261125T101500Z``, UTC.
        """
        signed = {**headers, "x-amz-date": time}
        if self._credentials.token:
            signed["x-amz-security-token"] = self._credentials.token
        names = sorted(signed)
        # Every service but S3 wants the path as it is sent encoded once more.
        canonical = "\n".join(
            [
                method,
                quote(path, safe="/~"),
                "",
                *(f"{name}:{' '.join(signed[name].split())}" for name in names),
                "",
                ";".join(names),
                hashlib.sha256(body).hexdigest(),
            ]
        )
        day = time[:8]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.new(self._key_of(day), f"{_ALGORITHM}\n{time}\n{scope}\n{digest}".encode(), "sha256")
        signed["authorization"] = (
            f"{_ALGORITHM} Credential={self._credentials.access_key}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature.hexdigest()}"
        )
        return signed

    def _key_of(self, day: str) -> bytes:
        """Derive the day's key; it is the same for all of the day's requests."""
        if day != self._day:
            key = f"AWS4{self._credentials.secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.new(key, part.encode(), "sha256").digest()
            self._day, self._key = day, key
        return self._key
