"""Which keys are good, and what the authorizer answers."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.authorizer.keys import PresentedKey, StoredKey, is_good, parse
from functions.common.aws_call import AwsCallError
from tests.functions.bedrock_server import FakeBedrock, Reply, refusal
from tests.functions.conftest import Context

ID, SECRET, FORMER = "AbCdEf123456", "s" * 43, "f" * 43
DIGEST, FORMER_DIGEST = (hashlib.sha256(text.encode()).hexdigest() for text in (SECRET, FORMER))
NOW_S = 1_000.0


@pytest.mark.parametrize("text", ["", "tc_", f"tc_{ID}", f"tc_{ID}_{SECRET}x", f"tc_{ID}_{SECRET[:-1]}", f"x{ID}"])
def test_what_does_not_look_like_a_key_is_none(text: str) -> None:
    assert parse(text) is None


@given(st.text())
def test_any_text_is_a_key_or_none(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("digest", "changes", "good"),
    [
        (DIGEST, {}, True),
        (DIGEST, {"expires_at": 1_001}, True),
        (DIGEST, {"expires_at": 1_000}, False),
        (DIGEST, {"revoked": True}, False),
        (FORMER_DIGEST, {}, False),
        (FORMER_DIGEST, {"former_digest": FORMER_DIGEST, "former_expires_at": 1_001}, True),
        (FORMER_DIGEST, {"former_digest": FORMER_DIGEST, "former_expires_at": 1_000}, False),
        (FORMER_DIGEST, {"former_digest": FORMER_DIGEST, "former_expires_at": 1_001, "revoked": True}, False),
        ("0" * 64, {}, False),
    ],
)
def test_a_key_is_good_while_its_secret_fits_in_time_and_is_not_revoked(
    digest: str, changes: dict[str, Any], good: bool
) -> None:
    stored = StoredKey(
        **{
            "tenant": "t",
            "digest": DIGEST,
            "expires_at": 0,
            "former_digest": "0" * 64,
            "former_expires_at": 0,
            "revoked": False,
            **changes,
        }
    )
    assert is_good(PresentedKey(ID, digest), stored, NOW_S) == good


@pytest.fixture
def authorizer(bedrock: FakeBedrock, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The function, against a table on loopback."""
    name = "functions.authorizer.handler"
    for variable, value in {
        "KEYS_TABLE": "keys",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(variable, value)
    sys.modules.pop(name, None)
    module = importlib.import_module(name)
    yield module
    module.DYNAMODB.close()
    sys.modules.pop(name, None)


def item(**changes: Any) -> Reply:
    return Reply(body={"Item": {"key_id": {"S": ID}, "tenant": {"S": "acme"}, "digest": {"S": DIGEST}, **changes}})


def test_a_good_key_opens_and_says_whose_it_is(
    authorizer: ModuleType, bedrock: FakeBedrock, capsys: pytest.CaptureFixture[str]
) -> None:
    bedrock.table_replies = [item()]
    answer = authorizer.handle({"headers": {"x-api-key": f"tc_{ID}_{SECRET}"}}, Context())
    assert answer == {"isAuthorized": True, "context": {"tenant": "acme", "key_id": ID}}
    line = capsys.readouterr().out
    assert json.loads(line)["outcome"] == "ok"
    assert SECRET not in line
    assert DIGEST not in line


def test_a_rate_of_the_key_is_handed_on(authorizer: ModuleType, bedrock: FakeBedrock) -> None:
    bedrock.table_replies = [item(rate_rps={"N": "2.5"}, burst={"N": "5"})]
    answer = authorizer.handle({"headers": {"x-api-key": f"tc_{ID}_{SECRET}"}}, Context())
    assert answer["context"] == {"tenant": "acme", "key_id": ID, "rate_rps": 2.5, "burst": 5}


@pytest.mark.parametrize(
    ("key", "reply", "outcome"),
    [
        (None, None, "malformed"),
        ("nonsense", None, "malformed"),
        (f"tc_{ID}_{SECRET}", Reply(body={}), "unknown"),
        (f"tc_{ID}_{FORMER}", item(), "refused"),
        (f"tc_{ID}_{SECRET}", item(revoked={"BOOL": True}), "refused"),
    ],
)
def test_all_others_are_told_the_same(
    authorizer: ModuleType,
    bedrock: FakeBedrock,
    capsys: pytest.CaptureFixture[str],
    key: str | None,
    reply: Reply | None,
    outcome: str,
) -> None:
    bedrock.table_replies = [] if reply is None else [reply]
    assert authorizer.handle({"headers": {} if key is None else {"x-api-key": key}}, Context()) == {
        "isAuthorized": False
    }
    assert json.loads(capsys.readouterr().out)["outcome"] == outcome


def test_a_door_that_cannot_see_does_not_open(authorizer: ModuleType, bedrock: FakeBedrock) -> None:
    bedrock.table_replies = [refusal(400, "ResourceNotFoundException", "no")]
    with pytest.raises(AwsCallError, match="ResourceNotFoundException"):
        authorizer.handle({"headers": {"x-api-key": f"tc_{ID}_{SECRET}"}}, Context())
