"""Signing requests for Lambda as the SDK does, without a client of the SDK in the way of the load."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from replay.aws import cloud_errors
from replay.errors import InputError

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

_FRESH_S: Final = 60.0


@dataclass
class Signer:
    """Credentials that stay fresh, and what they sign.

    Parameters
    ----------
    label
        What is signed for, in messages.
    region
        None for the ordinary configuration (environment, profile).
    static_keys
        Access key and secret, for a cloud that takes any; None for the ordinary credential chain.
    """

    label: str
    region: str | None = None
    static_keys: tuple[str, str] | None = field(default=None, repr=False)
    _credentials: Credentials | None = field(default=None, init=False, repr=False)
    _frozen: ReadOnlyCredentials | None = field(default=None, init=False, repr=False)
    _refresher: asyncio.Task[None] | None = field(default=None, init=False, repr=False)
    _region: str = field(default="", init=False, repr=False)

    async def open(self) -> None:
        """Find region and credentials the way the SDK does, in a thread: it reads files and may ask IMDS.

        Raises
        ------
        InputError
            No region or no credentials are configured.
        CloudError
            Credentials are configured, and cannot be had: an expired sign-in, a role that is refused.
        """
        await asyncio.to_thread(self._configure)
        self._refresher = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """Let the credentials be."""
        if self._refresher is not None:
            self._refresher.cancel()
            with suppress(asyncio.CancelledError):
                await self._refresher
            self._refresher = None

    def sign(self, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """Give the headers of a POST with its signature among them."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        if self._frozen is None:
            raise RuntimeError("the signer is not open; call open() first")
        request = AWSRequest("POST", url, headers=headers, data=body)
        SigV4Auth(self._frozen, "lambda", self._region).add_auth(request)
        return dict(request.headers.items())

    def _configure(self) -> None:
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            key, secret = self.static_keys or (None, None)
            session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=self.region)
        except (BotoCoreError, ValueError) as error:
            raise InputError(f"{self.label}: {error}; set AWS_DEFAULT_REGION or pass --region") from error
        if not session.region_name:
            raise InputError(f"{self.label}: You must specify a region.; set AWS_DEFAULT_REGION or pass --region")
        with cloud_errors(f"{self.label}: no AWS credentials to be had"):
            self._credentials = session.get_credentials()
            if self._credentials is None:
                raise InputError(f"{self.label}: no AWS credentials found; set them up as for the AWS CLI")
            self._frozen = self._credentials.get_frozen_credentials()
        self._region = session.region_name

    async def _keep_fresh(self) -> None:
        """Renew short-lived credentials aside: a renewal is a network call, and must not hold up the load."""
        while self._credentials is not None:
            await asyncio.sleep(_FRESH_S)
            # A failed renewal leaves the old credentials; when those end, the requests say so.
            with suppress(Exception):
                self._frozen = await asyncio.to_thread(self._credentials.get_frozen_credentials)
