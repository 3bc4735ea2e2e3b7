"""Where object storage lies: the AWS environment in the words of Polars, which reads ``s3://`` itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from replay.errors import InputError

_SAME_NAME: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_TIMEOUT: Final = "30s"


def storage_options(environment: Mapping[str, str]) -> dict[str, str]:
    """Give Polars' storage options of an environment such as ``os.environ``.

    Without keys in it, Polars asks boto3's chain of credentials (profiles, roles), as the other commands do.

    Raises
    ------
    InputError
        ``AWS_ENDPOINT_URL`` is plain HTTP to another machine: the trace would cross the network in the clear.
    """
    options = {name.lower(): environment[name] for name in _SAME_NAME if environment.get(name)}
    if "aws_region" not in options and environment.get("AWS_DEFAULT_REGION"):
        options["aws_region"] = environment["AWS_DEFAULT_REGION"]
    options |= {"timeout": _TIMEOUT, "connect_timeout": "5s"}
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if endpoint:
        url = urlsplit(endpoint)
        if url.scheme == "http":
            if url.hostname not in _LOOPBACK:
                raise InputError(f"AWS_ENDPOINT_URL={endpoint}: plain HTTP is for loopback only; use an https address")
            options["aws_allow_http"] = "true"
        options["aws_endpoint_url"] = endpoint
    return options
