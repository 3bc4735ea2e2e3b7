"""Faults that a test orders: which share of the streams is refused, cut or garbled, and whose keys have expired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from replay.errors import InputError

Fault = Literal["throttle", "server_error", "exception", "cut", "malformed"]

_SHARES: tuple[Fault, ...] = ("throttle", "server_error", "exception", "cut", "malformed")


@dataclass(frozen=True)
class StreamFaults:
    """Shares of the requests, each in [0, 1], together at most 1.

    Raises
    ------
    InputError
        A share outside its range.
    """

    throttle: float = 0.0
    """Answered 429 ThrottlingException, at once."""
    server_error: float = 0.0
    """Answered 500 InternalServerException, at once."""
    exception: float = 0.0
    """A ``modelStreamErrorException`` half-way through the answer."""
    cut: float = 0.0
    """The connection is reset half-way through the answer."""
    malformed: float = 0.0
    """A frame with a wrong checksum half-way through the answer."""
    expired_access_keys: tuple[str, ...] = ()
    """Access key ids that are answered 403 ExpiredTokenException."""

    def __post_init__(self) -> None:
        shares = [getattr(self, name) for name in _SHARES]
        for name, share in zip(_SHARES, shares, strict=True):
            if not (isinstance(share, int | float) and 0 <= share <= 1):
                raise InputError(f"bedrock faults: {name} {share!r} must be a share between 0 and 1")
        if sum(shares) > 1:
            raise InputError(f"bedrock faults: the shares add up to {sum(shares):g}; they must not pass 1")

    def pick(self, draw: float) -> Fault | None:
        """Give the fault of the request with this uniform draw."""
        for name in _SHARES:
            share = getattr(self, name)
            if draw < share:
                return name
            draw -= share
        return None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StreamFaults:
        """Read from JSON.

        Raises
        ------
        InputError
            An unknown key, or a value outside its range.
        """
        known = [f.name for f in fields(cls)]
        for name in document:
            if name not in known:
                raise InputError(f"bedrock faults: unknown key {name!r}; known: {', '.join(known)}")
        values = dict(document)
        values["expired_access_keys"] = tuple(values.get("expired_access_keys", ()))
        return cls(**values)
