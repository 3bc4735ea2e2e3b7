"""Who may pass a route: nobody who is not checked, where the route has an authorizer.

Sources: API Gateway developer guide, "Control access to HTTP APIs with JWT authorizers" and "… with AWS Lambda
authorizers".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from replay.cloud.gateway import jwt
from replay.cloud.lambda_plane.invocation import InvalidRequestError, Invocation, PayloadTooLargeError, ThrottledError
from replay.cloud.lambda_plane.ports import UnknownFunctionError

AUTHORIZER_TIMEOUT_S: Final = 10.0
"""Longest that an HTTP API waits for an authorizer's function (API Gateway quotas)."""
DEFAULT_TTL_S: Final = 300
CACHE_SIZE: Final = 10_000
"""Answers kept; beyond it the oldest goes."""


class DeniedError(Exception):
    """The request ends here, with ``status``: 401, 403, 500 or 501. The text is for the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


InvokeFunction = Callable[[str, bytes], Awaitable[Invocation]]
"""Invokes an authorizer's function by its ARN with an event, where its policy lets the gateway."""


@dataclass
class _Kept:
    """An answer of an authorizer's function."""

    until_s: float
    allowed: bool
    context: Mapping[str, Any]


class Authorizers:
    """Checks requests; keeps what authorizers' functions answered for as long as each of them says."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], _Kept] = {}

    async def check(
        self, route: Any, api: Any, request: web.BaseRequest, event: bytes, invoke: InvokeFunction
    ) -> Mapping[str, Any] | None:
        """Give what the event's ``requestContext.authorizer`` says; None for a route that is open.

        Parameters
        ----------
        route, api
            As moto keeps them.
        request
            As it came.
        event
            What the function would be sent.
        invoke
            Calls an authorizer's function.

        Raises
        ------
        DeniedError
            The request may not pass, or it cannot be told.
        """
        kind = route.authorization_type or "NONE"
        if kind == "NONE":
            return None
        if kind not in ("JWT", "CUSTOM"):
            # Better than to let a request through that AWS would check.
            reason = f"route {route.route_key!r} has authorization {kind}, which the local gateway lacks"
            raise DeniedError(501, reason)
        authorizer = api.authorizers.get(route.authorizer_id)
        if authorizer is None:
            raise DeniedError(500, f"route {route.route_key!r} has no authorizer {route.authorizer_id!r}")
        if kind == "JWT":
            return {"jwt": _check_token(authorizer, route, request)}
        return {"lambda": await self._ask(authorizer, api.api_id, request, event, invoke)}

    async def _ask(
        self, authorizer: Any, api_id: str, request: web.BaseRequest, event: bytes, invoke: InvokeFunction
    ) -> Mapping[str, Any]:
        if str(authorizer.auth_payload_format_version) != "2.0" or not authorizer.enable_simple_response:
            reason = f"authorizer {authorizer.id}: the local gateway serves payload format 2.0 with simple responses"
            raise DeniedError(501, reason)
        sources = authorizer.identity_source or []
        identity = [_source(source, request) for source in sources]
        if None in identity:
            raise DeniedError(401, f"authorizer {authorizer.id}: an identity source is missing")
        ttl_s = DEFAULT_TTL_S if authorizer.auth_result_ttl is None else int(authorizer.auth_result_ttl)
        # Without identity sources there is nothing to tell callers apart by, so nothing is kept.
        key = (api_id, authorizer.id, *map(str, identity)) if identity and ttl_s > 0 else None
        kept = self._kept.get(key) if key else None
        if kept is None or kept.until_s <= time.monotonic():
            allowed, context = await _invoke(authorizer, identity, event, invoke)
            kept = _Kept(time.monotonic() + ttl_s, allowed, context)
            if key:
                self._keep(key, kept)
        if not kept.allowed:
            raise DeniedError(403, f"authorizer {authorizer.id}: not authorized")
        return kept.context

    def _keep(self, key: tuple[str, ...], answer: _Kept) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= CACHE_SIZE:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = answer


def _check_token(authorizer: Any, route: Any, request: web.BaseRequest) -> dict[str, Any]:
    settings = authorizer.jwt_config or {}
    source = (authorizer.identity_source or ["$request.header.Authorization"])[0]
    try:
        return jwt.verify(
            _source(source, request) or "",
            issuer=str(settings.get("issuer", "")),
            audience=settings.get("audience") or [],
            scopes=route.authorization_scopes or [],
            now_s=time.time(),
        )
    except jwt.RefusedTokenError as error:
        raise DeniedError(401, f"authorizer {authorizer.id}: {error}") from error
    except jwt.MissingScopeError as error:
        raise DeniedError(403, f"authorizer {authorizer.id}: {error}") from error


def _source(expression: str, request: web.BaseRequest) -> str | None:
    """Give the value of an identity source, None where the request lacks it."""
    kind, _, name = expression.removeprefix("$request.").partition(".")
    if kind == "header":
        return request.headers.get(name) or None
    if kind == "querystring":
        return dict(parse_qsl(request.rel_url.raw_query_string)).get(name) or None
    return None


async def _invoke(
    authorizer: Any, identity: list[str | None], event: bytes, invoke: InvokeFunction
) -> tuple[bool, Mapping[str, Any]]:
    asked: dict[str, Any] = json.loads(event)
    # An authorizer never sees the body.
    asked.pop("body", None)
    asked.pop("isBase64Encoded", None)
    asked |= {"type": "REQUEST", "routeArn": "", "identitySource": identity or None}
    try:
        invocation: Invocation = await asyncio.wait_for(
            invoke(authorizer.authorizer_uri or "", json.dumps(asked).encode()), AUTHORIZER_TIMEOUT_S
        )
    except TimeoutError:
        raise DeniedError(500, f"authorizer {authorizer.id}: no answer in {AUTHORIZER_TIMEOUT_S:g} s") from None
    except (ThrottledError, UnknownFunctionError, PayloadTooLargeError, InvalidRequestError) as error:
        raise DeniedError(500, f"authorizer {authorizer.id}: Lambda refused: {error}") from error
    if invocation.function_error is not None:
        reason = invocation.payload[:300].decode(errors="replace")
        raise DeniedError(500, f"authorizer {authorizer.id}: the function failed: {reason}")
    try:
        answer = json.loads(invocation.payload)
        allowed, context = answer["isAuthorized"], answer.get("context") or {}
    except (ValueError, TypeError, KeyError):
        raise DeniedError(500, f"authorizer {authorizer.id}: its answer has no isAuthorized") from None
    if not isinstance(allowed, bool) or not isinstance(context, dict):
        raise DeniedError(500, f"authorizer {authorizer.id}: isAuthorized is no boolean, or context no object")
    return allowed, context
