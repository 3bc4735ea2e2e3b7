"""Function URLs: one for a function's ``$LATEST``, and one for each alias.

Moto keeps one a function, without qualifier, at an address where nothing answers; these answer on this server
(:mod:`replay.cloud.gateway.function_url`). Source: Lambda API reference, ``CreateFunctionUrlConfig``.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from moto.awslambda.exceptions import GenericResourcNotFound, InvalidParameterValueException

URL_PATH: Final = "/_aws/lambda-url/"
AUTH_TYPES: Final = ("AWS_IAM", "NONE")
INVOKE_MODES: Final = ("BUFFERED", "RESPONSE_STREAM")


@dataclass
class FunctionUrl:
    """One Function URL."""

    function: str
    qualifier: str
    """An alias; empty for ``$LATEST``."""
    function_arn: str
    """With the alias."""
    url: str
    auth_type: str
    invoke_mode: str = "BUFFERED"
    cors: dict[str, Any] = field(default_factory=dict)
    """``AllowOrigins`` and so on, as the API has it."""
    url_id: str = ""
    created: str = ""
    modified: str = ""

    def to_document(self) -> dict[str, Any]:
        """Give it as ``GetFunctionUrlConfig`` does."""
        document = {
            "FunctionUrl": self.url,
            "FunctionArn": self.function_arn,
            "AuthType": self.auth_type,
            "InvokeMode": self.invoke_mode,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }
        return {**document, "Cors": self.cors} if self.cors else document


class FunctionUrls:
    """All of an account's Function URLs in one region; the caller holds the backend's lock for changes."""

    def __init__(self, endpoint_url: str) -> None:
        self._endpoint_url = endpoint_url
        self._urls: dict[tuple[str, str], FunctionUrl] = {}
        self._by_id: dict[str, FunctionUrl] = {}

    def by_id(self, url_id: str) -> FunctionUrl | None:
        """Find the URL that a request came to; asked without the lock."""
        return self._by_id.get(url_id)

    def create(self, function: str, qualifier: str, function_arn: str, settings: dict[str, Any]) -> FunctionUrl | None:
        """Make a URL; None where the function has one already under this qualifier."""
        if (function, qualifier) in self._urls:
            return None
        url_id = uuid.uuid4().hex
        made = FunctionUrl(
            function,
            qualifier,
            function_arn,
            url=f"{self._endpoint_url}{URL_PATH}{url_id}/",
            auth_type=_one_of("AuthType", settings.get("AuthType"), AUTH_TYPES),
            invoke_mode=_one_of("InvokeMode", settings.get("InvokeMode") or "BUFFERED", INVOKE_MODES),
            cors=dict(settings.get("Cors") or {}),
            url_id=url_id,
        )
        made.created = made.modified = _now()
        self._urls[function, qualifier] = self._by_id[url_id] = made
        return made

    def get(self, function: str, qualifier: str) -> FunctionUrl:
        """Give a URL. Raises ResourceNotFoundException."""
        found = self._urls.get((function, qualifier))
        if found is None:
            raise GenericResourcNotFound
        return found

    def update(self, function: str, qualifier: str, settings: dict[str, Any]) -> FunctionUrl:
        """Change what ``settings`` names."""
        found = self.get(function, qualifier)
        if settings.get("AuthType"):
            found.auth_type = _one_of("AuthType", settings["AuthType"], AUTH_TYPES)
        if settings.get("InvokeMode"):
            found.invoke_mode = _one_of("InvokeMode", settings["InvokeMode"], INVOKE_MODES)
        if settings.get("Cors") is not None:
            found.cors = dict(settings["Cors"])
        found.modified = _now()
        return found

    def delete(self, function: str, qualifier: str) -> None:
        """Take a URL away. Raises ResourceNotFoundException."""
        found = self.get(function, qualifier)
        del self._urls[function, qualifier], self._by_id[found.url_id]

    def forget(self, function: str, qualifier: str | None = None) -> None:
        """Take away what a deleted function (None) or alias had."""
        for key in [key for key in self._urls if key[0] == function and qualifier in (None, key[1])]:
            self.delete(*key)

    def of_function(self, function: str) -> list[FunctionUrl]:
        """List a function's URLs."""
        return [url for (owner, _), url in sorted(self._urls.items()) if owner == function]


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise InvalidParameterValueException(f"{name} {value!r} is not one of {', '.join(allowed)}")
    return str(value)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
