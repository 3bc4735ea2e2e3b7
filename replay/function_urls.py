"""Which addresses are Function URLs, and so want a signature."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_LOCAL_PATH: Final = "/_aws/lambda-url/"
"""Where the local cloud serves them."""


def is_function_url(url: str) -> bool:
    """Say whether ``url`` is Lambda's own address of a function, on AWS or on a local cloud."""
    parts = urlsplit(url)
    # Only here: a signature, and with it a session's token, is nothing for a host that anybody may name so.
    local = is_loopback(parts.hostname) and parts.path.startswith(_LOCAL_PATH)
    return local or _HOST.fullmatch(parts.hostname or "") is not None


def is_loopback(host: str | None) -> bool:
    """Say whether a host's name or address is this machine's own."""
    return host in _LOOPBACK


def region_in(url: str) -> str | None:
    """Give the region that a Function URL names; a local cloud's names none."""
    match = _HOST.fullmatch(urlsplit(url).hostname or "")
    return match["region"] if match else None
