"""One accepted request to a function, and what is checked before it is accepted."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
import uuid
from dataclasses import dataclass

from replay.cloud.lambda_plane.invocation import (
    INVOCATION_TYPES,
    MAX_EVENT_PAYLOAD_BYTES,
    MAX_SYNC_PAYLOAD_BYTES,
    InvalidRequestError,
    PayloadTooLargeError,
)
from replay.cloud.lambda_plane.ports import Route
from replay.cloud.lambda_plane.response_sink import ResponseSink


@dataclass(frozen=True)
class Request:
    """What a runtime is to be told."""

    request_id: str
    route: Route
    version: str
    """That the route's draw picked."""
    payload: bytes
    trace_id: str
    client_context: str | None
    """JSON."""
    sink: ResponseSink | None = None
    """Where a streamed response goes; None gathers it."""


def accept(
    route: Route,
    version: str,
    payload: bytes,
    invocation_type: str,
    client_context: str | None,
    trace_id: str | None,
    sink: ResponseSink | None = None,
) -> Request:
    """Check a request and give it an id.

    Raises
    ------
    InvalidRequestError
        An unknown type, a payload that is not JSON, or a client context that is not base64 of JSON.
    PayloadTooLargeError
        Over 6 MB, or over 1 MB for an ``Event``.
    """
    if invocation_type not in INVOCATION_TYPES:
        raise InvalidRequestError(f"InvocationType {invocation_type!r} is not one of {', '.join(INVOCATION_TYPES)}")
    limit = MAX_EVENT_PAYLOAD_BYTES if invocation_type == "Event" else MAX_SYNC_PAYLOAD_BYTES
    if len(payload) > limit:
        raise PayloadTooLargeError(f"Request must be smaller than {limit} bytes for the InvokeFunction operation")
    if payload:
        try:
            json.loads(payload)
        except ValueError as error:
            raise InvalidRequestError(f"Could not parse request body into json: {error}") from error
    return Request(
        request_id=str(uuid.uuid4()),
        route=route,
        version=version,
        payload=payload or b"{}",
        trace_id=trace_id or _new_trace_id(),
        client_context=_decoded(client_context),
        sink=sink,
    )


def _decoded(client_context: str | None) -> str | None:
    if not client_context:
        return None
    try:
        text = base64.b64decode(client_context, validate=True).decode()
        json.loads(text)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"Client context must be a valid Base64-encoded JSON object: {error}") from error
    return json.dumps(json.loads(text))  # on one line, as a header must be


def _new_trace_id() -> str:
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
