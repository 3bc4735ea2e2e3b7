"""Requests and answers of an HTTP API (payload format 2.0), and of direct invocations, which look the same inside.

A direct invocation's event *is* the body (``{"prompt": …}``); its answer has the shape that an HTTP caller gets, so
that one driver reads both.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from functions.common.errors import (
    MediaTypeError,
    MethodError,
    RateLimitedError,
    RejectedError,
    ServiceError,
    ThrottledError,
    TooLargeError,
)

Event = Mapping[str, Any]
Answer = dict[str, Any]

MAX_BODY_BYTES: Final = 1_048_576
NO_BODY: Final = 'the request has no body; send JSON such as {"prompt": "…"}'
NOT_TEXT: Final = "the body is not UTF-8 text"


def read_body(event: object, max_bytes: int = MAX_BODY_BYTES) -> Mapping[str, Any]:
    """Give the JSON object that the caller sent.

    Parameters
    ----------
    event
        Payload format 2.0, or the object itself.
    max_bytes
        Of the body, in UTF-8.

    Raises
    ------
    MethodError
        Another method than POST.
    MediaTypeError
        A content type that is there, and is not JSON's.
    TooLargeError
        A body over ``max_bytes``.
    RejectedError
        No body, base64 that does not decode, bytes that are not UTF-8, text that is not JSON, or JSON that is not an
        object.
    """
    if not isinstance(event, Mapping):
        raise RejectedError("the event must be a JSON object")
    if "requestContext" not in event and "body" not in event:
        return event
    method = _nested(event, "requestContext", "http", "method")
    check_head("POST" if method is None else method, header(event, "content-type"))
    raw = event.get("body")
    if not isinstance(raw, str) or not raw:
        raise RejectedError(NO_BODY)
    # Base64 has four characters for three bytes, and no character has more than four bytes.
    if len(raw) > max_bytes * 4 // 3 + 4:
        raise too_large(max_bytes)
    try:
        body_bytes = base64.b64decode(raw, validate=True) if event.get("isBase64Encoded") else raw.encode()
    except ValueError:
        raise RejectedError(NOT_TEXT) from None
    return read_json(body_bytes, max_bytes)


def check_head(method: object, content_type: str) -> None:
    """Refuse what the head of a request tells already.

    Raises
    ------
    MethodError
        Another method than POST.
    MediaTypeError
        A content type that is there, and is not JSON's.
    """
    if method != "POST":
        raise MethodError("only POST is answered here")
    if content_type and not _is_json(content_type):
        raise MediaTypeError("the body must be JSON; send it with content-type: application/json")


def read_json(body: bytes, max_bytes: int) -> Mapping[str, Any]:
    """Give the JSON object that a body holds. Raises TooLargeError, RejectedError."""
    if not body:
        raise RejectedError(NO_BODY)
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    try:
        text = body.decode()
    except ValueError:
        raise RejectedError(NOT_TEXT) from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise RejectedError("the body is not valid JSON") from None
    if not isinstance(document, dict):
        raise RejectedError('the body must be a JSON object such as {"prompt": "…"}')
    return document


def too_large(max_bytes: int) -> TooLargeError:
    """Make the error for a body that is longer than ``max_bytes``."""
    return TooLargeError(f"the body is longer than {max_bytes} bytes")


def header(event: object, name: str) -> str:
    """Give a header of an HTTP event, empty where there is none; the gateway has made the names small."""
    value = _nested(event, "headers", name)
    return value if isinstance(value, str) else ""


def tenant(event: object) -> str | None:
    """Say whose request it is, by the gateway's authorizer: what one tenant asked is never shown to another.

    A token stands for its subject, an API key for the tenant that it was made for; without an authorizer all callers
    are one. None where there is one that does not say whom it let in: a token without ``sub``.
    """
    key_tenant = _nested(event, "requestContext", "authorizer", "lambda", "tenant")
    if isinstance(key_tenant, str):
        return f"key:{key_tenant}"
    subject = _nested(event, "requestContext", "authorizer", "jwt", "claims", "sub")
    if isinstance(subject, str):
        return f"sub:{subject}"
    return None if _nested(event, "requestContext", "authorizer") else "public"


def authorizer_context(event: object) -> object:
    """Give what the gateway's Lambda authorizer said of the caller; None where there is none."""
    return _nested(event, "requestContext", "authorizer", "lambda")


def _nested(document: object, *names: str) -> object:
    """Give what lies at the end of ``names``, None where one is missing."""
    for name in names:
        if not isinstance(document, Mapping):
            return None
        document = document.get(name)
    return document


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def answer(
    http_status: int, body: Mapping[str, Any], request_id: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """Give the answer in payload format 2.0, with the request's id in header and body."""
    return {
        "statusCode": http_status,
        "headers": {"content-type": "application/json", "x-request-id": request_id, **(headers or {})},
        "isBase64Encoded": False,
        "body": json.dumps({**body, "request_id": request_id}, ensure_ascii=False, separators=(",", ":")),
    }


def failure(error: ServiceError, request_id: str) -> Answer:
    """Give the answer for a request that ended without a completion."""
    headers: dict[str, str] = {}
    if isinstance(error, (ThrottledError, RateLimitedError)):
        headers["retry-after"] = str(error.retry_after_s)
    elif isinstance(error, MethodError):
        headers["allow"] = "POST"
    return answer(error.http_status, {"error": {"code": error.code, "message": str(error)}}, request_id, headers)
