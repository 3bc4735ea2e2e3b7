"""What a web page may ask of the local cloud: the APIs and Function URLs that it serves, and nothing else.

Whoever reaches the port can deploy code and run it, and a browser on this machine reaches it for every page that it
shows: across origins, which ``Origin`` tells, or by a name of the page's own that was made to lead here (DNS
rebinding), which ``Host`` tells. Programs send no ``Origin``, and call this machine by an address or its own name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

_OWN_NAMES: Final = (".localhost", ".internal")
"""Names that nobody can register; containers call their host by one of the latter."""
_AWS_NAMES: Final = (".amazonaws.com", ".amazonaws.com.cn", ".on.aws", ".api.aws")


def refusal(headers: Mapping[str, str], *, for_pages: bool) -> str | None:
    """Say why a request is not answered, in one line; None where it is.

    Parameters
    ----------
    headers
        Of the request.
    for_pages
        It goes to an API or a Function URL, whose own CORS settings say which pages may read the answer.
    """
    host = headers.get("Host")
    if host is not None and not _leads_here(host):
        return f"the local cloud is not called {host!r}; call it by 127.0.0.1 or localhost"
    origin = headers.get("Origin")
    if origin is not None and not for_pages and not _is_of_this_machine(origin):
        return f"pages of {origin!r} may not use the local cloud"
    return None


@lru_cache(maxsize=256)
def _leads_here(host: str) -> bool:
    """Say whether a ``Host`` is an address, or a name that no stranger can own."""
    name = _host_name(f"//{host}")
    return _is_address(name) or "." not in name or name.endswith(_OWN_NAMES + _AWS_NAMES)


@lru_cache(maxsize=256)
def _is_of_this_machine(origin: str) -> bool:
    name = _host_name(origin)
    if _is_address(name):
        return ipaddress.ip_address(name).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def _host_name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # half a bracket
        return "."


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
