"""The execution role's credentials, from where Lambda puts them.

In variables of the environment, where they outlive it; or, for a version with SnapStart, at an address on this machine
that gives short-lived ones (a snapshot's own would have expired): Lambda developer guide, "Improving startup
performance with Lambda SnapStart".
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from functions.common.errors import ConfigurationError

REFRESH_BEFORE_S: Final = 300.0
"""New ones are fetched so long before the old ones expire."""
TIMEOUT_S: Final = 1.0
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]", "::1")


@dataclass(frozen=True)
class Credentials:
    """Keys and session token; the token is empty for none."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)


Source = Callable[[], Credentials]
"""Gives the credentials to sign with now. Raises OSError or http.client.HTTPException where they cannot be had."""


def credential_source(environment: Mapping[str, str]) -> Source:
    """Find where credentials come from. Raises ConfigurationError where they come from nowhere."""
    access_key, secret_key = environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
    if access_key and secret_key:
        known = Credentials(access_key, secret_key, environment.get("AWS_SESSION_TOKEN", ""))
        return lambda: known
    address = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if not address:
        raise ConfigurationError(
            "there are no credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor "
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is set; Lambda sets them"
        )
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
        # The token that is sent there is worth as much as what is fetched.
        raise ConfigurationError(
            f"environment variable AWS_CONTAINER_CREDENTIALS_FULL_URI={address!r} is not an address on this machine"
        )
    return _Fetched(parts.hostname, parts.port, parts._replace(scheme="", netloc="").geturl(), environment)


class _Fetched:
    """Credentials from an address, kept until they are about to expire."""

    def __init__(self, host: str, port: int | None, path: str, environment: Mapping[str, str]) -> None:
        self._host, self._port, self._path = host, port, path
        self._environment = environment
        self._known: Credentials | None = None
        self._until_s = 0.0

    def __call__(self) -> Credentials:
        if self._known is None or time.time() >= self._until_s:
            self._known, self._until_s = self._fetch()
        return self._known

    def _fetch(self) -> tuple[Credentials, float]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            token = self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
            connection.request("GET", self._path or "/", headers={"authorization": token} if token else {})
            answer = connection.getresponse()
            content = answer.read(65_536)
            if answer.status != 200:
                raise http.client.HTTPException(f"credentials: HTTP {answer.status}")
            document = json.loads(content)
            expires_s = datetime.fromisoformat(document["Expiration"]).timestamp()
            found = Credentials(document["AccessKeyId"], document["SecretAccessKey"], document["Token"])
        except (ValueError, KeyError, TypeError) as error:
            raise http.client.HTTPException("credentials: not what they should be") from error
        finally:
            connection.close()
        return found, expires_s - REFRESH_BEFORE_S
