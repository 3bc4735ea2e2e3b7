"""Our signatures are botocore's."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from functions.common.credentials import Credentials
from functions.common.signature import Signer

NOW = datetime(2026, 11, 25, 10, 15, 0, tzinfo=UTC)
TIME = "20261125T101500Z"


def by_botocore(path: str, headers: dict[str, str], body: bytes, token: str, service: str) -> str:
    request = AWSRequest("POST", f"https://example.amazonaws.com{path}", headers=headers, data=body)
    request.context["timestamp"] = TIME
    signer = botocore.auth.SigV4Auth(BotoCredentials("key", "secret", token or None), service, "eu-west-1")
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


MODELS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=40)


@given(
    model=MODELS.filter(lambda name: name not in (".", "..")),  # which are steps in a path, and no model
    body=st.binary(max_size=80),
    token=st.sampled_from(["", "token/+="]),
    service=st.sampled_from(["bedrock", "dynamodb"]),
    accept=st.sampled_from(["application/json", " two  spaces  inside "]),
)
def test_they_agree(model: str, body: bytes, token: str, service: str, accept: str) -> None:
    path = f"/model/{quote(model, safe='')}/converse"
    headers = {"host": "example.amazonaws.com", "content-type": "application/json", "accept": accept}
    signed = Signer(lambda: Credentials("key", "secret", token), "eu-west-1", service).sign(
        "POST", path, headers, body, TIME
    )
    theirs = by_botocore(path, headers, body, token, service)
    assert signed["authorization"] == theirs
    assert signed.get("x-amz-security-token", "") == token


def test_the_key_changes_with_the_day() -> None:
    signer = Signer(lambda: Credentials("key", "secret", ""), "eu-west-1", "bedrock")
    first, second, again = (
        signer.sign("POST", "/", {"host": "h"}, b"", time)["authorization"] for time in (TIME, "20261126T101500Z", TIME)
    )
    assert first == again != second
