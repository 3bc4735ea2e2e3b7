"""What IAM's policies say of one access: enough of their language for what this project writes.

Source: IAM user guide, "Policy evaluation logic". Conditions have the operators and keys below; one that is not
understood never opens a door: it makes an ``Allow`` void, and a ``Deny`` hold.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Access:
    """Who wants to do what to what."""

    action: str
    """``lambda:InvokeFunctionUrl``."""
    resource: str
    """An ARN."""
    principals: tuple[str, ...] = ()
    """What names the caller in a resource's policy: ARNs, the account's id; empty for nobody in particular."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Condition key, in small letters → value."""


def decide(statements: Iterable[Statement], access: Access, *, of_resource: bool = False) -> bool | None:
    """Say what statements decide: True, False (an explicit ``Deny``), or None where they are silent.

    Parameters
    ----------
    statements
        Of an identity's policies, or of a resource's.
    access
        What is wanted.
    of_resource
        Whether they are a resource's, and so name principals.
    """
    decision: bool | None = None
    for statement in statements:
        denies = statement.get("Effect") == "Deny"
        if not _concerns(statement, access, of_resource):
            continue
        if not _conditions_hold(statement, access, otherwise=denies):
            continue
        if denies:
            return False
        decision = True
    return decision


def listed(value: Any) -> list[Any]:
    """Give what a policy may write as one value or as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def matches(pattern: Any, text: str) -> bool:
    """Match IAM's wildcards, ``*`` and ``?``; ``[`` is a character of its own in IAM."""
    return fnmatch.fnmatchcase(text, str(pattern).replace("[", "[[]"))


def condition_holds(operator: str, actual: str, wanted: Any) -> bool | None:
    """Say whether a condition holds; None for an operator that is not known here."""
    patterns = [str(pattern) for pattern in listed(wanted)]
    match operator:
        case "ArnLike" | "StringLike":
            return any(matches(pattern, actual) for pattern in patterns)
        case "ArnEquals" | "StringEquals":
            return actual in patterns
        case "Bool":
            return actual.lower() in [pattern.lower() for pattern in patterns]
    return None


def _concerns(statement: Statement, access: Access, of_resource: bool) -> bool:
    actions = listed(statement.get("Action"))
    if not any(matches(str(action).lower(), access.action.lower()) for action in actions):
        return False
    resources = listed(statement.get("Resource"))
    if not any(matches(resource, access.resource) for resource in resources):
        return False
    return not of_resource or _names(statement.get("Principal"), access.principals)


def _names(principal: Any, principals: tuple[str, ...]) -> bool:
    named = listed(principal.get("AWS")) if isinstance(principal, Mapping) else listed(principal)
    return "*" in named or any(name in principals for name in named)


def _conditions_hold(statement: Statement, access: Access, *, otherwise: bool) -> bool:
    for operator, conditions in (statement.get("Condition") or {}).items():
        for name, wanted in conditions.items():
            actual = access.context.get(str(name).lower())
            holds = None if actual is None else condition_holds(operator, actual, wanted)
            if not (otherwise if holds is None else holds):
                return False
    return True
