"""Requests and answers of an HTTP API (payload format 2.0), and of direct invocations, which look the same inside.

A direct invocation's event *is* the body (``{"prompt": …}``); its answer has the shape that an HTTP caller gets, so
that one driver reads both.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from functions.common.errors import RejectedError, ServiceError, ThrottledError

Event = Mapping[str, Any]
Answer = dict[str, Any]


def read_body(event: object) -> Mapping[str, Any]:
    """Give the JSON object that the caller sent.

    Raises
    ------
    RejectedError
        No body, base64 that does not decode, bytes that are not UTF-8, text that is not JSON, or JSON that is not an
        object.
    """
    if not isinstance(event, Mapping):
        raise RejectedError("the event must be a JSON object")
    if "requestContext" not in event and "body" not in event:
        return event
    raw = event.get("body")
    if not isinstance(raw, str) or not raw:
        raise RejectedError('the request has no body; send JSON such as {"prompt": "…"}')
    try:
        text = base64.b64decode(raw, validate=True).decode() if event.get("isBase64Encoded") else raw
    except ValueError:  # not base64, or not UTF-8
        raise RejectedError("the body is not UTF-8 text") from None
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise RejectedError("the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise RejectedError('the body must be a JSON object such as {"prompt": "…"}')
    return body


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
    headers = {"retry-after": str(error.retry_after_s)} if isinstance(error, ThrottledError) else None
    return answer(error.http_status, {"error": {"code": error.code, "message": str(error)}}, request_id, headers)
