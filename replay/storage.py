"""Where object storage lies: the AWS environment in the words of Polars, which reads ``s3://`` itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from replay.errors import InputError
from replay.function_urls import is_loopback

_SAME_NAME: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
_ENDPOINT: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""The first that is set counts, as for the SDK."""
_TIMEOUT: Final = "30s"


def storage_options(environment: Mapping[str, str]) -> dict[str, str]:
    """Give Polars' storage options of an environment such as ``os.environ``.

    Without keys in it, Polars asks boto3's chain of credentials (profiles, roles), as the other commands do.

    Raises
    ------
    InputError
        The endpoint that is set is no address, or plain HTTP to another machine: the trace would cross the network in
        the clear.
    """
    options = {name.lower(): environment[name] for name in _SAME_NAME if environment.get(name)}
    if "aws_region" not in options and environment.get("AWS_DEFAULT_REGION"):
        options["aws_region"] = environment["AWS_DEFAULT_REGION"]
    options |= {"timeout": _TIMEOUT, "connect_timeout": "5s"}
    name = next((name for name in _ENDPOINT if environment.get(name)), None)
    if name is not None:
        endpoint = environment[name]
        try:
            url = urlsplit(endpoint)
        except ValueError as error:
            raise InputError(f"{name}={endpoint}: not an address ({error})") from error
        if url.scheme not in ("http", "https") or not url.hostname:
            raise InputError(f"{name}={endpoint}: not an address; it begins with https://, or on loopback with http://")
        if url.scheme == "http":
            if not is_loopback(url.hostname):
                raise InputError(f"{name}={endpoint}: plain HTTP is for loopback only; use an https address")
            options["aws_allow_http"] = "true"
        options["aws_endpoint_url"] = endpoint
    return options
