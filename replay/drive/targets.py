"""Where load goes: an HTTP address (a gateway, a Function URL), or a Lambda alias or version invoked directly.

A target turns one prompt into one request and its answer into a :class:`Reply`. It never retries: a retry is a
request of its own, and belongs to the plan.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote

import aiohttp
from yarl import URL

from replay.api_headers import headers_to
from replay.bench.server_events import CONTENT_TYPE as EVENT_STREAM
from replay.bench.server_events import EventReader
from replay.cloud.lambda_plane.forking import raise_descriptor_limit
from replay.drive.signing import Signer
from replay.errors import CloudError, InputError
from replay.function_urls import is_function_url, region_in

GATEWAY_TIMEOUT_S: Final = 29.0
"""From here on a 503 is an HTTP API's integration time-out (30 s, fixed), not a refusal."""
_KEEP_ALIVE_S: Final = 30.0
"""Idle connections are closed by us before the usual servers close them (60–75 s), so that none breaks in our hand."""
_READ_CHUNK_BYTES: Final = 65_536
_KEPT_BODY_BYTES: Final = 65_536


@dataclass(frozen=True)
class Reply:
    """How one request ended."""

    status: str
    """One of :data:`simulator.trace.STATUSES`."""
    request_id: str | None = None
    """The Lambda request id, which also stands in the function's log."""
    reached: bool = True
    """Whether the target answered at all."""
    failure: str | None = None
    """Why it is not ``ok``: a status code or an error's name, never content."""
    first_token_s: float | None = None
    """When the first token of a stream came, on the event loop's clock."""


class Target(Protocol):
    """Something that answers prompts."""

    @property
    def label(self) -> str:
        """What to call it in messages and metadata."""
        ...

    async def open(self) -> None:
        """Get ready: connections, credentials."""
        ...

    async def send(self, prompt: str) -> Reply:
        """Send one prompt and read the whole answer. Raises ``aiohttp.ClientError`` or ``OSError`` where none comes."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


def status_of(http_status: int, waited_s: float) -> str:
    """Translate an HTTP status that came after ``waited_s`` seconds into a trace's status."""
    if 200 <= http_status < 300:
        return "ok"
    if http_status == 429:
        return "throttled"
    if http_status == 504 or (http_status == 503 and waited_s >= GATEWAY_TIMEOUT_S):
        return "timeout"
    if 400 <= http_status < 500:
        return "rejected"
    return "error"


@dataclass
class HttpTarget:
    """POSTs ``{"prompt": …}`` to an address. Redirects are not followed: a redirect is not the API's answer.

    Parameters
    ----------
    url
        Of an API, or of a stream, whose events are read to their end.
    headers
        To send with each request.
    signer
        Signs requests to a Function URL; None leaves them as they are.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    signer: Signer | None = None
    _session: aiohttp.ClientSession | None = field(default=None, init=False, repr=False)

    @property
    def label(self) -> str:
        """The address."""
        return self.url

    async def open(self) -> None:
        """Make the connection pool, without a limit: a limit would queue requests and hide the wait.

        Raises
        ------
        InputError
            Requests are to be signed, and there is nothing to sign with.
        CloudError
            What they are to be signed with cannot be had.
        """
        if self.signer is not None:
            await self.signer.open()
        self._session = _new_session()

    async def send(self, prompt: str) -> Reply:
        """POST one prompt."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        body = json.dumps({"prompt": prompt}).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        if self.signer is not None:
            headers = self.signer.sign(self.url, headers, body)
        url = URL(self.url, encoded=self.signer is not None)  # what is signed is sent as it is
        async with _opened(self._session).post(url, data=body, headers=headers, allow_redirects=False) as answer:
            if answer.status == 200 and answer.headers.get("Content-Type", "").startswith(EVENT_STREAM):
                return await _read_events(answer)
            await _read(answer)
            status = status_of(answer.status, loop.time() - started)
            request_id = answer.headers.get("x-request-id") or answer.headers.get("apigw-requestid")
            return Reply(status, request_id, failure=None if status == "ok" else f"HTTP {answer.status}")

    async def close(self) -> None:
        """Close the connections."""
        if self.signer is not None:
            await self.signer.close()
        if self._session is not None:
            await self._session.close()
            self._session = None


@dataclass
class LambdaTarget:
    """Invokes an alias or a version through Lambda's API, signed, without an SDK client's retries or thread pool.

    Parameters
    ----------
    function, qualifier
        Name or ARN, and an alias, a version, or None for ``$LATEST``.
    region, endpoint_url
        None for the ordinary configuration (environment, profile).
    static_keys
        Access key and secret, for a cloud that takes any; None for the ordinary credential chain.
    """

    function: str
    qualifier: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    static_keys: tuple[str, str] | None = field(default=None, repr=False)
    _session: aiohttp.ClientSession | None = field(default=None, init=False, repr=False)
    _signer: Signer | None = field(default=None, init=False, repr=False)
    _url: str = field(default="", init=False, repr=False)

    @property
    def label(self) -> str:
        """``lambda:FUNCTION:QUALIFIER``."""
        return f"lambda:{self.function}" + (f":{self.qualifier}" if self.qualifier else "")

    async def open(self) -> None:
        """Find endpoint, region and credentials the way the SDK does.

        Raises
        ------
        InputError
            No region or no credentials are configured.
        CloudError
            Credentials are configured, and cannot be had.
        """
        self._url = await asyncio.to_thread(self._address)
        self._signer = Signer(self.label, self.region, self.static_keys)
        await self._signer.open()
        self._session = _new_session()

    async def send(self, prompt: str) -> Reply:
        """Invoke with ``{"prompt": …}`` and wait for the answer."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        body = json.dumps({"prompt": prompt}).encode()
        async with _opened(self._session).post(
            URL(self._url, encoded=True), data=body, headers=self._signed(body), allow_redirects=False
        ) as answer:
            payload = await _read(answer)
            waited_s = loop.time() - started
            request_id = answer.headers.get("x-amzn-RequestId")
            if answer.status != 200:
                kind = answer.headers.get("x-amzn-ErrorType", "").partition(":")[0]
                return Reply(
                    status_of(answer.status, waited_s), request_id, failure=f"HTTP {answer.status} {kind}".rstrip()
                )
            return reply_of_payload(payload, answer.headers.get("X-Amz-Function-Error"), request_id, waited_s)

    async def close(self) -> None:
        """Close the connections."""
        if self._signer is not None:
            await self._signer.close()
            self._signer = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _signed(self, body: bytes) -> dict[str, str]:
        if self._signer is None:
            raise RuntimeError("the target is not open; call open() first")
        return self._signer.sign(self._url, {"Content-Type": "application/json"}, body)

    def _address(self) -> str:
        """Find Lambda's endpoint the way the SDK does."""
        import boto3
        from botocore.exceptions import BotoCoreError, CredentialRetrievalError

        try:
            key, secret = self.static_keys or (None, None)
            session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=self.region)
            base = session.client("lambda", endpoint_url=self.endpoint_url).meta.endpoint_url
        except CredentialRetrievalError as error:
            raise CloudError(f"{self.label}: no AWS credentials to be had: {' '.join(str(error).split())}") from error
        except (BotoCoreError, ValueError) as error:
            raise InputError(f"{self.label}: {error}; set AWS_DEFAULT_REGION or pass --region") from error
        path = f"/2015-03-31/functions/{quote(self.function, safe='')}/invocations"
        query = f"?Qualifier={quote(self.qualifier, safe='')}" if self.qualifier else ""
        return str(base).rstrip("/") + path + query


def parse_target(
    text: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpTarget | LambdaTarget:
    """Read a target: ``http(s)://…``, ``lambda:FUNCTION[:QUALIFIER]`` or ``lambda:ARN``.

    Parameters
    ----------
    region, endpoint_url
        Of Lambda; None for what the environment says.
    headers
        Go with each request to an API; a Function URL has a signature instead.

    Raises
    ------
    InputError
        Anything else.
    """
    scheme, _, rest = text.partition(":")
    if scheme in ("http", "https"):
        try:
            url = URL(text)
        except ValueError as error:
            raise InputError(f"target {text!r}: not an address ({error})") from error
        if not url.host:
            raise InputError(f"target {text!r}: the address names no host")
        if is_function_url(text):
            return HttpTarget(text, signer=Signer(text, region_in(text) or region))
        return HttpTarget(text, headers_to(text, headers or {}))
    if scheme == "lambda" and rest:
        if rest.startswith("arn:"):
            return LambdaTarget(rest, None, region, endpoint_url)
        function, _, qualifier = rest.partition(":")
        if function and ":" not in qualifier and not rest.endswith(":"):
            return LambdaTarget(function, qualifier or None, region, endpoint_url)
    raise InputError(f"target {text!r}: give an http(s) address or lambda:FUNCTION:ALIAS")


def _new_session() -> aiohttp.ClientSession:
    # The usual soft limits are below what may be in flight, and what they refuse would count as the target's errors.
    raise_descriptor_limit()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S)
    # The driver sets each request's deadline itself, from the intended start.
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))


def _opened(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    if session is None:
        raise RuntimeError("the target is not open; call open() first")
    return session


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Read the answer to its end and keep its first part only, so that memory stays bounded."""
    kept = bytearray()
    async for chunk in answer.content.iter_chunked(_READ_CHUNK_BYTES):
        if len(kept) < _KEPT_BODY_BYTES:
            kept += chunk
    return bytes(kept)


async def _read_events(answer: aiohttp.ClientResponse) -> Reply:
    """Read a stream of server-sent events to its end."""
    loop = asyncio.get_running_loop()
    reader = EventReader()
    async for piece in answer.content.iter_any():
        reader.feed(piece, loop.time())
    request_id = answer.headers.get("x-request-id")
    first_s = reader.deltas_s[0] if reader.deltas_s else None
    if reader.error is not None:
        code = str(reader.error.get("code", "error"))[:60]
        return Reply(reader.status, request_id, failure=f"stream: {code}", first_token_s=first_s)
    if reader.done is None:
        return Reply("error", request_id, failure="stream: it broke off", first_token_s=first_s)
    return Reply("ok", request_id, first_token_s=first_s)


def reply_of_payload(payload: bytes, function_error: str | None, request_id: str | None, waited_s: float) -> Reply:
    """Judge what a function returned: an error, an answer for a gateway (``statusCode``), or plain data."""
    try:
        document: Any = json.loads(payload)
    except ValueError:
        document = None
    if function_error is not None:
        message = document.get("errorMessage") if isinstance(document, dict) else None
        if isinstance(message, str) and "Task timed out after" in message:
            return Reply("timeout", request_id, failure="Lambda time-out")
        kind = document.get("errorType") if isinstance(document, dict) else None
        return Reply("error", request_id, failure=f"function error {kind or function_error}")
    http_status = document.get("statusCode") if isinstance(document, dict) else None
    if isinstance(http_status, int):
        status = status_of(http_status, waited_s)
        return Reply(status, request_id, failure=None if status == "ok" else f"HTTP {http_status}")
    return Reply("ok", request_id)
