"""Services that fail, for tests: CloudWatch throttled or late, a journal that does not answer.

What a caller sees is AWS's own answer in the service's own protocol; which service it wanted, its signature says.
"""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

import numpy as np
from aiohttp import web

from replay.cloud.http import json_answer
from replay.errors import InputError

LATE_SERVICES: Final = ("logs", "monitoring")
"""CloudWatch Logs and CloudWatch by their signing names: what they were told becomes visible later."""
SERVICES: Final = (*LATE_SERVICES, "dynamodb", "lambda", "sns")
_SCOPE: Final = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/(?P<service>[a-z0-9-]+)/aws4_request")


@dataclass(frozen=True)
class ServiceFaults:
    """How one service fails. Shares add up to at most 1."""

    throttled_share: float = 0.0
    """``ThrottlingException``, at once."""
    unavailable_share: float = 0.0
    """503 ``ServiceUnavailableException``, at once."""
    silent_share: float = 0.0
    """No answer for ``silent_s``; then a 503 that hardly anybody waits for."""
    silent_s: float = 60.0
    visible_after_s: float = 0.0
    """How late log lines and metrics can be read; for ``logs`` and ``monitoring``."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise InputError(f"service faults: {name} {value!r} must be a number, 0 or more")
        total = self.throttled_share + self.unavailable_share + self.silent_share
        if total > 1.0 + 1e-9:
            raise InputError(f"service faults: the shares add up to {total:g}; at most 1 makes sense")


@dataclass
class FaultyServices:
    """The faults of every service, and what they did.

    Parameters
    ----------
    seed
        Of the draws: which request fails.
    """

    seed: int
    faults: Mapping[str, ServiceFaults] = field(default_factory=dict)
    struck: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def set(self, document: Any) -> None:
        """Take a JSON object of service → faults; what it leaves out works again. Raises InputError."""
        if not isinstance(document, dict):
            raise InputError("service faults: give a JSON object of service → faults")
        known = [each.name for each in fields(ServiceFaults)]
        found: dict[str, ServiceFaults] = {}
        for service, values in document.items():
            if service not in SERVICES:
                raise InputError(f"service faults: unknown service {service!r}; known: {', '.join(SERVICES)}")
            if not isinstance(values, dict):
                raise InputError(f"service faults: {service}: give a JSON object")
            for name in values:
                if name not in known:
                    raise InputError(f"service faults: {service}: unknown key {name!r}; known: {', '.join(known)}")
            found[service] = ServiceFaults(**values)
            if found[service].visible_after_s and service not in LATE_SERVICES:
                raise InputError(f"service faults: {service}: visible_after_s is for {' and '.join(LATE_SERVICES)}")
        self.faults = found

    def describe(self) -> dict[str, Any]:
        """Give faults and counts as JSON types."""
        return {"faults": {name: asdict(each) for name, each in self.faults.items()}, "struck": dict(self.struck)}

    def visible_after_s(self, service: str) -> float:
        """Say how late a service's data can be read."""
        found = self.faults.get(service)
        return found.visible_after_s if found is not None else 0.0

    async def strike(self, request: web.BaseRequest) -> web.Response | None:
        """Answer in the place of the service that the request was signed for; None where it is to work."""
        if not self.faults:
            return None
        scope = _SCOPE.search(request.headers.get("Authorization", ""))
        service = scope["service"] if scope is not None else ""
        faults = self.faults.get(service)
        if faults is None:
            return None
        at = self._random.random()
        silent, unavailable = faults.silent_share, faults.silent_share + faults.unavailable_share
        if at >= unavailable + faults.throttled_share:
            return None
        self.struck[service] = self.struck.get(service, 0) + 1
        if at < silent:
            await asyncio.sleep(faults.silent_s)
        if at < unavailable:
            return _error(request, 503, "ServiceUnavailableException", "the service is down, as the test wants it")
        return _error(request, 400, "ThrottlingException", "Rate exceeded")


def _error(request: web.BaseRequest, status: int, name: str, message: str) -> web.Response:
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        body = b"\xa2" + b"".join(_cbor_text(text) for text in ("__type", name, "message", message))
        return web.Response(
            body=body, status=status, content_type="application/cbor", headers={"smithy-protocol": "rpc-v2-cbor"}
        )
    if request.content_type == "application/x-www-form-urlencoded":
        # The query protocol: SNS, and older SDKs' CloudWatch.
        error = f"<Error><Type>Sender</Type><Code>{name}</Code><Message>{message}</Message></Error>"
        text = f"<ErrorResponse>{error}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
        return web.Response(text=text, status=status, content_type="text/xml")
    document = {"__type": name, "message": message, "Message": message, "Type": "User"}
    return json_answer(document, status, {"x-amzn-ErrorType": name})


def _cbor_text(text: str) -> bytes:
    """Write a text of up to 255 bytes (RFC 8949, major type 3)."""
    data = text.encode()
    head = bytes([0x60 + len(data)]) if len(data) < 24 else bytes([0x78, len(data)])
    return head + data
