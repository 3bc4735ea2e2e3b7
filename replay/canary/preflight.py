"""Before the first step: what would go wrong later is found now, or the rollout does not start."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from replay.aws import cloud_errors, error_code
from replay.canary.plan import Plan, Smoke
from replay.canary.ports import LiveAlias
from replay.canary.reference import Reference

Severity = Literal["refuse", "warn"]
_ACTIVE: Final = "Active"


@dataclass(frozen=True)
class Finding:
    """One thing that was found: a reason not to start, or something to know."""

    severity: Severity
    text: str


@dataclass(frozen=True)
class Target:
    """What is rolled out where."""

    function: str
    alias: str
    baseline: str
    candidate: str


def check(client: Any, alias: LiveAlias, target: Target) -> list[Finding]:
    """Check versions, alias, provisioned concurrency and permissions.

    Parameters
    ----------
    client
        A boto3 ``lambda`` client.

    Raises
    ------
    CloudError
        Lambda does not answer.
    """
    findings = [*_versions(client, target), *_alias(client, alias, target)]
    return [*findings, *_provisioned(client, target), *_permission(client, target)]


def smoke(client: Any, target: Target, wanted: Smoke) -> list[Finding]:
    """Send the candidate itself a few requests, before any of the traffic goes there.

    Parameters
    ----------
    client
        A boto3 ``lambda`` client that waits for as long as ``wanted`` says, and tries once.
    """
    for number in range(1, wanted.requests + 1):
        said = _smoke_once(client, target, wanted)
        if said is not None:
            return [
                Finding("refuse", f"smoke test {number} of {wanted.requests} of version {target.candidate}: {said}")
            ]
    return []


def judge_reference(plan: Plan, reference: Reference) -> list[Finding]:
    """Say what the baseline's history cannot tell."""
    findings = [
        Finding("refuse" if metric in reference.unseen else "warn", note)
        for note in reference.notes
        for metric in [note.partition(":")[0]]
    ]
    if reference.requests == 0:
        findings.append(
            Finding(
                "refuse",
                f"the baseline answered no request in the last {plan.history_s:.0f} s; send it traffic first",
            )
        )
    return findings


def _versions(client: Any, target: Target) -> list[Finding]:
    from botocore.exceptions import ClientError

    found = []
    roles: dict[str, tuple[object, object]] = {}
    for name, version in (("baseline", target.baseline), ("candidate", target.candidate)):
        with cloud_errors(f"function {target.function}, version {version}"):
            try:
                answer = client.get_function_configuration(FunctionName=target.function, Qualifier=version)
            except ClientError as error:
                if error_code(error) == "ResourceNotFoundException":
                    found.append(
                        Finding("refuse", f"the {name}'s version {version} of {target.function} does not exist")
                    )
                    continue
                raise
        roles[name] = (answer.get("Role"), (answer.get("DeadLetterConfig") or {}).get("TargetArn"))
        state = answer.get("State", _ACTIVE)
        if state not in (_ACTIVE, "Inactive"):
            found.append(
                Finding("refuse", f"the {name}'s version {version} is {state}: {answer.get('StateReason', '')}")
            )
    if len(set(roles.values())) > 1:
        found.append(
            Finding(
                "refuse", "the two versions differ in execution role or dead-letter target: Lambda refuses weights then"
            )
        )
    if target.baseline == target.candidate:
        found.append(Finding("refuse", f"baseline and candidate are both version {target.candidate}"))
    return found


def _alias(client: Any, alias: LiveAlias, target: Target) -> list[Finding]:
    state = alias.read()
    found = []
    if state.weights != {target.baseline: 1.0}:
        shown = ", ".join(f"version {version} {share:.0%}" for version, share in state.weights.items())
        found.append(
            Finding(
                "refuse",
                f"alias {target.function}:{target.alias} is at {shown}, not wholly at the baseline's version "
                f"{target.baseline}; another rollout may be under way",
            )
        )
    if concurrency(client, target.function, target.alias) is not None:
        found.append(
            Finding(
                "refuse",
                f"alias {target.alias} has provisioned concurrency, and so no weights; put it on the versions",
            )
        )
    if not found:
        # The right to change the alias is best proved by changing it: to what it is.
        alias.touch(state.revision_id)
    return found


def _provisioned(client: Any, target: Target) -> list[Finding]:
    baseline = concurrency(client, target.function, target.baseline)
    candidate = concurrency(client, target.function, target.candidate)
    if candidate is not None and candidate[0] != "READY":
        return [
            Finding(
                "refuse",
                f"provisioned concurrency of version {target.candidate} is {candidate[0]}: "
                f"{candidate[1]} environments are asked for; wait until it is READY",
            )
        ]
    if baseline is not None and candidate is None:
        return [
            Finding(
                "warn",
                f"version {target.baseline} has provisioned concurrency, version {target.candidate} has none: "
                "the candidate will start cold",
            )
        ]
    return []


def _permission(client: Any, target: Target) -> list[Finding]:
    on_alias = _has_policy(client, target.function, target.alias)
    if on_alias or not _has_policy(client, target.function, None):
        return []
    return [
        Finding(
            "refuse",
            f"{target.function} may be invoked by others, its alias {target.alias} may not: "
            f"add the permission with the qualifier {target.alias}",
        )
    ]


def concurrency(client: Any, function: str, qualifier: str) -> tuple[str, int] | None:
    """Give status and number of the provisioned concurrency of a version or alias; None where it has none."""
    from botocore.exceptions import ClientError

    with cloud_errors(f"provisioned concurrency of {function}:{qualifier}"):
        try:
            answer = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier=qualifier)
        except ClientError as error:
            if error_code(error) in ("ProvisionedConcurrencyConfigNotFoundException", "ResourceNotFoundException"):
                return None
            raise
    return str(answer["Status"]), int(answer["RequestedProvisionedConcurrentExecutions"])


def _has_policy(client: Any, function: str, qualifier: str | None) -> bool:
    from botocore.exceptions import ClientError

    request = {"FunctionName": function} | ({"Qualifier": qualifier} if qualifier else {})
    with cloud_errors(f"policy of {function}"):
        try:
            policy = client.get_policy(**request)["Policy"]
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return False
            raise
    return bool(json.loads(policy).get("Statement"))


def _smoke_once(client: Any, target: Target, wanted: Smoke) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.invoke(
            FunctionName=target.function, Qualifier=target.candidate, Payload=wanted.payload.encode()
        )
        payload = answer["Payload"].read()
    except (ClientError, BotoCoreError) as error:
        return " ".join(str(error).split())
    if "FunctionError" in answer:
        return f"{answer['FunctionError']} error: {_short(payload)}"
    try:
        document = json.loads(payload)
    except ValueError:
        return "the answer is not JSON"
    status = document.get("statusCode", 200) if isinstance(document, dict) else 200
    # The body may hold what a model said; it is not shown.
    return None if isinstance(status, int) and status < 400 else f"HTTP status {status}"


def _short(payload: bytes) -> str:
    try:
        document = json.loads(payload)
    except ValueError:
        return "no JSON"
    return str(document.get("errorType", "unknown")) if isinstance(document, dict) else "unknown"


def refusals(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Give the reasons not to start."""
    return tuple(finding.text for finding in findings if finding.severity == "refuse")
