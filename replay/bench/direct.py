"""One POST of a prompt to a deployed API, a stream URL or a function's alias, timed like a model's stream.

Server-sent events are read (:mod:`replay.bench.server_events`): the first token is the first of the answer. Of any
other answer the first piece of body counts as the first token; of an answer in one piece that is the whole answer.
An alias is asked for the tail of its log too, in which Lambda's REPORT line and the function's own record stand, so
that a benchmark of an alias gives a whole trace: INIT, duration, model call, memory.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import get_session

from replay.api_headers import headers_to
from replay.bench.clients import RENEW, Endpoint
from replay.bench.sdk import Outcome, send
from replay.bench.server_events import CONTENT_TYPE as EVENT_STREAM
from replay.bench.server_events import EventReader
from replay.bench.targets import Target
from replay.bench.transport import ArrivingResponse, ConnectionPool
from replay.errors import CloudError, InputError
from replay.function_urls import is_function_url, region_in
from replay.record.lines import FunctionRecord, Start, read_line
from simulator.importers.report_lines import Report

_TOKENS = {
    "inputTokens": ("input_tokens", "inputTokens"),
    "outputTokens": ("output_tokens", "outputTokens"),
    "cacheReadInputTokens": ("cache_read_tokens", "cacheReadInputTokens"),
    "cacheWriteInputTokens": ("cache_write_tokens", "cacheWriteInputTokens"),
}

_LARGEST_FIGURE = 1e15
"""Whole numbers are exact up to here; no token count, cost or time comes near."""
_MESSAGES = ("message", "Message", "errorMessage", "error")


@dataclass(frozen=True)
class Address:
    """Where to post, and how to sign it."""

    url: str
    headers: Mapping[str, str]
    sign: Callable[[AWSRequest], None] | None = None


def address_of(endpoint: Endpoint, target: Target) -> Address:
    """Give the address of a target that is no model.

    Raises
    ------
    InputError
        ``lambda:`` without a function's name, or a key that would go over the network in the clear.
    CloudError
        A function, and no credentials to sign with.
    """
    if target.kind == "http":
        # An answer from the function's response cache would be none of the model's.
        headers = {"Cache-Control": "no-store", **headers_to(target.model_id, endpoint.api_headers)}
        return Address(target.model_id, headers, _url_signature(target, headers))
    _, _, name = target.model_id.partition(":")
    function, _, alias = name.partition(":")
    if not function:
        raise InputError(f"target {target.model_id!r}: write lambda:FUNCTION:ALIAS")
    base = endpoint.client("lambda", target.region).meta.endpoint_url
    qualifier = f"?Qualifier={quote(alias, safe='')}" if alias else ""
    credentials = get_session().get_credentials()
    if credentials is None:
        raise CloudError("no AWS credentials found; set AWS_PROFILE, or run `aws sso login`")
    url = f"{base}/2015-03-31/functions/{quote(function, safe='')}/invocations{qualifier}"
    return Address(url, {"X-Amz-Log-Type": "Tail"}, SigV4Auth(credentials, "lambda", target.region).add_auth)


def _url_signature(target: Target, headers: Mapping[str, str]) -> Callable[[AWSRequest], None] | None:
    """Give what signs for a Function URL; None for other addresses, and where there is nothing to sign with.

    Without a signature a URL that wants one answers 403, and one that wants none is measured as it is.
    """
    if not is_function_url(target.model_id) or any(name.lower() == "authorization" for name in headers):
        return None
    credentials = get_session().get_credentials()
    if credentials is None:
        return None
    add_auth = SigV4Auth(credentials, "lambda", region_in(target.model_id) or target.region).add_auth
    return cast("Callable[[AWSRequest], None]", add_auth)


def post(
    address: Address,
    prompt: str,
    max_tokens: int,
    pool: ConnectionPool,
    *,
    fresh: bool,
    wait_until: Callable[[], float],
) -> Outcome:
    """Make one request; a failure is an outcome, not an exception.

    Parameters
    ----------
    address
        Where to.
    prompt, max_tokens
        What to send: the prompt, and the longest answer that is wanted.
    pool
        Where the connection comes from.
    fresh
        Whether to open one for this request, and close it afterwards.
    wait_until
        Called when the request is built; returns at the moment at which it is to leave.
    """
    outcome = Outcome(called_s=time.perf_counter())
    connection = pool.take(address.url, fresh=fresh)
    outcome.opened = not connection.is_open
    headers = {"Content-Type": "application/json", "Host": urlsplit(address.url).netloc, **address.headers}
    body = json.dumps({"prompt": prompt, "max_tokens": max_tokens})
    request = AWSRequest("POST", address.url, headers=headers, data=body.encode())
    try:
        if address.sign is not None:
            address.sign(request)
        prepared = request.prepare()
        connection.prepare(prepared)
        outcome.built_s = time.perf_counter()
        wait_until()
        response = send(connection, prepared, outcome)
        outcome.headers = {name.lower(): value for name, value in response.headers.items()}
        outcome.request_id = outcome.headers.get("x-request-id") or outcome.headers.get("x-amzn-requestid")
        if outcome.headers.get("content-type", "").startswith(EVENT_STREAM) and response.status == 200:
            _read_events(response, outcome)
        else:
            answer = b""
            for piece in response.stream():
                outcome.deltas_s.append(outcome.moments.arrival_s)
                answer += piece
            outcome.last_s = outcome.moments.arrival_s
            _read_answer(response.status, answer, outcome)
        _read_log_tail(outcome)
    except TimeoutError as error:
        outcome.status, outcome.error = "timeout", f"{type(error).__name__}: no byte in time"
        connection.close()
    except Exception as error:  # whatever it is, what was measured is kept
        outcome.status, outcome.error = "error", f"{type(error).__name__}: {Endpoint.explain(error)}"
        connection.close()
    finally:
        pool.give(connection, keep=not fresh)
    return outcome


def _read_events(response: ArrivingResponse, outcome: Outcome) -> None:
    reader = EventReader()
    try:
        for piece in response.stream():
            reader.feed(piece, outcome.moments.arrival_s)
            outcome.last_s = outcome.moments.arrival_s
    finally:
        outcome.deltas_s, outcome.reasoning_s = reader.deltas_s, reader.reasoning_s
    if reader.error is not None:
        outcome.status, outcome.error = reader.status, _said(reader.error) or "the stream ended with an error"
    elif reader.done is None:
        outcome.status, outcome.error = "error", "the stream ended before its done event"
    else:
        stop_reason = reader.done.get("stop_reason")
        outcome.stop_reason = stop_reason if isinstance(stop_reason, str) else None
        outcome.usage = _usage(reader.done)
        outcome.server_ms = _number(reader.done.get("total_execution_ms"))
        outcome.cost_usd = _number(reader.done.get("cost_usd"))


def _read_answer(http_status: int, body: bytes, outcome: Outcome) -> None:
    """Tell how it ended and what it used, from the answer of an API or, wrapped in one, of a function."""
    document = _object(body)
    status = http_status
    if document is not None and isinstance(document.get("statusCode"), int):
        # A function invoked directly answers 200, and what the gateway would answer stands in its payload.
        status = document["statusCode"] if 200 <= http_status < 300 else http_status
        document = _object(document["body"]) if isinstance(document.get("body"), str) else document
    outcome.status = _status(status, failed="x-amz-function-error" in outcome.headers)
    if outcome.status != "ok":
        what = f"HTTP {status}" if status >= 300 else outcome.headers["x-amz-function-error"]
        outcome.error = ": ".join(filter(None, (what, _said(document or {}))))
        if "ExpiredToken" in f"{outcome.error}{outcome.headers.get('x-amzn-errortype', '')}":
            outcome.error = f"{outcome.error}{RENEW}"
        return
    outcome.usage = _usage(document or {})
    if document is not None and _number(document.get("cost_usd")) is not None:
        outcome.cost_usd = _number(document["cost_usd"])
        outcome.server_ms = _number(document.get("total_execution_ms"))


def _usage(document: Mapping[str, Any]) -> dict[str, int]:
    usage = document.get("usage")
    if not isinstance(usage, Mapping):
        return {}
    found = {key: next((usage[name] for name in names if name in usage), None) for key, names in _TOKENS.items()}
    return {key: int(value) for key, value in found.items() if isinstance(value, int) and _number(value) is not None}


def _number(value: Any) -> float | None:
    """Give a figure that an API says; None where it is of another kind: one such answer must not end the run."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LARGEST_FIGURE else None


def _said(document: Mapping[str, Any]) -> str:
    """Give what an error says of itself, on one line and not too long."""
    nested = document.get("error")
    if isinstance(nested, Mapping):
        return _said(nested)
    found = next((document[name] for name in _MESSAGES if isinstance(document.get(name), str)), "")
    return " ".join(found.split())[:200]


def _read_log_tail(outcome: Outcome) -> None:
    encoded = outcome.headers.get("x-amz-log-result")
    if encoded is None:
        return
    outcome.version = outcome.headers.get("x-amz-executed-version")
    for line in base64.b64decode(encoded).decode(errors="replace").splitlines():
        found = read_line(line)
        if isinstance(found, Report):
            outcome.report = found
        elif isinstance(found, FunctionRecord):
            outcome.record = found
        elif isinstance(found, Start):
            outcome.version = found.version or outcome.version


def _status(http_status: int, *, failed: bool) -> str:
    if http_status == 429:
        return "throttled"
    if http_status == 504:
        return "timeout"
    if failed or not 200 <= http_status < 300:
        return "rejected" if 400 <= http_status < 500 else "error"
    return "ok"


def _object(text: str | bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None  # a stream of text
    return document if isinstance(document, dict) else None
