"""CORS of an HTTP API: the gateway answers preflights itself and sets the headers of every answer.

Source: API Gateway developer guide, "Configure CORS for HTTP APIs".
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, MutableMapping
from typing import Any


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Say whether a browser asks for leave."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def preflight_headers(settings: Mapping[str, Any], origin: str) -> dict[str, str]:
    """Give the headers of the answer to a preflight; none for an origin that is not allowed: the browser refuses it."""
    allowed = response_headers(settings, origin)
    if not allowed:
        return {}
    for field, name in (
        ("allowMethods", "Access-Control-Allow-Methods"),
        ("allowHeaders", "Access-Control-Allow-Headers"),
    ):
        if settings.get(field):
            allowed[name] = ",".join(settings[field])
    if settings.get("maxAge") is not None:
        allowed["Access-Control-Max-Age"] = str(settings["maxAge"])
    allowed.pop("Access-Control-Expose-Headers", None)
    return allowed


def response_headers(settings: Mapping[str, Any], origin: str) -> dict[str, str]:
    """Give what every answer to ``origin`` carries; they take the place of the function's own."""
    origins = settings.get("allowOrigins") or []
    if not origin or not any(fnmatch.fnmatchcase(origin, pattern) for pattern in origins):
        return {}
    headers = {"Access-Control-Allow-Origin": "*" if "*" in origins else origin}
    if "*" not in origins:
        headers["Vary"] = "Origin"
    if settings.get("allowCredentials"):
        headers["Access-Control-Allow-Credentials"] = "true"
    if settings.get("exposeHeaders"):
        headers["Access-Control-Expose-Headers"] = ",".join(settings["exposeHeaders"])
    return headers


def drop_headers(headers: MutableMapping[str, str]) -> None:
    """Take the function's own CORS headers away: an API with CORS settings ignores them."""
    for name in [name for name in headers if name.lower().startswith("access-control-")]:
        del headers[name]
