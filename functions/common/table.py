"""Calls of DynamoDB: one caller an environment, for whatever tables the function has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from functions.common.aws_call import AwsCaller

CONNECT_TIMEOUT_S: Final = 1.0
READ_TIMEOUT_S: Final = 2.0
"""Backstops: the callers' own deadlines are shorter."""


def table_caller(environment: Mapping[str, str], max_attempts: int = 1) -> AwsCaller:
    """Make what calls DynamoDB.

    Parameters
    ----------
    environment
        The function's variables, see :class:`AwsCaller`.
    max_attempts
        Tries in all. Once is enough for whoever can do without, sooner than wait for a second try.
    """
    return AwsCaller(
        "dynamodb",
        "dynamodb",
        environment,
        max_attempts=max_attempts,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        read_timeout_s=READ_TIMEOUT_S,
    )


def call_table(dynamodb: AwsCaller, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Do ``GetItem``, ``PutItem`` or ``UpdateItem``.

    Raises
    ------
    AwsCallError
        It failed; ``document`` holds what DynamoDB says of it.
    """
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"DynamoDB_20120810.{operation}"}
    return dynamodb.post("/", headers, arguments).document
