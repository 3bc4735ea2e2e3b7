"""Moto's WSGI application behind our asynchronous server, in threads of the same process.

An adapter of our own, because the published ones are for ASGI servers or no longer kept; werkzeug, which moto brings
along, does the running.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from aiohttp import web
from werkzeug.test import run_wsgi_app

from replay.cloud.http import BodyTooLargeError, aws_error, read_body

MAX_BODY_BYTES: Final = 128 * 1024 * 1024
"""Above the largest upload that makes sense here: a 50 MB zip in base64 within JSON."""
DEADLINE_S: Final = 55.0
"""Below the SDKs' 60 s read time-out, so that the caller reads a reason."""
_THREADS: Final = 8
_ONE_AT_A_TIME: Final = ("DynamoDB_",)
"""Prefixes of ``X-Amz-Target`` whose actions run one after the other: moto checks a condition and writes in two steps,
and two writers could both find the condition true."""
_NOT_FORWARDED: Final = {"connection", "content-length", "transfer-encoding", "keep-alive", "date", "server"}

_log = logging.getLogger(__name__)


class WsgiBridge:
    """Runs requests through a WSGI application in a pool of threads."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="control-plane")
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """End the threads; one in the middle of a request ends with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request."""
        try:
            body = await read_body(request, MAX_BODY_BYTES)
        except BodyTooLargeError:
            answer = aws_error(413, "RequestEntityTooLarge", f"the body is over {MAX_BODY_BYTES} bytes", "")
            answer.force_close()
            return answer
        environ = make_environ(request, body)
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._pool, self._run, environ), DEADLINE_S)
        except TimeoutError:
            _log.warning("%s %s: no answer in %.0f s", request.method, request.path, DEADLINE_S)
            return aws_error(504, "RequestTimeout", f"the control plane did not answer in {DEADLINE_S:.0f} s", "")

    def _order(self, environ: dict[str, Any]) -> AbstractContextManager[Any]:
        alone = environ.get("HTTP_X_AMZ_TARGET", "").startswith(_ONE_AT_A_TIME) or _writes_to_s3(environ)
        return self._one_at_a_time if alone else nullcontext()

    def _run(self, environ: dict[str, Any]) -> web.Response:
        try:
            with self._order(environ):
                chunks, status, headers = run_wsgi_app(self._application, environ, buffered=True)
            body = b"".join(chunks)
        except NotImplementedError as error:
            # 501, because the SDKs and Terraform retry a 500 for minutes.
            _log.warning("%s %s: %s", environ["REQUEST_METHOD"], environ["PATH_INFO"], error)
            return aws_error(501, "NotImplemented", f"the local cloud lacks this: {error}", "")
        except Exception as error:
            _log.exception("%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return aws_error(500, "InternalFailure", f"{type(error).__name__}: {error}", "")
        answer = web.Response(body=body, status=int(status.split(" ", 1)[0]))
        answer.headers.popall("Content-Type", None)
        for name, value in headers:
            if name.lower() not in _NOT_FORWARDED:
                answer.headers.add(name, value)
            elif name.lower() == "content-length" and environ["REQUEST_METHOD"] == "HEAD":
                answer.headers["Content-Length"] = value  # of the body that a GET would get: there is none to measure
        return answer


def _writes_to_s3(environ: Mapping[str, Any]) -> bool:
    """Say whether a request writes an object: ``If-None-Match`` and ``If-Match`` are conditions as well."""
    return environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE") and "/s3/aws4_request" in environ.get(
        "HTTP_AUTHORIZATION", ""
    )


def make_environ(request: web.BaseRequest, body: bytes) -> dict[str, Any]:
    """Make the WSGI environment of a request (PEP 3333)."""
    raw_path = request.rel_url.raw_path
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
        "QUERY_STRING": request.rel_url.raw_query_string,
        # Not of the standard; moto finds here the path as it was signed.
        "RAW_URI": request.raw_path,
        "REQUEST_URI": request.raw_path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(request.url.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        # WSGI cannot tell X_Foo from X-Foo, so the former is dropped, as werkzeug's own server does.
        key = name.upper().replace("-", "_")
        if "_" in name or key in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            continue
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
