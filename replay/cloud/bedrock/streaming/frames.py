"""The event-stream wire format (``application/vnd.amazon.eventstream``), written; botocore reads it.

A frame, all numbers big-endian::

    total length (4) | headers length (4) | CRC-32 of these 8 bytes (4) | headers | payload | CRC-32 of all before (4)

A header is its name's length (1), the name, a type (1; 7 is a string), the value's length (2) and the value. Source:
Smithy's "Amazon Event Stream specification". AWS's own encoder, ``smithy-aws-event-stream``, needs Python 3.12.
"""

from __future__ import annotations

import json
from binascii import crc32
from collections.abc import Mapping
from functools import lru_cache
from struct import pack
from typing import Any, Final

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_STRING: Final = 7


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Encode one frame with string headers."""
    packed = b"".join(_header(name, value) for name, value in headers.items())
    prelude = pack("!II", 12 + len(packed) + len(payload) + 4, len(packed))
    body = b"".join((prelude, pack("!I", crc32(prelude)), packed, payload))
    return body + pack("!I", crc32(body))


def event_frame(event_type: str, document: Mapping[str, Any]) -> bytes:
    """Encode an event, such as ``contentBlockDelta``, with a JSON payload."""
    headers = {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, json.dumps(document, separators=(",", ":")).encode())


def exception_frame(exception_type: str, message: str) -> bytes:
    """Encode a modelled exception in mid-stream, such as ``modelStreamErrorException``."""
    headers = {":exception-type": exception_type, ":content-type": "application/json", ":message-type": "exception"}
    return encode_frame(headers, json.dumps({"message": message}).encode())


def with_broken_checksum(frame: bytes) -> bytes:
    """Give ``frame`` with its last byte flipped, so that its checksum does not fit: a fault to inject."""
    return frame[:-1] + bytes([frame[-1] ^ 0xFF])


@lru_cache(maxsize=512)
def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return pack("!B", len(key)) + key + pack("!BH", _STRING, len(text)) + text
