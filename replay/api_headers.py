"""What a deployed API that asks callers who they are is sent."""

from __future__ import annotations

from collections.abc import Mapping

from replay.errors import InputError


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
