"""Clients of AWS with deadlines, and botocore's errors as one line of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from replay.errors import CloudError, InputError

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 20.0
ATTEMPTS: Final = 5
"""Tries of one call, the first counted; the delays between them are botocore's (standard mode)."""


def make_client(service: str, *, region: str | None = None, endpoint_url: str | None = None) -> Any:
    """Make a boto3 client with the ordinary credential chain, short time-outs and bounded retries.

    Parameters
    ----------
    service
        ``lambda``, ``logs``, …
    region, endpoint_url
        None for what the environment and the AWS configuration say.

    Raises
    ------
    InputError
        No region is configured, or the endpoint is no address.
    CloudError
        Credentials are configured, and the program that makes them failed.
    """
    # Imported here, as everywhere in this package: boto3 takes half a second, and `--help` should not.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, CredentialRetrievalError

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    try:
        session = boto3.Session(region_name=region)
        return session.client(cast("Any", service), endpoint_url=endpoint_url, config=config)
    except CredentialRetrievalError as error:  # with all that the program said, in lines
        raise CloudError(f"{service}: no AWS credentials to be had: {' '.join(str(error).split())}") from error
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"{service}: {error}; set AWS_DEFAULT_REGION, or give region and endpoint") from error


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
