"""Provisioned concurrency: the four actions that moto lacks, and their rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from moto.awslambda.exceptions import InvalidParameterValueException, LambdaClientError

from replay.cloud.control_plane.aliases import additional_weights
from replay.cloud.lambda_plane.invocation import ProvisionedStatus, ProvisioningRefusedError

HAS_WEIGHTS = "Alias with weights can not be used with Provisioned Concurrency"
HAS_PROVISIONED = "Alias with Provisioned Concurrency can not be used with weights"


class ProvisionedPlane(Protocol):
    """The part of the data plane that keeps environments ready; any thread may call it."""

    def provision(self, function: str, version: str, count: int) -> None:
        """Keep ``count`` environments of a version ready."""
        ...

    def provisioned(self, function: str, version: str) -> ProvisionedStatus | None:
        """Say how many are ready."""
        ...


class NotConfiguredError(LambdaClientError):
    """404: nothing is provisioned there."""

    code = 404

    def __init__(self) -> None:
        super().__init__(
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
        )


class ProvisionedConfigs:
    """The provisioned-concurrency configurations of one backend.

    A configuration belongs to a qualifier. What is kept ready are environments of the version it points at.
    """

    def __init__(self, plane: ProvisionedPlane) -> None:
        self._plane = plane
        self._configs: dict[tuple[str, str], tuple[str, int, str]] = {}
        """(function, qualifier) → (version, count, last modified)."""

    def put(self, function: str, qualifier: str, version: str, weights: dict[str, float], count: int) -> dict[str, Any]:
        """Configure ``count`` environments for a qualifier that points at ``version``."""
        if version == "$LATEST":
            raise InvalidParameterValueException(
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            )
        if weights:
            raise InvalidParameterValueException(HAS_WEIGHTS)
        if count < 1:
            raise InvalidParameterValueException(
                f"1 validation error detected: Value '{count}' at 'provisionedConcurrentExecutions' failed to satisfy "
                "constraint: Member must have value greater than or equal to 1"
            )
        other = next(
            (q for (f, q), (v, _, _) in self._configs.items() if f == function and v == version and q != qualifier),
            None,
        )
        if other is not None:
            kind = "Function version" if other == version else "Alias"
            raise InvalidParameterValueException(
                f"{kind} {other} that points to version {version} already has Provisioned Concurrency"
            )
        previous = self._configs.get((function, qualifier))
        try:
            self._plane.provision(function, version, count)
        except ProvisioningRefusedError as error:
            raise InvalidParameterValueException(str(error)) from error
        if previous is not None and previous[0] != version:
            self._plane.provision(function, previous[0], 0)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        self._configs[function, qualifier] = (version, count, now)
        return self.get(function, qualifier)

    def get(self, function: str, qualifier: str) -> dict[str, Any]:
        """Describe a qualifier's configuration. Raises NotConfiguredError."""
        config = self._configs.get((function, qualifier))
        if config is None:
            raise NotConfiguredError
        version, count, modified = config
        status = self._plane.provisioned(function, version) or ProvisionedStatus(count, 0, 0, "IN_PROGRESS")
        document: dict[str, Any] = {
            "RequestedProvisionedConcurrentExecutions": count,
            "AvailableProvisionedConcurrentExecutions": status.available,
            "AllocatedProvisionedConcurrentExecutions": status.allocated,
            "Status": status.status,
            "LastModified": modified,
        }
        if status.reason:
            document["StatusReason"] = status.reason
        return document

    def list_of(self, function: str, function_arn: str) -> list[dict[str, Any]]:
        """Describe every configuration of a function."""
        return [
            {"FunctionArn": f"{function_arn}:{qualifier}", **self.get(function, qualifier)}
            for name, qualifier in list(self._configs)
            if name == function
        ]

    def delete(self, function: str, qualifier: str) -> None:
        """Take a qualifier's environments away. Raises NotConfiguredError."""
        config = self._configs.pop((function, qualifier), None)
        if config is None:
            raise NotConfiguredError
        self._plane.provision(function, config[0], 0)

    def forget(self, function: str, qualifier: str | None = None) -> None:
        """Drop what is configured for a deleted function, version or alias."""
        for name, known in list(self._configs):
            if name == function and (qualifier is None or known == qualifier):
                self.delete(name, known)

    def check_alias_change(self, function: str, alias: str, routing_config: dict[str, Any] | None) -> None:
        """Refuse weights on an alias that has provisioned concurrency."""
        if (function, alias) in self._configs and additional_weights(routing_config):
            raise InvalidParameterValueException(HAS_PROVISIONED)

    def alias_moved(self, function: str, alias: str, version: str) -> None:
        """Follow an alias to the version that it points at now."""
        config = self._configs.get((function, alias))
        if config is not None and config[0] != version:
            self.put(function, alias, version, {}, config[1])
