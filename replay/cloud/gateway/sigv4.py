"""Who signed a request: Signature Version 4, checked by signing it again with the key that it names.

Sources: IAM user guide, "Create a signed AWS API request"; botocore's own signer does the signing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.iam.access_control import CreateAccessKeyFailure, create_access_key
from moto.iam.models import Policy

from replay.cloud.config import ACCESS_KEY_ID, SECRET_ACCESS_KEY

MAX_SKEW_S: Final = 300.0
"""How far a signature's time may lie from ours."""
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_FIELDS: Final = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_TOKEN: Final = "x-amz-security-token"  # noqa: S105  (a header's name)


class UnsignedError(Exception):
    """The request is not signed, or wrongly; ``str()`` is for the caller."""


@dataclass(frozen=True)
class Caller:
    """Who signed."""

    access_key_id: str
    arn: str
    account: str
    statements: Sequence[Mapping[str, Any]] | None
    """Of the identity's policies; None for the account's root, who needs none."""


def verify(
    method: str, raw_path: str, headers: Mapping[str, str], body: bytes, *, region: str, account: str, now_s: float
) -> Caller:
    """Give who signed a request for Lambda.

    Parameters
    ----------
    method, raw_path, headers, body
        As they came; ``raw_path`` with the query, still percent-encoded. Header names in any case.
    region, account
        Of this cloud.
    now_s
        Epoch seconds.

    Raises
    ------
    UnsignedError
        There is no signature, or it does not hold.
    """
    given = {name.lower(): value for name, value in headers.items()}
    authorization = given.get("authorization", "")
    if not authorization.startswith(_ALGORITHM):
        raise UnsignedError("Forbidden")
    fields = dict(_FIELDS.findall(authorization))
    scope = fields.get("Credential", "").split("/")
    stamp = given.get("x-amz-date", "")
    if len(fields) != 3 or len(scope) != 5:
        raise UnsignedError("Forbidden")
    key_id, date, signed_region, service, ending = scope
    signed = fields["SignedHeaders"].lower().split(";")
    if (signed_region, service, ending) != (region, "lambda", "aws4_request"):
        raise UnsignedError(f"Credential should be scoped to a valid region and service: {region}/lambda/aws4_request.")
    _check_time(stamp, date, now_s)
    if "host" not in signed or any(name not in given for name in signed):
        raise UnsignedError("Forbidden")
    credentials, caller = _known(key_id, given.get(_TOKEN), account)
    digest = given.get("x-amz-content-sha256")
    if digest is not None and not hmac.compare_digest(digest, hashlib.sha256(body).hexdigest()):
        raise UnsignedError("The body is not the one that was signed (x-amz-content-sha256).")
    request = AWSRequest(
        method=method,
        url=f"http://{given['host']}{raw_path}",
        headers={name: given[name] for name in signed},
        data=body,
    )
    if digest is not None:
        request.headers["X-Amz-Content-SHA256"] = digest
    request.context["timestamp"] = stamp
    # A header that was not signed is not part of what is signed again.
    auth = SigV4Auth(Credentials(credentials.access_key, credentials.secret_key), "lambda", region)
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    if not hmac.compare_digest(signature, fields["Signature"]):
        raise UnsignedError(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method."
        )
    return caller


def _check_time(stamp: str, date: str, now_s: float) -> None:
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise UnsignedError("Forbidden") from None
    if not stamp.startswith(date) or abs(signed_at.timestamp() - now_s) > MAX_SKEW_S:
        raise UnsignedError(f"Signature expired: {stamp} is more than {MAX_SKEW_S:.0f} s from now.")


def _known(key_id: str, token: str | None, account: str) -> tuple[Credentials, Caller]:
    """Find a key's secret and its owner: the account's root, an IAM user, or a role that was assumed."""
    if key_id == ACCESS_KEY_ID:
        root = Caller(key_id, f"arn:aws:iam::{account}:root", account, None)
        return Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY), root
    headers = {} if token is None else {"X-Amz-Security-Token": token}
    try:
        key = create_access_key(account, "aws", key_id, headers)
    except CreateAccessKeyFailure:
        raise UnsignedError("The security token included in the request is invalid.") from None
    statements = [statement for policy in key.collect_policies() for statement in _statements(policy)]
    return key.create_credentials(), Caller(key_id, key.arn, account, statements)


def _statements(policy: Any) -> list[Mapping[str, Any]]:
    """Read a policy in any of the forms that moto keeps."""
    if isinstance(policy, Policy):
        policy = next(version.document for version in policy.versions if version.is_default)
    elif isinstance(policy, Mapping):
        policy = policy["policy_document"]
    document = json.loads(policy) if isinstance(policy, str) else policy
    found = document.get("Statement", [])
    return [found] if isinstance(found, Mapping) else list(found)
