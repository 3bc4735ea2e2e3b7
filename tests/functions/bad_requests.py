"""Requests that nobody should send: valid ones, bent in every way that a caller can bend them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import strategies as st

CANARY = "canary7f3a9c"
"""Stands in every text that is sent; it must never come back, nor stand in a log."""

_TEXTS = st.text(max_size=12).map(lambda text: f"{CANARY}{text}")
_NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 1, 64, 65, 0.5, 1e308, 10**30, float("nan")])
_SCALARS = st.none() | st.booleans() | _NUMBERS | _TEXTS
_VALUES = _SCALARS | st.lists(_SCALARS, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), _SCALARS, max_size=2)
_FIELDS = st.sampled_from(
    ["prompt", "prompt", "system", "tier", "max_tokens", "temperature", "Prompt", "max_token", "__proto__", "", CANARY]
)
_GOOD = {"prompt": f"{CANARY} six times seven", "tier": "standard", "max_tokens": 8, "temperature": 0.5}
_ODD = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"[" * 60_000,
    b'{"prompt":' * 20_000,
    b'{"max_tokens":' + b"9" * 5_000 + b"}",
    b'{"prompt":"\\ud800 canary7f3a9c"}',
    b'{"prompt":"canary7f3a9c","prompt":""}',
    b'{"prompt":"canary7f3a9c\\u0000"}',
    b'{"temperature":1e400,"prompt":"canary7f3a9c"}',
    b'{"prompt":"' + b"x" * 30_000 + b'"}',
    b"{'prompt': 'canary7f3a9c'}",
    b"prompt=canary7f3a9c",
    b"<prompt>canary7f3a9c</prompt>",
]


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def _bent(changes: dict[str, object]) -> bytes:
    return json.dumps({**_GOOD, **changes}).encode()


_BODIES = (
    st.dictionaries(_FIELDS, _VALUES, max_size=3).map(_bent)
    | st.dictionaries(_FIELDS, _VALUES, max_size=3).map(lambda body: json.dumps(body).encode())
    | st.tuples(st.integers(0, 90), st.sampled_from([b"", b"}", b"\x00", b'"', b"\xc3", b"\\"])).map(
        lambda cut: _bent({})[: cut[0]] + cut[1] + _bent({})[cut[0] + 1 :]
    )
    | st.sampled_from(_ODD)
    | st.binary(max_size=40)
)
_METHODS = st.sampled_from(["POST"] * 12 + ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
_CONTENT_TYPES = st.sampled_from(
    ["application/json"] * 8
    + [
        "",
        "text/plain",
        "application/json; charset=utf-16",
        "a/b+json",
        "application/x+json",
        "multipart/form-data",
        ";",
    ]
)
_CACHE_CONTROLS = st.sampled_from(["", "", "no-store", "no-cache", "max-age=0, no-store", ",,,", CANARY])

REQUESTS = st.builds(
    lambda method, path, content_type, cache, query, body: Sent(
        method, path + query, {"content-type": content_type, "cache-control": cache, "cookie": f"a={CANARY}"}, body
    ),
    _METHODS,
    st.sampled_from(["/genai", "/ai"]),
    _CONTENT_TYPES,
    _CACHE_CONTROLS,
    st.sampled_from(["", "", f"?prompt={CANARY}", "?a=1&a=2&%ff"]),
    _BODIES,
)
