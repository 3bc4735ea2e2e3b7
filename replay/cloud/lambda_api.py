"""Lambda's ``Invoke`` over HTTP: headers in, data plane, headers out."""

from __future__ import annotations

import re
import uuid
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from replay.cloud.http import BodyTooLargeError, aws_error, read_body
from replay.cloud.lambda_plane.invocation import (
    MAX_SYNC_PAYLOAD_BYTES,
    InvalidRequestError,
    Invocation,
    PayloadTooLargeError,
    ThrottledError,
)
from replay.cloud.lambda_plane.plane import LambdaPlane
from replay.cloud.lambda_plane.ports import UnknownFunctionError

INVOKE_PATH: Final = re.compile(r"/2015-03-31/functions/(?P<function>[^/]+)/invocations/?")


class InvokeApi:
    """Answers ``POST /2015-03-31/functions/{name}/invocations``."""

    def __init__(self, plane: LambdaPlane) -> None:
        self._plane = plane

    async def handle(self, request: web.BaseRequest, function: str) -> web.Response:
        """Answer one request for ``function``: a name or ARN, still percent-encoded."""
        headers = request.headers
        try:
            payload = await read_body(request, MAX_SYNC_PAYLOAD_BYTES)
            invocation = await self._plane.invoke(
                unquote(function),
                request.rel_url.query.get("Qualifier"),
                payload,
                invocation_type=headers.get("X-Amz-Invocation-Type", "RequestResponse"),
                client_context=headers.get("X-Amz-Client-Context"),
                log_tail=headers.get("X-Amz-Log-Type") == "Tail",
                trace_id=headers.get("X-Amzn-Trace-Id"),
            )
        except ThrottledError as error:
            extra = {"Type": "User", "Reason": error.reason}
            return aws_error(429, "TooManyRequestsException", error.message, _id(), extra)
        except UnknownFunctionError as error:
            return aws_error(404, "ResourceNotFoundException", str(error), _id(), {"Type": "User"})
        except PayloadTooLargeError as error:
            return aws_error(413, "RequestTooLargeException", str(error), _id(), {"Type": "User"})
        except BodyTooLargeError:
            answer = aws_error(
                413,
                "RequestTooLargeException",
                f"Request must be smaller than {MAX_SYNC_PAYLOAD_BYTES} bytes for the InvokeFunction operation",
                _id(),
                {"Type": "User"},
            )
            answer.force_close()
            return answer
        except InvalidRequestError as error:
            return aws_error(400, "InvalidRequestContentException", str(error), _id(), {"Type": "User"})
        return _answer(invocation)


def _id() -> str:
    return str(uuid.uuid4())


def _answer(invocation: Invocation) -> web.Response:
    headers = {"x-amzn-RequestId": invocation.request_id}
    if invocation.executed_version is not None:
        headers["X-Amz-Executed-Version"] = invocation.executed_version
    if invocation.function_error is not None:
        headers["X-Amz-Function-Error"] = invocation.function_error
    if invocation.log_tail is not None:
        headers["X-Amz-Log-Result"] = invocation.log_tail
    if invocation.status_code == 204:
        return web.Response(status=204, headers=headers)
    return web.Response(
        body=invocation.payload, status=invocation.status_code, headers=headers, content_type="application/json"
    )
