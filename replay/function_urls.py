"""Which addresses are Function URLs, and so want a signature."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws")
_LOCAL_PATH: Final = "/_aws/lambda-url/"
"""Where the local cloud serves them."""


def is_function_url(url: str) -> bool:
    """Say whether ``url`` is Lambda's own address of a function, on AWS or on a local cloud."""
    parts = urlsplit(url)
    return _HOST.fullmatch(parts.hostname or "") is not None or parts.path.startswith(_LOCAL_PATH)


def region_in(url: str) -> str | None:
    """Give the region that a Function URL names; a local cloud's names none."""
    match = _HOST.fullmatch(urlsplit(url).hostname or "")
    return match["region"] if match else None
