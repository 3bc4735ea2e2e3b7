"""One call to a target, whatever kind it is: Bedrock's stream, a deployed API or stream, or a function's alias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from replay.bench.arms import Arm
from replay.bench.clients import Endpoint
from replay.bench.direct import Address, address_of, post
from replay.bench.prompts import converse_arguments, make_prompt
from replay.bench.sdk import ConverseCaller, Outcome
from replay.bench.targets import Target
from replay.bench.transport import ConnectionPool, Moments


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
        self._pool = ConnectionPool(endpoint.read_timeout_s, endpoint.connect_timeout_s)
        self._converse = ConverseCaller(endpoint, self._pool)
        self._direct: dict[str, Address] = {}

    def prepare(self, target: Target) -> None:
        """Make the client, or the address, of a target."""
        if target.kind == "bedrock":
            self._converse.prepare(target.region)
        elif target.label not in self._direct:
            self._direct[target.label] = address_of(self._endpoint, target)

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
        text = f"{prompt.system}\n{prompt.user}"
        address = self._direct[target.label]
        return post(address, text, arm.output_tokens, self._pool, fresh=fresh, wait_until=wait_until)

    def abort(self) -> None:
        """Break every call that is under way."""
        self._pool.abort()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()
