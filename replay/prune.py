"""Old versions of a function, deleted: Terraform publishes a new one at each change and deletes none.

Spared are the versions that an alias points at or gives weight to, those with provisioned concurrency, and the newest
few, so that a rollback has something to go back to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from replay.aws import cloud_errors, error_code
from replay.errors import InputError


@dataclass(frozen=True)
class PrunePlan:
    """What would go, and what stays and why."""

    function: str
    deleted: tuple[str, ...]
    """Oldest first."""
    spared: dict[str, str]
    """Version → reason."""


def plan_prune(client: Any, function: str, *, keep: int) -> PrunePlan:
    """Find the versions that nothing uses; nothing is changed.

    Parameters
    ----------
    client
        boto3's for ``lambda``.
    function
        Name.
    keep
        Newest versions to spare whatever uses them, at least 1.

    Raises
    ------
    InputError
        ``keep`` is below 1.
    CloudError
        The function is missing, or the cloud does not answer.
    """
    if keep < 1:
        raise InputError(f"keep={keep} must be at least 1: the newest version is what Terraform compares with")
    with cloud_errors(f"function {function}: its versions cannot be read"):
        pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
        numbers = sorted(int(v["Version"]) for page in pages for v in page["Versions"] if v["Version"] != "$LATEST")
        reasons = _in_use(client, function)
    for number in numbers[-keep:]:
        reasons.setdefault(str(number), f"one of the newest {keep}")
    versions = [str(number) for number in numbers]
    return PrunePlan(
        function=function,
        deleted=tuple(version for version in versions if version not in reasons),
        spared={version: reasons[version] for version in versions if version in reasons},
    )


def prune(client: Any, plan: PrunePlan) -> tuple[str, ...]:
    """Delete what ``plan`` says, unless something uses it by now; give what was deleted.

    Raises
    ------
    CloudError
        A version cannot be deleted; those before it are.
    """
    from botocore.exceptions import ClientError

    deleted: list[str] = []
    for version in plan.deleted:
        # A rollout may have begun since the plan was made, and Lambda deletes a version under its provisioned
        # concurrency without a word.
        with cloud_errors(f"function {plan.function}: version {version} cannot be deleted"):
            if version in _in_use(client, plan.function):
                continue
            try:
                client.delete_function(FunctionName=plan.function, Qualifier=version)
            except ClientError as error:
                # Gone is what was wanted: the SDK tries again where an answer was lost, and others prune too.
                if error_code(error) != "ResourceNotFoundException":
                    raise
        deleted.append(version)
    return tuple(deleted)


def _in_use(client: Any, function: str) -> dict[str, str]:
    """Give version → who uses it."""
    reasons: dict[str, str] = {}
    for page in client.get_paginator("list_provisioned_concurrency_configs").paginate(FunctionName=function):
        for config in page["ProvisionedConcurrencyConfigs"]:
            reasons[config["FunctionArn"].rpartition(":")[2]] = "has provisioned concurrency"
    for page in client.get_paginator("list_aliases").paginate(FunctionName=function):
        for alias in page["Aliases"]:
            weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
            for version in (alias["FunctionVersion"], *weights):
                reasons[version] = f"alias {alias['Name']}"
    return reasons
