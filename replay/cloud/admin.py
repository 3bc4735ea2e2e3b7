"""The server's own addresses: health, flushing logs, and the faults of Bedrock and of the control plane's services."""

from __future__ import annotations

import json
import os

from aiohttp import web

from replay.cloud.bedrock.api import BedrockApi
from replay.cloud.bedrock.faults import Faults
from replay.cloud.http import BodyTooLargeError, json_answer, read_body
from replay.cloud.lambda_plane.plane import LambdaPlane
from replay.cloud.service_faults import FaultyServices
from replay.errors import InputError

_MAX_BODY_BYTES = 64 * 1024


class AdminApi:
    """Answers ``/_tailcast/...``."""

    def __init__(self, plane: LambdaPlane, bedrock: BedrockApi, faulty: FaultyServices) -> None:
        self._plane = plane
        self._bedrock = bedrock
        self._faulty = faulty

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer one request.

        ``GET /_tailcast/health``: that it runs. ``POST /_tailcast/flush``: return once the logs and metrics of every
        answered invocation can be read. ``GET /_tailcast/bedrock``: faults and statistics of the models;
        ``PUT /_tailcast/bedrock``: set the faults. ``GET /_tailcast/faults``: those of CloudWatch, CloudWatch Logs,
        DynamoDB, Lambda and SNS; ``PUT /_tailcast/faults``: set them.
        """
        match request.method, path:
            case "GET", "/_tailcast/health":
                return json_answer({"status": "ok", "pid": os.getpid()})
            case "POST", "/_tailcast/flush":
                await self._plane.flush()
                return json_answer({})
            case "GET", "/_tailcast/bedrock":
                return json_answer(self._bedrock.describe())
            case "PUT", "/_tailcast/bedrock":
                return await self._set_faults(request)
            case "GET", "/_tailcast/faults":
                return json_answer(self._faulty.describe())
            case "PUT", "/_tailcast/faults":
                return await self._set_service_faults(request)
        return json_answer({"message": f"no such address: {request.method} {path}"}, 404)

    async def _set_faults(self, request: web.BaseRequest) -> web.Response:
        try:
            document = json.loads(await read_body(request, _MAX_BODY_BYTES))
            self._bedrock.faults = Faults.from_document(document)
        except (BodyTooLargeError, ValueError, InputError) as error:
            return json_answer({"message": str(error) or "the body is too large"}, 400)
        return json_answer(self._bedrock.describe())

    async def _set_service_faults(self, request: web.BaseRequest) -> web.Response:
        try:
            self._faulty.set(json.loads(await read_body(request, _MAX_BODY_BYTES)))
        except (BodyTooLargeError, ValueError, InputError) as error:
            return json_answer({"message": str(error) or "the body is too large"}, 400)
        return json_answer(self._faulty.describe())
