"""HTTP APIs as declared in moto's API Gateway v2, served: route, throttle, permission, function, response."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from aiohttp import web
from moto.apigatewayv2.models import Api, Integration, Stage, apigatewayv2_backends

from replay.cloud.config import ACCOUNT_ID, CloudConfig
from replay.cloud.control_plane.catalog import MotoCatalog
from replay.cloud.gateway import access_log, cors
from replay.cloud.gateway.authorize import Authorizers, DeniedError
from replay.cloud.gateway.payload import (
    MalformedAnswerError,
    RequestInfo,
    add_authorizer,
    make_event,
    make_response,
    now,
)
from replay.cloud.gateway.permission import allows
from replay.cloud.gateway.routes import select
from replay.cloud.gateway.throttle import Throttle
from replay.cloud.http import BodyTooLargeError, json_answer, read_body
from replay.cloud.lambda_plane.invocation import InvalidRequestError, Invocation, PayloadTooLargeError, ThrottledError
from replay.cloud.lambda_plane.plane import LambdaPlane
from replay.cloud.lambda_plane.ports import LogSink, MetricDatum, MetricSink, UnknownFunctionError

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
"""Payload limit of an HTTP API (API Gateway quotas)."""
MAX_TIMEOUT_S: Final = 30.0
"""Longest integration time-out of an HTTP API (API Gateway quotas)."""

_INTEGRATION_URI: Final = re.compile(
    r"(?:arn:[^:]+:apigateway:[^:]+:lambda:path/[0-9-]+/functions/)?"
    r"(?P<arn>arn:[^:]+:lambda:[^:]+:\d{12}:function:(?P<name>[\w-]+)(?::(?P<qualifier>\$LATEST|[\w-]+))?)"
    r"(?:/invocations)?"
)

_DENIALS: Final = {401: "Unauthorized", 403: "Forbidden", 500: "Internal Server Error", 501: "Not Implemented"}

_log = logging.getLogger(__name__)


class _RefusedError(Exception):
    """The request ends here, with an answer of the gateway's own."""

    def __init__(self, status: int, message: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.message = message


@dataclass
class _Exchange:
    """One request on its way through."""

    started_s: float
    request_id: str
    api: str
    stage: Stage | None = None
    route_key: str = ""
    integration_ms: float | None = None
    reason: str = ""
    cors: Mapping[str, Any] = field(default_factory=dict)


class Gateway:
    """Serves every HTTP API of the account."""

    def __init__(
        self, plane: LambdaPlane, catalog: MotoCatalog, logs: LogSink, metrics: MetricSink, config: CloudConfig
    ) -> None:
        self._plane = plane
        self._catalog = catalog
        self._logs = logs
        self._metrics = metrics
        self._region = config.region
        self._throttle = Throttle(config.gateway_rate_rps, config.gateway_burst, time.monotonic())
        self._authorizers = Authorizers()
        self._abandoned: set[asyncio.Task[Invocation]] = set()

    async def handle(self, request: web.BaseRequest, api_id: str, path: str) -> web.Response:
        """Answer one request to an API; ``path`` is what follows the API's address, still percent-encoded."""
        exchange = _Exchange(time.perf_counter(), _request_id(), api_id)
        try:
            response = await self._pass(request, api_id, path, exchange)
        except _RefusedError as refusal:
            exchange.reason = str(refusal)
            if refusal.status >= 500:
                _log.warning("%s %s%s: %s", request.method, api_id, path, refusal)
            response = json_answer({"message": refusal.message}, refusal.status)
            if refusal.status == 413:
                response.force_close()
        response.headers["Apigw-Requestid"] = exchange.request_id
        response.headers.update(cors.response_headers(exchange.cors, request.headers.get("Origin", "")))
        self._account(request, response, exchange)
        return response

    async def _pass(self, request: web.BaseRequest, api_id: str, path: str, exchange: _Exchange) -> web.Response:
        api = apigatewayv2_backends[ACCOUNT_ID][self._region].apis.get(api_id)
        if api is None or api.protocol_type != "HTTP" or str(api.disable_execute_api_endpoint).lower() == "true":
            raise _RefusedError(404, "Not Found", f"no HTTP API {api_id!r}")
        stage, path_in_stage = _stage(api, path)
        if stage is None:
            raise _RefusedError(404, "Not Found", f"API {api_id} has no stage for {path}")
        exchange.stage = stage
        exchange.cors = cast("Mapping[str, Any]", api.cors_configuration or {})
        is_preflight = bool(exchange.cors) and cors.is_preflight(request.method, request.headers)
        selected = select((route.route_key for route in api.routes.values()), request.method, path_in_stage)
        if selected is None:
            if is_preflight:
                return _preflight_answer(request, exchange)
            raise _RefusedError(404, "Not Found", f"no route for {request.method} {path_in_stage}")
        exchange.route_key, parameters = selected
        if not self._throttle.admit(
            api_id,
            stage.name,
            exchange.route_key,
            stage.default_route_settings,
            (stage.route_settings or {}).get(exchange.route_key),
            time.monotonic(),
        ):
            raise _RefusedError(429, "Too Many Requests", "throttled")
        route: Any = next(route for route in api.routes.values() if route.route_key == exchange.route_key)
        integration = _integration(api, route)
        target = _INTEGRATION_URI.fullmatch(integration.integration_uri or "")
        if target is None:
            raise _RefusedError(500, "Internal Server Error", f"no function's ARN: {integration.integration_uri!r}")
        try:
            body = await read_body(request, MAX_BODY_BYTES)
        except BodyTooLargeError:
            raise _RefusedError(413, "Request Entity Too Large", f"body over {MAX_BODY_BYTES} bytes") from None
        info = RequestInfo(
            account=ACCOUNT_ID,
            api=api_id,
            stage=stage.name,
            route_key=exchange.route_key,
            path=path,
            path_parameters=parameters,
            stage_variables=stage.stage_variables or {},
            request_id=exchange.request_id,
            domain_name=f"{api_id}.execute-api.{self._region}.amazonaws.com",
            time=now(),
        )
        limit_s = min(MAX_TIMEOUT_S, (integration.timeout_in_millis or 30_000) / 1000.0)
        event = make_event(request, body, info)
        if (authorized := await self._authorize(route, api, request, event)) is not None:
            event = add_authorizer(event, authorized)
        if is_preflight:
            # The gateway answers here too; but a route for every method (ANY) has asked for credentials by now.
            return _preflight_answer(request, exchange)
        statements = self._catalog.backend.statements(target["name"], target["qualifier"])
        _check_permission(statements, self._source(request, exchange), target["arn"])
        response = await self._call(target["arn"], event, limit_s, request, exchange)
        if exchange.cors:
            cors.drop_headers(response.headers)
        return response

    async def _authorize(
        self, route: Any, api: Api, request: web.BaseRequest, event: bytes
    ) -> Mapping[str, Any] | None:
        async def invoke(uri: str, asked: bytes) -> Invocation:
            function = _INTEGRATION_URI.fullmatch(uri)
            if function is None:
                raise DeniedError(500, f"no function's ARN: {uri!r}")
            source = f"{self._arn(api.api_id)}/authorizers/{route.authorizer_id}"
            statements = self._catalog.backend.statements(function["name"], function["qualifier"])
            _check_permission(statements, source, function["arn"])
            return await self._plane.invoke(function["arn"], None, asked)

        try:
            return await self._authorizers.check(route, api, request, event, invoke)
        except DeniedError as denied:
            raise _RefusedError(denied.status, _DENIALS[denied.status], str(denied)) from denied

    async def _call(
        self, arn: str, event: bytes, limit_s: float, request: web.BaseRequest, exchange: _Exchange
    ) -> web.Response:
        """Invoke the function and turn its answer into a response."""
        started_s = time.perf_counter()
        call = self._plane.invoke(arn, None, event, trace_id=request.headers.get("X-Amzn-Trace-Id"))
        task = asyncio.ensure_future(call)
        done, _ = await asyncio.wait({task}, timeout=limit_s)
        exchange.integration_ms = (time.perf_counter() - started_s) * 1000.0
        if not done:
            # The function works on, and is billed; only the caller no longer waits.
            self._abandoned.add(task)
            task.add_done_callback(self._forget)
            raise _RefusedError(503, "Service Unavailable", f"no answer from the function in {limit_s:g} s")
        try:
            invocation = task.result()
        except ThrottledError as error:
            # Unlike a REST API (500), an HTTP API answers 503 where Lambda has no capacity.
            raise _RefusedError(503, "Service Unavailable", f"Lambda refused: {error.reason}") from error
        except (UnknownFunctionError, PayloadTooLargeError, InvalidRequestError) as error:
            raise _RefusedError(500, "Internal Server Error", f"Lambda refused: {error}") from error
        if invocation.function_error is not None:
            reason = f"the function failed: {invocation.payload[:300].decode(errors='replace')}"
            raise _RefusedError(500, "Internal Server Error", reason)
        try:
            return make_response(invocation.payload)
        except MalformedAnswerError as error:
            raise _RefusedError(500, "Internal Server Error", f"the function's answer is malformed: {error}") from error

    def _forget(self, task: asyncio.Task[Invocation]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # somebody has to look at it, or asyncio complains

    def _source(self, request: web.BaseRequest, exchange: _Exchange) -> str:
        stage = exchange.stage.name if exchange.stage else ""
        _, _, path = exchange.route_key.partition(" ")
        return f"{self._arn(exchange.api)}/{stage}/" + (f"{request.method}{path}" if path else "$default")

    def _arn(self, api_id: str) -> str:
        return f"arn:aws:execute-api:{self._region}:{ACCOUNT_ID}:{api_id}"

    def _account(self, request: web.BaseRequest, response: web.Response, exchange: _Exchange) -> None:
        """Write metrics and the access log, as API Gateway does."""
        stage = exchange.stage
        if stage is None:
            return
        time_ms = int(time.time() * 1000)
        latency_ms = (time.perf_counter() - exchange.started_s) * 1000.0
        values = {
            "Count": (1.0, "Count"),
            "4xx": (float(400 <= response.status < 500), "Count"),
            "5xx": (float(response.status >= 500), "Count"),
            "Latency": (latency_ms, "Milliseconds"),
        }
        if exchange.integration_ms is not None:
            values["IntegrationLatency"] = (exchange.integration_ms, "Milliseconds")
        self._metrics.put(
            [
                MetricDatum("AWS/ApiGateway", name, dimensions, value, unit, time_ms)
                for name, (value, unit) in values.items()
                for dimensions in ({"ApiId": exchange.api}, {"ApiId": exchange.api, "Stage": stage.name})
            ]
        )
        if stage.access_log_settings:
            context = {
                "requestId": exchange.request_id,
                "extendedRequestId": exchange.request_id,
                "apiId": exchange.api,
                "stage": stage.name,
                "routeKey": exchange.route_key or "-",
                "httpMethod": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "status": response.status,
                "responseLength": len(response.body) if isinstance(response.body, bytes) else 0,
                "responseLatency": round(latency_ms),
                "integrationLatency": "-" if exchange.integration_ms is None else round(exchange.integration_ms),
                "integration.latency": "-" if exchange.integration_ms is None else round(exchange.integration_ms),
                "integrationErrorMessage": exchange.reason or "-",
                "integration.error": exchange.reason or "-",
                "error.message": exchange.reason or "-",
                "identity.sourceIp": request.remote or "-",
                "identity.userAgent": request.headers.get("User-Agent", "-"),
                "requestTime": now().strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "requestTimeEpoch": time_ms,
            }
            access_log.write(stage.access_log_settings, context, stage.name, time_ms, self._logs)


def _preflight_answer(request: web.BaseRequest, exchange: _Exchange) -> web.Response:
    return web.Response(status=204, headers=cors.preflight_headers(exchange.cors, request.headers["Origin"]))


def _stage(api: Api, path: str) -> tuple[Stage | None, str]:
    """Give the stage that a path names, or ``$default``, and the path within it."""
    first, _, rest = path.lstrip("/").partition("/")
    if first in api.stages and first != "$default":
        return api.stages[first], f"/{rest}"
    return api.stages.get("$default"), path


def _check_permission(statements: Iterable[Mapping[str, Any]], source: str, arn: str) -> None:
    if not allows(statements, source, ACCOUNT_ID):
        reason = f"{arn} has no permission for {source}; add a lambda permission with that qualifier"
        raise _RefusedError(500, "Internal Server Error", reason)


def _integration(api: Api, route: Any) -> Integration:
    route_key = route.route_key
    integration = api.integrations.get(str(route.target or "").removeprefix("integrations/"))
    if integration is None:
        raise _RefusedError(500, "Internal Server Error", f"route {route_key!r} has no integration")
    if integration.integration_type != "AWS_PROXY" or (integration.payload_format_version or "1.0") != "2.0":
        reason = (
            f"integration {integration.id} is {integration.integration_type} with payload format "
            f"{integration.payload_format_version or '1.0'}; the local gateway serves AWS_PROXY with 2.0"
        )
        raise _RefusedError(501, "Not Implemented", reason)
    return integration


def _request_id() -> str:
    return base64.b64encode(os.urandom(11)).decode()
