"""Moving the weights of an alias: one UpdateAlias that nobody else's change can slip under, read back.

An alias points at one version and sends a share of its requests to a second one. At weight 0 it points at the old
version, at weight 1 at the new one, both without routing, so that the end of a rollout leaves a plain alias.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from replay.aws import cloud_errors, error_code
from replay.errors import CloudError, InputError

_PERCENT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_VERSION: Final = re.compile(r"\d+")
_READ_BACK_EVERY_S: Final = 0.2


@dataclass(frozen=True)
class AliasState:
    """Where an alias points."""

    version: str
    additional: Mapping[str, float]
    """Version → weight; at most one."""
    revision_id: str

    @property
    def weights(self) -> dict[str, float]:
        """Version → share of the requests; they sum to 1."""
        return {self.version: 1.0 - math.fsum(self.additional.values()), **self.additional}


@dataclass(frozen=True)
class Shift:
    """One change of weights, as it was read back."""

    function: str
    alias: str
    from_version: str
    to_version: str
    weight: float
    """Share of the requests that ``to_version`` now gets."""
    before: AliasState
    after: AliasState
    at: datetime
    """When the new weights had been read back (UTC)."""

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON types."""
        return {**asdict(self), "at": self.at.isoformat()}


def parse_weight(text: str) -> float:
    """Read a weight: ``10%``, or a share such as ``0.1``.

    Raises
    ------
    InputError
        Text that is neither, or a weight outside 0 to 100 %.
    """
    percent = _PERCENT.fullmatch(text)
    try:
        weight = float(percent[1]) / 100.0 if percent else float(text)
    except ValueError:
        raise InputError(f"weight {text!r} cannot be read; write 10% or 0.1") from None
    return check_weight(weight, text)


def check_weight(weight: float, written: str | None = None) -> float:
    """Give ``weight`` back if it lies in [0, 1].

    Raises
    ------
    InputError
        It does not.
    """
    if not 0.0 <= weight <= 1.0:
        shown = repr(weight) if written is None else repr(written)
        raise InputError(f"weight {shown} is outside 0 to 1 (0% to 100%); write 10% or 0.1")
    return weight


def read_alias(client: Any, function: str, alias: str) -> AliasState:
    """Read where ``alias`` points.

    Raises
    ------
    InputError
        No such function or alias; the message lists the aliases that exist.
    CloudError
        Lambda refused or did not answer.
    """
    from botocore.exceptions import ClientError

    with cloud_errors(f"alias {function}:{alias}: cannot be read"):
        try:
            answer = client.get_alias(FunctionName=function, Name=alias)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                raise InputError(_unknown_alias(client, function, alias)) from error
            raise
    return _state(answer)


def shift(
    client: Any,
    function: str,
    *,
    to_version: str,
    weight: float,
    from_version: str,
    alias: str = "live",
    deadline_s: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Shift:
    """Give ``to_version`` the share ``weight`` of the alias's requests, and ``from_version`` the rest.

    Parameters
    ----------
    client
        A boto3 ``lambda`` client.
    function, alias
        Whose weights.
    to_version, from_version
        Published versions, or the names of aliases that stand for one (``optimized``, ``baseline``).
    weight
        0 to 1.
    deadline_s
        How long the new weights may take to be read back.
    clock, sleep
        For tests.

    Raises
    ------
    InputError
        A weight outside [0, 1], an unknown function, alias or version, ``$LATEST``, or twice the same version.
    CloudError
        The alias changed between reading and writing, the call was refused, or the weights were not read back in time.
    """
    check_weight(weight)
    before = read_alias(client, function, alias)
    new = resolve_version(client, function, to_version)
    old = resolve_version(client, function, from_version)
    if old == new:
        raise InputError(
            f"alias {function}:{alias}: {from_version} and {to_version} are both version {new}; nothing to shift"
        )
    main, additional = (new, {}) if weight == 1.0 else (old, {new: weight} if weight > 0.0 else {})
    if not _is_at(before, main, additional):
        _update(client, function, alias, main, additional, before.revision_id)
    after = _read_back(client, function, alias, main, additional, deadline_s, clock, sleep)
    return Shift(function, alias, old, new, weight, before, after, datetime.now(UTC))


def resolve_version(client: Any, function: str, name: str) -> str:
    """Give the version that ``name`` stands for: a published version itself, or an alias that points at one.

    Raises
    ------
    InputError
        ``$LATEST``, an unknown version or alias, or an alias that is itself weighted.
    CloudError
        Lambda refused or did not answer.
    """
    from botocore.exceptions import ClientError

    if name == "$LATEST":
        raise InputError(f"function {function}: an alias cannot weigh $LATEST; publish a version first")
    if not _VERSION.fullmatch(name):
        state = read_alias(client, function, name)
        if state.additional:
            raise InputError(f"alias {function}:{name} is weighted itself ({_written(state)}); name a version")
        return state.version
    with cloud_errors(f"function {function}, version {name}: cannot be looked up"):
        try:
            client.get_function_configuration(FunctionName=function, Qualifier=name)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                raise InputError(
                    f"function {function} has no version {name}; list them: aws lambda list-versions-by-function"
                ) from error
            raise
    return name


def _update(
    client: Any, function: str, alias: str, main: str, additional: Mapping[str, float], revision_id: str
) -> None:
    from botocore.exceptions import ClientError

    with cloud_errors(f"alias {function}:{alias}: the weights were refused"):
        try:
            client.update_alias(
                FunctionName=function,
                Name=alias,
                FunctionVersion=main,
                RoutingConfig={"AdditionalVersionWeights": dict(additional)},
                RevisionId=revision_id,
            )
        except ClientError as error:
            if error_code(error) == "PreconditionFailedException":
                # The SDK tries again where an answer was lost; then the change of the try before is what came between.
                if _is_at(read_alias(client, function, alias), main, additional):
                    return
                raise CloudError(
                    f"alias {function}:{alias}: somebody else changed it meanwhile (revision {revision_id} is gone); "
                    "look at it, then shift again"
                ) from error
            raise


def _read_back(
    client: Any,
    function: str,
    alias: str,
    main: str,
    additional: Mapping[str, float],
    deadline_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> AliasState:
    until = clock() + deadline_s
    while True:
        state = read_alias(client, function, alias)
        if _is_at(state, main, additional):
            return state
        if clock() >= until:
            raise CloudError(
                f"alias {function}:{alias}: still at {_written(state)} after {deadline_s:g} s; "
                "look for another controller, then shift again"
            )
        sleep(_READ_BACK_EVERY_S)


def _is_at(state: AliasState, main: str, additional: Mapping[str, float]) -> bool:
    return (
        state.version == main
        and state.additional.keys() == additional.keys()
        and all(math.isclose(state.additional[name], weight) for name, weight in additional.items())
    )


def _state(answer: Mapping[str, Any]) -> AliasState:
    routing = answer.get("RoutingConfig") or {}
    weights = {
        str(version): float(weight) for version, weight in (routing.get("AdditionalVersionWeights") or {}).items()
    }
    # A weight of 0 is allowed by the API and means no routing.
    return AliasState(
        version=str(answer["FunctionVersion"]),
        additional={version: weight for version, weight in weights.items() if weight > 0.0},
        revision_id=str(answer["RevisionId"]),
    )


def _written(state: AliasState) -> str:
    return ", ".join(f"version {version} {share:.0%}" for version, share in state.weights.items())


def _unknown_alias(client: Any, function: str, alias: str) -> str:
    from botocore.exceptions import ClientError

    try:
        known = sorted(str(one["Name"]) for one in client.list_aliases(FunctionName=function)["Aliases"])
    except ClientError:
        return f"function {function!r} does not exist here; check name, region and account"
    if not known:
        return f"function {function!r} has no alias {alias!r}, nor any other; check the function's name, then deploy it"
    return f"function {function!r} has no alias {alias!r}; it has {', '.join(known)}"
