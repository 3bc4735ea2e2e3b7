"""One call to a target, whatever kind it is: Bedrock's stream, a deployed API or stream, or a function's alias."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import get_session

from replay.bench.arms import Arm
from replay.bench.clients import Endpoint
from replay.bench.prompts import converse_arguments, make_prompt
from replay.bench.sdk import ConverseCaller, Outcome
from replay.bench.targets import Target
from replay.bench.transport import ConnectionPool, Moments
from replay.errors import CloudError


@dataclass(frozen=True)
class Request:
    """What to call and how."""

    target: Target
    arm: Arm
    key: str


class Caller(Protocol):
    """Makes calls, and holds the connections for them."""

    def prepare(self, target: Target) -> None:
        """Get ready for a target."""
        ...

    def host(self, target: Target) -> str:
        """Name what connections to a target are shared by."""
        ...

    def idle_connections(self, host: str) -> int:
        """Give how many connections stand idle."""
        ...

    def open_connection(self, target: Target) -> str | None:
        """Open one connection ahead; give None, or why not."""
        ...

    def call(self, request: Request, wait_until: Callable[[], float]) -> Outcome:
        """Make one call; ``wait_until`` returns when it is to leave."""
        ...

    def abort(self) -> None:
        """Break every call that is under way."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class LiveCaller:
    """Calls real addresses.

    Parameters
    ----------
    endpoint
        How to reach AWS, or what stands in for it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._pool = ConnectionPool(endpoint.read_timeout_s)
        self._converse = ConverseCaller(endpoint, self._pool)
        self._direct: dict[str, _Address] = {}

    def prepare(self, target: Target) -> None:
        """Make the client, or the address, of a target."""
        if target.kind == "bedrock":
            self._converse.prepare(target.region)
        elif target.label not in self._direct:
            self._direct[target.label] = _address(self._endpoint, target)

    def host(self, target: Target) -> str:
        """Name the host."""
        if target.kind == "bedrock":
            return self._converse.url(target.region)
        return self._direct[target.label].url

    def idle_connections(self, host: str) -> int:
        """Give how many connections to it stand idle."""
        return self._pool.idle_count(host)

    def open_connection(self, target: Target) -> str | None:
        """Open a connection and, with Bedrock, use it once free of charge."""
        if target.kind == "bedrock":
            return self._converse.open_connection(target.region, target.model_id)
        connection = self._pool.take(self._direct[target.label].url, fresh=True)
        try:
            connection.open(Moments())
        except OSError as error:
            return str(error)
        finally:
            self._pool.give(connection, keep=True)
        return None

    def call(self, request: Request, wait_until: Callable[[], float]) -> Outcome:
        """Make one call."""
        target, arm = request.target, request.arm
        prompt = make_prompt(arm, key=request.key, cache_minimum_tokens=target.cache_minimum_tokens)
        fresh = arm.connection == "cold"
        if target.kind == "bedrock":
            arguments = converse_arguments(target.model_id, prompt, arm)
            return self._converse.call(target.region, arguments, fresh=fresh, keep=not fresh, wait_until=wait_until)
        address = self._direct[target.label]
        return _call_address(address, f"{prompt.system}\n{prompt.user}", self._pool, fresh, wait_until)

    def abort(self) -> None:
        """Break every call that is under way."""
        self._pool.abort()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


@dataclass(frozen=True)
class _Address:
    url: str
    sign: Callable[[AWSRequest], None] | None = None


def _address(endpoint: Endpoint, target: Target) -> _Address:
    if target.kind == "http":
        return _Address(target.model_id)
    _, _, name = target.model_id.partition(":")
    function, _, alias = name.partition(":")
    base = endpoint.client("lambda", target.region).meta.endpoint_url
    qualifier = f"?Qualifier={alias}" if alias else ""
    url = f"{base}/2015-03-31/functions/{function}/invocations{qualifier}"
    credentials = get_session().get_credentials()
    if credentials is None:
        raise CloudError("no AWS credentials found; set AWS_PROFILE, or run `aws sso login`")
    return _Address(url, SigV4Auth(credentials, "lambda", target.region).add_auth)


def _call_address(
    address: _Address, prompt: str, pool: ConnectionPool, fresh: bool, wait_until: Callable[[], float]
) -> Outcome:
    """POST ``{"prompt": …}`` and read the answer; its first piece of body counts as the first token."""
    outcome = Outcome(called_s=time.perf_counter())
    connection = pool.take(address.url, fresh=fresh)
    outcome.opened = not connection.is_open
    headers = {"Content-Type": "application/json", "Host": urlsplit(address.url).netloc}
    request = AWSRequest("POST", address.url, headers=headers, data=json.dumps({"prompt": prompt}).encode())
    try:
        if address.sign is not None:
            address.sign(request)
        outcome.built_s = time.perf_counter()
        wait_until()
        response = connection.send(request.prepare(), outcome.moments)
        outcome.headers = {name.lower(): value for name, value in response.headers.items()}
        body = b""
        for piece in response.stream():
            outcome.deltas_s.append(outcome.moments.arrival_s)
            body += piece
        outcome.last_s = outcome.moments.arrival_s
        outcome.request_id = outcome.headers.get("x-request-id") or outcome.headers.get("x-amzn-requestid")
        _read_answer(response.status, body, outcome)
    except TimeoutError as error:
        outcome.status, outcome.error = "timeout", f"{type(error).__name__}: no byte in time"
        connection.close()
    except Exception as error:  # whatever it is, what was measured is kept
        outcome.status, outcome.error = "error", f"{type(error).__name__}: {Endpoint.explain(error)}"
        connection.close()
    finally:
        pool.give(connection, keep=not fresh)
    return outcome


def _read_answer(status: int, body: bytes, outcome: Outcome) -> None:
    if status == 429:
        outcome.status = "throttled"
    elif status == 504:
        outcome.status = "timeout"
    elif not 200 <= status < 300 or "x-amz-function-error" in outcome.headers:
        outcome.status = "rejected" if 400 <= status < 500 else "error"
    if outcome.status != "ok":
        outcome.error = f"HTTP {status}"
        return
    try:
        document = json.loads(body)
        if isinstance(document.get("body"), str):  # a function that answers in the gateway's format
            document = json.loads(document["body"])
        usage = document.get("usage", {})
    except (ValueError, AttributeError):
        return  # not JSON: a stream of text
    names = {
        "inputTokens": ("input_tokens", "inputTokens"),
        "outputTokens": ("output_tokens", "outputTokens"),
        "cacheReadInputTokens": ("cache_read_tokens", "cacheReadInputTokens"),
        "cacheWriteInputTokens": ("cache_write_tokens", "cacheWriteInputTokens"),
    }
    outcome.usage = {
        key: next(usage[name] for name in found if name in usage)
        for key, found in names.items()
        if any(name in usage for name in found)
    }
