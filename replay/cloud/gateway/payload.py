"""Payload format 2.0: from an HTTP request to a function's event, and from its answer to an HTTP response.

Source: API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

_TEXT_TYPES: Final = ("text/", "application/json", "application/javascript", "application/xml", "application/graphql")
HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-connection"}
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_HEADER_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class MalformedAnswerError(Exception):
    """The function answered something that is no response; the caller gets 500."""


@dataclass(frozen=True)
class RequestInfo:
    """What the gateway knows of a request besides its body."""

    account: str
    api: str
    stage: str
    route_key: str
    path: str
    """With the stage, where that is not ``$default``; percent-encoded."""
    path_parameters: Mapping[str, str]
    stage_variables: Mapping[str, str]
    request_id: str
    domain_name: str
    time: datetime


def make_event(request: web.BaseRequest, body: bytes, info: RequestInfo) -> bytes:
    """Make the event of a request."""
    headers, cookies = _headers(request, info, len(body))
    query = request.rel_url.raw_query_string
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": info.route_key,
        "rawPath": info.path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": info.account,
            "apiId": info.api,
            "domainName": info.domain_name,
            "domainPrefix": info.domain_name.partition(".")[0],
            "http": {
                "method": request.method,
                "path": info.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.remote or "127.0.0.1",
                "userAgent": request.headers.get("User-Agent", ""),
            },
            "requestId": info.request_id,
            "routeKey": info.route_key,
            "stage": info.stage,
            "time": info.time.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(info.time.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = _joined(parse_qsl(query, keep_blank_values=True))
    if info.path_parameters:
        event["pathParameters"] = dict(info.path_parameters)
    if info.stage_variables:
        event["stageVariables"] = dict(info.stage_variables)
    if body:
        event["body"], event["isBase64Encoded"] = _body(body, request.headers.get("Content-Type", ""))
    return json.dumps(event, separators=(",", ":")).encode()


def add_authorizer(event: bytes, authorized: Mapping[str, Any]) -> bytes:
    """Say in an event who the caller is: ``{"jwt": …}`` or ``{"lambda": …}``."""
    document = json.loads(event)
    document["requestContext"]["authorizer"] = authorized
    return json.dumps(document, separators=(",", ":")).encode()


def make_response(payload: bytes) -> web.Response:
    """Make the response of a function's answer.

    An object with ``statusCode`` says all of it; any other JSON is the body of a 200.

    Raises
    ------
    MalformedAnswerError
        The answer is not JSON, or its status, headers or body are not what they must be.
    """
    try:
        answer = json.loads(payload) if payload else None
    except ValueError:
        raise MalformedAnswerError("the answer is not JSON") from None
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer.encode() if isinstance(answer, str) else payload
        return web.Response(body=body, content_type="application/json")
    try:
        status = int(answer["statusCode"])
        headers = {str(name): _text(value) for name, value in (answer.get("headers") or {}).items()}
        cookies = [str(cookie) for cookie in answer.get("cookies") or []]
    except (TypeError, ValueError, AttributeError) as error:
        raise MalformedAnswerError(str(error)) from error
    if not 200 <= status <= 599:
        raise MalformedAnswerError(f"statusCode {status} is no HTTP status of an answer")
    response = web.Response(body=_decoded(answer), status=status)
    set_headers(response, headers, cookies)
    if not any(name.lower() == "content-type" for name in headers):
        response.headers["Content-Type"] = "text/plain;charset=UTF-8"
    return response


def set_headers(response: web.StreamResponse, headers: Mapping[str, str], cookies: Iterable[str]) -> None:
    """Give a response a function's cookies, and its headers but for those that belong to the connection.

    Raises
    ------
    MalformedAnswerError
        A name or a value that no header can have.
    """
    for name, value in [*headers.items(), *(("Set-Cookie", cookie) for cookie in cookies)]:
        if not _HEADER_NAME.fullmatch(name) or _NO_HEADER_VALUE.search(value):
            raise MalformedAnswerError(f"header {name!r} is not what it must be: it holds a character that none can")
        if name.lower() == "set-cookie":
            response.headers.add(name, value)
        elif name.lower() not in HOP_BY_HOP | {"content-length"}:
            response.headers[name] = value


def _decoded(answer: Mapping[str, Any]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswerError(f"body is {type(body).__name__}, not a string")
    if not answer.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise MalformedAnswerError("body is not base64, as isBase64Encoded says") from None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise MalformedAnswerError(f"a header is {type(value).__name__}, not a string")


def _headers(request: web.BaseRequest, info: RequestInfo, size: int) -> tuple[dict[str, str], list[str]]:
    """Give the headers, lower-cased and joined with commas, and the cookies, which stand apart."""
    pairs: list[tuple[str, str]] = []
    cookies: list[str] = []
    for name, value in request.headers.items():
        lower = name.lower()
        if lower == "cookie":
            cookies.extend(part.strip() for part in value.split(";") if part.strip())
        elif lower not in HOP_BY_HOP:
            pairs.append((lower, value))
    headers = _joined(pairs)
    headers["host"] = info.domain_name
    headers["content-length"] = str(size)
    headers.setdefault("x-forwarded-for", request.remote or "127.0.0.1")
    headers.setdefault("x-forwarded-port", str(request.url.port or 80))
    headers.setdefault("x-forwarded-proto", "http")
    return headers, cookies


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    """Give a body as text where its type says so and it is, else in base64."""
    if not content_type or content_type.lower().startswith(_TEXT_TYPES) or "+json" in content_type:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def now() -> datetime:
    """Give the time for an event."""
    return datetime.now(UTC)
