"""Whether a function's policy lets API Gateway invoke it: a permission missing on the alias is a classic mistake."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from replay.cloud.gateway.policy import condition_holds, listed

SERVICE = "apigateway.amazonaws.com"


def allows(statements: Iterable[Mapping[str, Any]], source_arn: str, account: str) -> bool:
    """Say whether a statement lets API Gateway invoke for this route.

    Parameters
    ----------
    statements
        The policy of the function, version or alias that the integration names.
    source_arn
        ``arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`` of the request's route.
    account
        The account that owns the API.
    """
    allowed = False
    for statement in statements:
        if not _applies(statement, source_arn, account):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


def _applies(statement: Mapping[str, Any], source_arn: str, account: str) -> bool:
    principal = statement.get("Principal")
    services = [principal] if isinstance(principal, str) else listed((principal or {}).get("Service"))
    if not any(service in ("*", SERVICE) for service in services):
        return False
    actions = listed(statement.get("Action"))
    if not any(fnmatch.fnmatchcase("lambda:invokefunction", str(action).lower()) for action in actions):
        return False
    for operator, conditions in (statement.get("Condition") or {}).items():
        for name, wanted in conditions.items():
            actual = {"aws:sourcearn": source_arn, "aws:sourceaccount": account}.get(name.lower())
            # An operator that is not understood must not open a door.
            if actual is None or not condition_holds(operator, actual, wanted):
                return False
    return True
