"""Function URLs, served: who may call, CORS, payload 2.0, answers at once or streamed.

A URL is ``http://127.0.0.1:PORT/_aws/lambda-url/ID/…``: all services share one loopback port. A request whose ``Host``
is ``ID.lambda-url.REGION.on.aws`` is served too. Sources: Lambda developer guide, "Invoking Lambda function URLs",
"Control access to Lambda function URLs"; since October 2025 a caller needs both ``lambda:InvokeFunctionUrl`` and
``lambda:InvokeFunction``.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from replay.cloud.config import ACCOUNT_ID, CloudConfig
from replay.cloud.control_plane.catalog import MotoCatalog
from replay.cloud.control_plane.function_urls import FunctionUrl
from replay.cloud.gateway import cors, sigv4
from replay.cloud.gateway.payload import (
    MalformedAnswerError,
    RequestInfo,
    add_authorizer,
    make_event,
    make_response,
    now,
)
from replay.cloud.gateway.policy import Access, decide
from replay.cloud.gateway.streamed_answer import StreamedAnswer
from replay.cloud.http import BodyTooLargeError, json_answer, read_body
from replay.cloud.lambda_plane.invocation import (
    MAX_SYNC_PAYLOAD_BYTES,
    InvalidRequestError,
    Invocation,
    PayloadTooLargeError,
    ThrottledError,
)
from replay.cloud.lambda_plane.plane import LambdaPlane
from replay.cloud.lambda_plane.ports import MetricDatum, MetricSink, UnknownFunctionError

HOST: Final = re.compile(r"(?P<url>[0-9a-f]{32})\.lambda-url\.")
ACTIONS: Final = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
_LOOK_EVERY_S: Final = 0.05
"""How often a silent stream is looked at for a caller who has left."""

_log = logging.getLogger(__name__)


class _RefusedError(Exception):
    """The request ends here; the text is for the log."""

    def __init__(self, status: int, message: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class _Exchange:
    """One request on its way through."""

    request: web.BaseRequest
    url: FunctionUrl
    path: str
    cors_headers: Mapping[str, str]


class FunctionUrlGateway:
    """Serves the Function URLs of the account."""

    def __init__(self, plane: LambdaPlane, catalog: MotoCatalog, metrics: MetricSink, config: CloudConfig) -> None:
        self._plane = plane
        self._catalog = catalog
        self._metrics = metrics
        self._region = config.region
        self._stops = config.stream_disconnect == "stop"

    async def handle(self, request: web.BaseRequest, url_id: str, path: str) -> web.StreamResponse:
        """Answer one request; ``path`` is what follows the URL, still percent-encoded."""
        url = self._catalog.backend.function_urls.by_id(url_id)
        if url is None:
            return _refusal(404, "Not Found")
        started_s = time.perf_counter()
        settings = {name[:1].lower() + name[1:]: value for name, value in url.cors.items()}
        if settings and cors.is_preflight(request.method, request.headers):
            return web.Response(status=200, headers=cors.preflight_headers(settings, request.headers["Origin"]))
        headers = cors.response_headers(settings, request.headers.get("Origin", ""))
        exchange = _Exchange(request, url, path, headers)
        response: web.StreamResponse
        try:
            response = await self._pass(exchange)
        except _RefusedError as refusal:
            if refusal.status >= 500:
                _log.warning("%s %s%s: %s", request.method, url.function_arn, path, refusal)
            response = _refusal(refusal.status, refusal.message)
            if refusal.status == 413:
                response.force_close()
        if not response.prepared:
            response.headers.update(headers)
        self._measure(url, response.status, (time.perf_counter() - started_s) * 1000.0)
        return response

    async def _pass(self, exchange: _Exchange) -> web.StreamResponse:
        request, url = exchange.request, exchange.url
        try:
            body = await read_body(request, MAX_SYNC_PAYLOAD_BYTES)
        except BodyTooLargeError:
            reason = f"body over {MAX_SYNC_PAYLOAD_BYTES} bytes"
            raise _RefusedError(413, "Request Entity Too Large", reason) from None
        caller = self._authorize(request, url, body)
        info = RequestInfo(
            account=ACCOUNT_ID if caller is not None else "anonymous",
            api=url.url_id,
            stage="$default",
            route_key="$default",
            path=exchange.path,
            path_parameters={},
            stage_variables={},
            request_id=str(uuid.uuid4()),
            domain_name=f"{url.url_id}.lambda-url.{self._region}.on.aws",
            time=now(),
        )
        event = make_event(request, body, info)
        if caller is not None:
            event = add_authorizer(event, {"iam": _identity(caller)})
        return await self._call(exchange, event)

    def _authorize(self, request: web.BaseRequest, url: FunctionUrl, body: bytes) -> sigv4.Caller | None:
        """Give who calls, None for anybody. Raises _RefusedError where they may not."""
        caller = None
        if url.auth_type == "AWS_IAM":
            try:
                caller = sigv4.verify(
                    request.method,
                    request.raw_path,
                    request.headers,
                    body,
                    region=self._region,
                    account=ACCOUNT_ID,
                    now_s=time.time(),
                )
            except sigv4.UnsignedError as error:
                raise _RefusedError(403, str(error), str(error)) from error
        statements = self._catalog.backend.statements(url.function, url.qualifier)
        context = {"lambda:functionurlauthtype": url.auth_type, "lambda:invokedviafunctionurl": "true"}
        for action in ACTIONS:
            principals = () if caller is None else (caller.arn, caller.account, f"arn:aws:iam::{caller.account}:root")
            access = Access(action, url.function_arn, principals, context)
            by_resource = decide(statements, access, of_resource=True)
            by_identity: bool | None = None
            if caller is not None:
                by_identity = True if caller.statements is None else decide(caller.statements, access)
            # Within one account either may allow, and either may deny.
            if False in (by_resource, by_identity) or True not in (by_resource, by_identity):
                who = "anybody" if caller is None else caller.arn
                raise _RefusedError(403, "Forbidden", f"{who} may not {action} on {url.function_arn}")
        return caller

    async def _call(self, exchange: _Exchange, event: bytes) -> web.StreamResponse:
        url, request = exchange.url, exchange.request
        sink = None
        if url.invoke_mode == "RESPONSE_STREAM":
            sink = StreamedAnswer(request, exchange.cors_headers, stops=self._stops)
        trace_id = request.headers.get("X-Amzn-Trace-Id")
        call = self._plane.invoke(url.function, url.qualifier or None, event, trace_id=trace_id, sink=sink)
        task = asyncio.ensure_future(call)
        while not task.done():
            await asyncio.wait({task}, timeout=None if sink is None else _LOOK_EVERY_S)
            if sink is not None:
                sink.look()
        try:
            invocation = task.result()
        except ThrottledError as error:
            raise _RefusedError(429, "Too Many Requests", f"Lambda refused: {error.reason}") from error
        except (UnknownFunctionError, PayloadTooLargeError, InvalidRequestError) as error:
            raise _RefusedError(502, "Internal Server Error", f"Lambda refused: {error}") from error
        if sink is not None and sink.problem is not None:
            raise _RefusedError(502, "Internal Server Error", f"the function's answer is malformed: {sink.problem}")
        if sink is not None and sink.response is not None:
            return await sink.finish(whole=invocation.function_error is None)
        if sink is not None and sink.began and sink.left:
            return web.Response(status=499)  # to nobody
        return _whole(invocation)

    def _measure(self, url: FunctionUrl, status: int, latency_ms: float) -> None:
        """Give the metrics of a Function URL (Lambda developer guide, "Monitoring Lambda function URLs")."""
        time_ms = int(time.time() * 1000)
        dimensions = {"FunctionName": url.function}
        if url.qualifier:
            dimensions["Resource"] = f"{url.function}:{url.qualifier}"
        values = (
            ("UrlRequestCount", 1.0, "Count"),
            ("Url4xxCount", float(400 <= status < 500), "Count"),
            ("Url5xxCount", float(status >= 500), "Count"),
            ("UrlRequestLatency", latency_ms, "Milliseconds"),
        )
        self._metrics.put(
            [MetricDatum("AWS/Lambda", name, dimensions, value, unit, time_ms) for name, value, unit in values]
        )


def _whole(invocation: Invocation) -> web.Response:
    """Make the response of an answer that was not streamed."""
    if invocation.function_error is not None:
        reason = f"the function failed: {invocation.payload[:300].decode(errors='replace')}"
        raise _RefusedError(502, "Internal Server Error", reason)
    try:
        response = make_response(invocation.payload)
    except MalformedAnswerError as error:
        raise _RefusedError(502, "Internal Server Error", f"the function's answer is malformed: {error}") from error
    response.headers["x-amzn-RequestId"] = invocation.request_id
    return response


def _identity(caller: sigv4.Caller) -> dict[str, Any]:
    return {
        "accessKey": caller.access_key_id,
        "accountId": caller.account,
        "callerId": caller.access_key_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.arn,
        "userId": caller.access_key_id,
    }


def _refusal(status: int, message: str) -> web.Response:
    response = json_answer({"Message": message}, status)
    if status == 403:
        response.headers["x-amzn-ErrorType"] = "AccessDeniedException"
    return response
