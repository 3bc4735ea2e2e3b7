"""The DynamoDB client of an execution environment."""

from __future__ import annotations

from typing import Any, Final

import boto3
from botocore.config import Config

CONNECT_TIMEOUT_S: Final = 1.0
READ_TIMEOUT_S: Final = 2.0
"""Backstops: the callers' own deadlines are shorter."""


def dynamodb_client(max_attempts: int = 1) -> Any:
    """Build the client.

    Parameters
    ----------
    max_attempts
        Tries in all. Once is enough for whoever can do without, sooner than wait for a second try.
    """
    return boto3.client(
        "dynamodb",
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": max_attempts},
            tcp_keepalive=True,
        ),
    )
