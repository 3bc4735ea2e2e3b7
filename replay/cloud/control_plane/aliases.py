"""What an alias may point at: Lambda's rules for weights (developer guide, "Implement Lambda canary deployments")."""

from __future__ import annotations

from typing import Any

from moto.awslambda.exceptions import InvalidParameterValueException


def additional_weights(routing_config: dict[str, Any] | None) -> dict[str, float]:
    """Give the additional versions of a ``RoutingConfig`` with their weights."""
    weights = (routing_config or {}).get("AdditionalVersionWeights") or {}
    return {str(version): float(weight) for version, weight in weights.items()}


def check_name(name: str) -> None:
    """Refuse a name that could be a version's. Raises InvalidParameterValueException."""
    if name.isdigit():
        raise InvalidParameterValueException(
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy "
            "regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"
        )


def check_routing(function_version: str, routing_config: dict[str, Any] | None, versions: set[str]) -> None:
    """Refuse a routing configuration that Lambda refuses.

    Raises
    ------
    InvalidParameterValueException
        More than one additional version, a weight outside 0..1, ``$LATEST``, the primary version again, or a version
        that does not exist.
    """
    weights = additional_weights(routing_config)
    if not weights:
        return
    if len(weights) > 1:
        raise InvalidParameterValueException(
            "Number of items in AdditionalVersionWeights cannot be greater than 1, the alias can only split between "
            "two versions"
        )
    version, weight = next(iter(weights.items()))
    if function_version == "$LATEST" or version == "$LATEST":
        raise InvalidParameterValueException("$LATEST is not supported for an alias pointing to more than 1 version")
    if not 0.0 <= weight <= 1.0:
        raise InvalidParameterValueException(
            f"1 validation error detected: Value '{{{version}={weight}}}' at "
            "'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: "
            "[Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0]"
        )
    if version == function_version:
        raise InvalidParameterValueException(
            f"Invalid function version {version}. Function version {version} is already included in routing "
            "configuration."
        )
    if version not in versions:
        raise InvalidParameterValueException(f"Function version does not exist: {version}")
