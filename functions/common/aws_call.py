"""Calls of AWS over one kept connection, signed and tried again as the SDK does in its standard mode.

Why not the SDK: with it INIT took 0.46 of a bare boto3 handler's, with this 0.19; a request 1.9 ms of the processor,
with this 0.8 (docs/performance.md). What a function calls here is one operation with a JSON body; streams, pages and
presigned addresses are the SDK's. Addresses, retries and time-outs follow it; `AWS_ENDPOINT_URL` is honoured.

An environment answers one request at a time, so one connection does.
"""

from __future__ import annotations

import http.client
import json
import random
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from functions.common.credentials import credential_source
from functions.common.errors import ConfigurationError
from functions.common.signature import Signer

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Longer answers are an error; Bedrock's and DynamoDB's are far shorter."""

# Botocore's standard mode (botocore/retries/standard.py, 1.44).
THROTTLING_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
TRANSIENT_STATUSES: Final = frozenset({500, 502, 503, 504})
TRANSIENT_CODES: Final = frozenset({"ModelNotReadyException", "RequestTimeout", "RequestTimeoutException"})
BACKOFF_THROTTLED_S: Final = 1.0
BACKOFF_S: Final = 0.05
MAX_BACKOFF_S: Final = 20.0
MAX_ABOVE_BACKOFF_S: Final = 5.0
"""How much longer than that ``x-amz-retry-after`` may make a pause."""
QUOTA: Final = 500
QUOTA_THROTTLED: Final = 5
QUOTA_FAILED: Final = 14
QUOTA_UNUSED: Final = 1
"""What a good first try gives back; a good later one gives what it took."""


# Of the system: environments that are restored from one snapshot would all draw the same pauses from Python's own.
_RANDOM: Final = random.SystemRandom()


class AwsCallError(Exception):
    """A call that gave no good answer.

    Parameters
    ----------
    code
        AWS's error code, or the name of what went wrong on the way.
    http_status
        None where no answer came.
    retry_after_s
        What the answer asks to wait, None where it does not.
    timed_out
        No answer came in time.
    document
        What the answer says of it, where that is JSON. It may hold what was sent, so it belongs into no log.
    """

    def __init__(
        self,
        code: str,
        *,
        http_status: int | None = None,
        retry_after_s: int | None = None,
        timed_out: bool = False,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.document = document or {}
        self.code = code
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.timed_out = timed_out


@dataclass(frozen=True)
class AwsAnswer:
    """A good answer."""

    document: dict[str, Any]
    attempts: int
    """Tries in all."""


@dataclass(frozen=True)
class _Raw:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def document(self) -> dict[str, Any] | None:
        """Read the body; None where it is no JSON object."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def error(self) -> AwsCallError:
        """Read an answer that is no good one: its code stands in the header, or in the body."""
        document = self.document() or {}
        named = self.headers.get("x-amzn-errortype") or str(document.get("__type") or document.get("code") or "")
        # ``com.amazonaws.dynamodb.v20120810#ThrottlingException`` and ``ThrottlingException:http://…`` are usual.
        code = named.partition(":")[0].rpartition("#")[2].strip()
        return AwsCallError(
            code if code.isidentifier() and len(code) <= 80 else f"HTTP{self.status}",
            http_status=self.status,
            retry_after_s=self.whole("retry-after"),
            document=document,
        )

    def whole(self, name: str) -> int | None:
        """Give the number in a header, None where there is none."""
        text = self.headers.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else None


class AwsCaller:
    """Calls one service.

    Parameters
    ----------
    service
        Its signing name, ``bedrock`` or ``dynamodb``.
    host
        Part of its address before the region: ``bedrock-runtime``.
    environment
        Of the process: region, credentials and ``AWS_ENDPOINT_URL``.
    max_attempts
        Tries in all.
    connect_timeout_s, read_timeout_s
        Of a try. They are backstops: whoever calls has a deadline of their own.

    Raises
    ------
    ConfigurationError
        No region, no credentials, or an endpoint that is no address.
    """

    def __init__(
        self,
        service: str,
        host: str,
        environment: Mapping[str, str],
        *,
        max_attempts: int,
        connect_timeout_s: float,
        read_timeout_s: float,
    ) -> None:
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        if not region:
            raise ConfigurationError("environment variable AWS_REGION is missing; Lambda sets it")
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        own = f"AWS_ENDPOINT_URL_{host.upper().replace('-', '_')}"
        endpoint = environment.get(own) or environment.get("AWS_ENDPOINT_URL") or f"https://{host}.{region}.{suffix}"
        try:
            parts = urlsplit(endpoint)
            scheme, host_name, port = parts.scheme, parts.hostname, parts.port
        except ValueError:  # a port that is no number, half a bracket
            scheme, host_name = "", None
        if scheme not in ("http", "https") or not host_name:
            raise ConfigurationError(f"endpoint {endpoint!r} is not an address such as https://HOST")
        self._signer = Signer(credential_source(environment), region, service)
        self._environment = environment
        self._host = parts.netloc
        self._max_attempts = max_attempts
        self._read_timeout_s = read_timeout_s
        self._quota = QUOTA
        if scheme == "http":
            self._connection = http.client.HTTPConnection(host_name, port, timeout=connect_timeout_s)
        else:
            # Here, at INIT, where a processor is to spare: reading the CA certificates takes tens of milliseconds.
            trust = _trust(environment.get("AWS_CA_BUNDLE") or None)
            self._connection = http.client.HTTPSConnection(host_name, port, timeout=connect_timeout_s, context=trust)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._connection.close()

    def post(self, path: str, headers: Mapping[str, str], document: Mapping[str, Any]) -> AwsAnswer:
        """Send a JSON document, and give the one that is answered.

        Parameters
        ----------
        path
            Percent-encoded, without a query.
        headers
            In lower case; ``content-type`` has to be among them.
        document
            Is sent as JSON.

        Raises
        ------
        AwsCallError
            Every try failed, or one failed in a way that another would not mend.
        """
        body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        attempt, given = 1, QUOTA_UNUSED
        while True:
            throttled, asked_s = False, 0.0
            try:
                raw = self._once(path, headers, body)
                if 200 <= raw.status < 300:
                    answer = AwsAnswer(_document(raw), attempt)
                    self._quota = min(QUOTA, self._quota + given)
                    return answer
                failure = raw.error()
                transient = failure.code in TRANSIENT_CODES
                throttled = failure.code in THROTTLING_CODES or (raw.status == 429 and not transient)
                if not throttled and not transient and raw.status not in TRANSIENT_STATUSES:
                    raise failure
                asked_s = (raw.whole("x-amz-retry-after") or 0) / 1000
            except TimeoutError as error:
                failure = AwsCallError(type(error).__name__, timed_out=True)
            except (OSError, http.client.HTTPException) as error:
                failure = AwsCallError(type(error).__name__)
            given = QUOTA_THROTTLED if throttled else QUOTA_FAILED
            if attempt >= self._max_attempts or self._quota < given:
                raise failure
            self._quota -= given
            time.sleep(_pause_s(attempt, throttled, asked_s))
            attempt += 1

    def _once(self, path: str, headers: Mapping[str, str], body: bytes) -> _Raw:
        """Send once. Whatever ends it early, a deadline's signal too, leaves no half-read connection behind."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = self._signer.sign("POST", path, {**headers, "host": self._host}, body, now)
        trace = self._environment.get("_X_AMZN_TRACE_ID")
        if trace:  # by which Lambda sees functions that call themselves in a circle
            signed["x-amzn-trace-id"] = trace
        connection = self._connection
        try:
            if connection.sock is not None and _is_stale(connection.sock):
                connection.close()
            if connection.sock is None:
                self._connect()
            connection.request("POST", path, body, signed)
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES)
            if not response.isclosed() and response.read(1):
                raise http.client.HTTPException("the answer is too long")
            if response.length:
                # Reading a number of bytes does not tell that the other side closed before it had sent them all.
                raise http.client.IncompleteRead(content, response.length)
            return _Raw(response.status, response.headers, content)
        except BaseException:
            connection.close()
            raise

    def _connect(self) -> None:
        self._connection.connect()
        sock: socket.socket = self._connection.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Until here the time-out was that of connecting.
        sock.settimeout(self._read_timeout_s)


@cache
def _trust(ca_bundle: str | None) -> Any:
    """Give the TLS settings of all callers, which share the certificates."""
    import ssl

    return ssl.create_default_context(cafile=ca_bundle)


def _document(raw: _Raw) -> dict[str, Any]:
    document = raw.document()
    if document is None:
        raise AwsCallError("MalformedAnswer", http_status=raw.status)
    return document


def _is_stale(sock: socket.socket) -> bool:
    """Say whether the other side has closed a connection that waits: nothing else makes it readable."""
    poll = select.poll()  # select() would refuse a descriptor above 1,023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _pause_s(attempt: int, throttled: bool, asked_s: float) -> float:
    """Give the pause before the next try, in seconds."""
    base_s = BACKOFF_THROTTLED_S if throttled else BACKOFF_S
    pause_s = _RANDOM.random() * min(base_s * 2.0 ** (attempt - 1), MAX_BACKOFF_S)
    return min(max(pause_s, asked_s), pause_s + MAX_ABOVE_BACKOFF_S)
