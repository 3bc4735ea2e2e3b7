"""The weighted alias on AWS Lambda (or what stands in for it), with deadlines short enough for a rollback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from replay.aws import cloud_errors, error_code, make_client
from replay.canary.errors import ForeignChangeError
from replay.shift import AliasState, read_alias

CONNECT_TIMEOUT_S: Final = 1.0
READ_TIMEOUT_S: Final = 2.0
"""A rollback is held to 5 s from its decision, the journal's line before it included; so no call may take longer."""


def quick_client(
    service: str,
    *,
    region: str | None,
    endpoint_url: str | None,
    read_timeout_s: float = READ_TIMEOUT_S,
    attempts: int = 1,
) -> Any:
    """Make a boto3 client that answers or fails within a few seconds; the controller itself tries again."""
    return make_client(
        service,
        region=region,
        endpoint_url=endpoint_url,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        read_timeout_s=read_timeout_s,
        attempts=attempts,
    )


@dataclass(frozen=True)
class LambdaAlias:
    """See :class:`replay.canary.ports.LiveAlias`.

    Parameters
    ----------
    client
        A boto3 ``lambda`` client.
    function, alias
        Which alias.
    baseline, candidate
        Published versions.
    """

    client: Any
    function: str
    alias: str
    baseline: str
    candidate: str

    def read(self) -> AliasState:
        """Give where it points now."""
        return read_alias(self.client, self.function, self.alias)

    def set_weight(self, weight: float, revision_id: str) -> AliasState:
        """Send ``weight`` of the requests to the candidate, if nobody changed the alias since ``revision_id``."""
        if weight >= 1:
            return self._update(self.candidate, {}, revision_id)
        return self._update(self.baseline, {self.candidate: weight}, revision_id)

    def touch(self, revision_id: str) -> AliasState:
        """Write what is there already: it makes a new revision."""
        state = self.read()
        return self._update(state.version, state.additional, revision_id)

    def roll_back(self) -> AliasState:
        """Send everything to the baseline. No revision: whoever changed what, bad answers end now."""
        return self._update(self.baseline, {}, None)

    def _update(self, version: str, additional: Mapping[str, float], revision_id: str | None) -> AliasState:
        from botocore.exceptions import ClientError

        request: dict[str, Any] = {
            "FunctionName": self.function,
            "Name": self.alias,
            "FunctionVersion": version,
            "RoutingConfig": {"AdditionalVersionWeights": dict(additional)},
        }
        if revision_id is not None:
            request["RevisionId"] = revision_id
        with cloud_errors(f"alias {self.function}:{self.alias}: UpdateAlias"):
            try:
                answer = self.client.update_alias(**request)
            except ClientError as error:
                if error_code(error) == "PreconditionFailedException":
                    raise ForeignChangeError(
                        f"alias {self.function}:{self.alias}: somebody else changed it (revision {revision_id} is gone)"
                    ) from error
                raise
        routing = (answer.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return AliasState(
            str(answer["FunctionVersion"]),
            {str(name): float(weight) for name, weight in routing.items() if weight > 0},
            str(answer["RevisionId"]),
        )
