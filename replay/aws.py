"""Clients of AWS with deadlines, and botocore's errors as one line of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from replay.errors import CloudError, InputError

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 20.0
ATTEMPTS: Final = 5
"""Tries of one call, the first counted; the delays between them are botocore's (standard mode)."""
_PAGE: Final = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)


def make_client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    attempts: int = ATTEMPTS,
    static_keys: tuple[str, str] | None = None,
) -> Any:
    """Make a boto3 client with short time-outs and bounded retries.

    Parameters
    ----------
    service
        ``lambda``, ``logs``, …
    region, endpoint_url
        None for what the environment and the AWS configuration say.
    connect_timeout_s, read_timeout_s, attempts
        Of one try, and how many there may be.
    static_keys
        Access key and secret; None for the ordinary credential chain.

    Raises
    ------
    InputError
        No region is configured, the endpoint is no address, or there is no such profile.
    CloudError
        Credentials are configured, and the program that makes them failed.
    """
    # Imported here, as everywhere in this package: boto3 takes half a second, and `--help` should not.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, CredentialRetrievalError

    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    key, secret = static_keys or (None, None)
    try:
        session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=region)
        client = session.client(cast("Any", service), endpoint_url=endpoint_url, config=config)
    except CredentialRetrievalError as error:  # with all that the program said, in lines
        raise CloudError(f"{service}: no AWS credentials to be had: {' '.join(str(error).split())}") from error
    except (BotoCoreError, ValueError) as error:
        raise InputError(
            f"{service}: {error}; set AWS_DEFAULT_REGION or AWS_PROFILE, or give region and endpoint"
        ) from error
    client.meta.events.register_first("before-parse", _refuse_pages(client.meta.endpoint_url))
    return client


def _refuse_pages(endpoint_url: str) -> Callable[..., None]:
    """Give what refuses an answer that is a web page: another server's, whose figures would all be missing."""

    def refuse(response_dict: Mapping[str, Any], **_: object) -> None:
        body = response_dict.get("body", b"")
        if response_dict["status_code"] < 500 and isinstance(body, bytes) and _PAGE.match(body):
            raise CloudError(f"{endpoint_url}: answers with a web page, not as AWS does; check the endpoint's address")

    return refuse


@contextmanager
def cloud_errors(doing: str) -> Iterator[None]:
    """Turn botocore's errors inside the block into :class:`CloudError` with one line that starts with ``doing``."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise CloudError(f"{doing}: {error_code(error)}: {_message(error)}") from error
    except BotoCoreError as error:
        raise CloudError(f"{doing}: {' '.join(str(error).split())}") from error


def error_code(error: Exception) -> str:
    """Give the code of a botocore ``ClientError`` (``ResourceNotFoundException``), empty for anything else."""
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def _message(error: Exception) -> str:
    response: dict[str, Any] = getattr(error, "response", {})
    return " ".join(str(response.get("Error", {}).get("Message", error)).split())
