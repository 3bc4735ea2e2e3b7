"""Signature version 4, which every call of AWS carries.

Source: IAM user guide, "Create a signed AWS API request". A test holds it against botocore's signer.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from functions.common.credentials import Source

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Signer:
    """Signs requests to one service in one region."""

    def __init__(self, credentials: Source, region: str, service: str) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._derived_from = ("", "")
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

        Raises
        ------
        OSError, http.client.HTTPException
            The credentials cannot be had.
        """
        credentials = self._credentials()
        signed = {**headers, "x-amz-date": time}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
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
        signature = hmac.new(
            self._key_of(day, credentials.secret_key), f"{_ALGORITHM}\n{time}\n{scope}\n{digest}".encode(), "sha256"
        )
        signed["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature.hexdigest()}"
        )
        return signed

    def _key_of(self, day: str, secret_key: str) -> bytes:
        """Derive the day's key; it is the same for all of the day's requests."""
        if (day, secret_key) != self._derived_from:
            key = f"AWS4{secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.new(key, part.encode(), "sha256").digest()
            self._derived_from, self._key = (day, secret_key), key
        return self._key
