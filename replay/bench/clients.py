"""How AWS, or what stands in for it, is reached: boto3 clients with deadlines and without retries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from replay.errors import InputError

RENEW: Final = "; renew the credentials"


@dataclass(frozen=True)
class Endpoint:
    """Where and how to call. Credentials are those of the ordinary chain."""

    endpoint_url: str | None = None
    """None: AWS's own address for each service, or ``AWS_ENDPOINT_URL``."""
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    api_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a deployed API wants to be sent, such as ``x-api-key``; written nowhere."""

    errors: ClassVar[tuple[type[Exception], ...]] = (BotoCoreError, ClientError)
    """What a call raises when it fails."""

    def client(self, service: str, region: str) -> Any:
        """Make a client. Retries are off: a benchmark counts attempts, it does not hide them.

        Raises
        ------
        InputError
            The endpoint or the region is none.
        """
        config = Config(
            connect_timeout=self.connect_timeout_s,
            read_timeout=self.read_timeout_s,
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Never compress or checksum more than the service asks for: it would be measured as latency.
            request_checksum_calculation="when_required",
        )
        try:
            # A session of its own: the default one keeps the credentials of its first use for the process's life.
            # boto3's stubs have a literal for every service; ours is a parameter.
            return boto3.session.Session().client(  # type: ignore[call-overload]  # stubs know literal names
                service, region_name=region, endpoint_url=self.endpoint_url, config=config
            )
        except (BotoCoreError, ValueError) as error:
            raise InputError(f"{service}: {error}; give another region or endpoint") from error

    @staticmethod
    def is_expired(error: str | None) -> bool:
        """Whether an explained error says that the credentials hold no longer: nothing after it can succeed."""
        return error is not None and error.endswith(RENEW)

    @staticmethod
    def explain(error: Exception) -> str:
        """Say in a few words why a call failed, and what to do where that is known."""
        if isinstance(error, NoCredentialsError):
            return "no AWS credentials found; set AWS_PROFILE, or run `aws sso login`"
        if isinstance(error, ClientError):
            found = error.response.get("Error", {})
            code, message = found.get("Code", "unknown"), found.get("Message", "")
            hint = RENEW if code.startswith("ExpiredToken") else ""
            return f"{code}: {' '.join(str(message).split())}{hint}"
        return " ".join(str(error).split()) or type(error).__name__
