"""What a deployed API that asks callers who they are is sent."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from replay.errors import InputError
from replay.function_urls import is_function_url, is_loopback


def api_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the headers of a caller with a key (``TAILCAST_API_KEY``) or a token (``TAILCAST_API_TOKEN``).

    From the environment, since an option's value stands in the list of processes.

    Raises
    ------
    InputError
        A value that no header takes.
    """
    headers = {}
    for variable, name, form in (
        ("TAILCAST_API_KEY", "x-api-key", "{}"),
        ("TAILCAST_API_TOKEN", "Authorization", "Bearer {}"),
    ):
        if secret := environment.get(variable, "").strip():
            if not secret.isascii() or not secret.isprintable():
                raise InputError(f"{variable}: holds characters that no header takes; set it to the key alone")
            headers[name] = form.format(secret)
    return headers


def headers_to(url: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Give those of ``headers`` that go to ``url``: a Function URL is signed instead.

    Raises
    ------
    InputError
        They would cross the network in the clear.
    """
    if not headers or is_function_url(url):
        return {}
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise InputError(
            f"{url}: a key or token would go there in the clear; use https, or unset TAILCAST_API_KEY/_TOKEN"
        )
    return dict(headers)
