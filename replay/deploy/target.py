"""The cloud that is deployed to: AWS, or a local one at an address."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from replay.aws import make_client
from replay.errors import CloudError, InputError

LIVE: Final = "live"
CONNECT_TIMEOUT_S: Final = 5.0
_READ_TIMEOUT_S: Final = 30.0
_ATTEMPTS: Final = 3
_FOREIGN: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
"""Variables of a real account's credentials, which have no meaning to a local cloud."""


@dataclass(frozen=True)
class Target:
    """Where a deployment goes."""

    endpoint_url: str | None

    @property
    def name(self) -> str:
        """Name it as the pins file does."""
        return self.endpoint_url or "AWS"

    def environment(self) -> Mapping[str, str | None]:
        """Give the variables that Terraform needs: none for AWS, whose credential chain is the user's business."""
        if self.endpoint_url is None:
            return {}
        from replay.cloud.launcher import environment

        # The provider's region is a variable of terraform/; this one is only what the SDK asks for to start.
        return {**environment(self.endpoint_url, "us-east-1"), **dict.fromkeys(_FOREIGN)}

    def check(self) -> None:
        """Connect to a local cloud, so that a wrong address is an error at once: the provider would ask nine times.

        Raises
        ------
        InputError
            The address is not one.
        CloudError
            Nothing answers there.
        """
        if self.endpoint_url is None:
            return
        try:
            parts = urlsplit(self.endpoint_url)
            scheme, host = parts.scheme, parts.hostname
            port = parts.port or (443 if scheme == "https" else 80)
        except ValueError:  # a port that is no number
            scheme, host, port = "", None, 0
        if host is None or scheme not in ("http", "https"):
            raise InputError(f"endpoint {self.endpoint_url!r} is not an address such as http://127.0.0.1:5000")
        try:
            socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
        except OSError as error:
            reason = error.strerror or error
            raise CloudError(
                f"endpoint {self.endpoint_url}: nothing answers there ({reason}); is the local cloud up?"
            ) from None

    def routed_versions(self, function_name: str, region: str) -> set[str] | None:
        """Give the versions that ``live`` routes to; None where the function or the alias is gone.

        Raises
        ------
        CloudError
            The cloud does not answer, or refuses.
        """
        try:
            alias = self.client("lambda", region).get_alias(FunctionName=function_name, Name=LIVE)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise CloudError(f"cannot read alias live of {function_name}: {error}") from None
        except BotoCoreError as error:
            raise CloudError(f"cannot read alias live of {function_name} at {self.name}: {error}") from None
        additional = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        weights = {version: float(weight) for version, weight in additional.items()}
        routed = {version for version, weight in weights.items() if weight > 0}
        if sum(weights.values()) < 1:
            routed.add(str(alias["FunctionVersion"]))
        return routed

    def provisioned_versions(self, function_name: str, region: str) -> dict[str, int]:
        """Give version → provisioned concurrency as asked for now, by Terraform or by autoscaling.

        Raises
        ------
        CloudError
            The cloud does not answer, or refuses.
        """
        found: dict[str, int] = {}
        client = self.client("lambda", region)
        try:
            for page in client.get_paginator("list_provisioned_concurrency_configs").paginate(
                FunctionName=function_name
            ):
                for config in page["ProvisionedConcurrencyConfigs"]:
                    version = str(config["FunctionArn"]).rpartition(":")[2]
                    found[version] = int(config["RequestedProvisionedConcurrentExecutions"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise CloudError(f"cannot read provisioned concurrency of {function_name}: {error}") from None
        except BotoCoreError as error:
            raise CloudError(f"cannot read provisioned concurrency of {function_name}: {error}") from None
        return found

    def client(self, service: Literal["lambda", "s3"], region: str) -> Any:
        """Make a boto3 client with short time-outs.

        Raises
        ------
        InputError
            The AWS configuration has no such profile, or the region or the endpoint is none.
        """
        return make_client(
            service,
            region=region,
            endpoint_url=self.endpoint_url,
            read_timeout_s=_READ_TIMEOUT_S,
            attempts=_ATTEMPTS,
            static_keys=None if self.endpoint_url is None else ("local", "local"),
        )
