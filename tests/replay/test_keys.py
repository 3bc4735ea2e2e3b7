"""API keys in their table: what is shown is what is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from functions.authorizer.keys import from_item, is_good, parse
from replay import keys
from replay.cli import main
from replay.errors import CloudError, InputError

TABLE = "keys"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from moto import mock_aws

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "key_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


def opens(client: Any, made: keys.NewKey) -> bool:
    """Say whether the authorizer lets a key in."""
    presented = parse(made.key)
    assert presented is not None
    item = client.get_item(TableName=TABLE, Key={"key_id": {"S": made.key_id}})["Item"]
    return is_good(presented, from_item(item), time.time())


class LosesAnswers:
    """A client whose first answer to each write is lost, so that the SDK sends it again."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        def twice(**request: Any) -> Any:
            getattr(self._client, name)(**request)
            return getattr(self._client, name)(**request)

        return twice if name in ("put_item", "update_item") else getattr(self._client, name)


def test_a_key_whose_first_answer_was_lost_is_given_out(table: Any) -> None:
    made = keys.create(LosesAnswers(table), TABLE, "acme")
    assert opens(table, made)
    rotated = keys.rotate(LosesAnswers(table), TABLE, made.key_id, grace_s=0)
    assert opens(table, rotated)
    assert not opens(table, made)


def test_a_key_that_somebody_else_rotates_is_not_given_out(table: Any) -> None:
    made = keys.create(table, TABLE, "acme")

    class Overtaken(LosesAnswers):
        def update_item(self, **request: Any) -> Any:
            keys.rotate(self._client, TABLE, made.key_id, grace_s=0)
            return self._client.update_item(**request)

    with pytest.raises(CloudError, match=f"key {made.key_id} cannot be rotated: ConditionalCheckFailedException"):
        keys.rotate(Overtaken(table), TABLE, made.key_id, grace_s=0)


@pytest.mark.parametrize(
    ("update", "why"), [("SET expires_at = :past", "has expired"), ("SET revoked = :yes", "is revoked")]
)
def test_a_key_that_no_secret_opens_is_not_rotated(table: Any, update: str, why: str) -> None:
    made = keys.create(table, TABLE, "acme", valid_s=60)
    values = {":past": {"N": str(int(time.time()) - 1)}, ":yes": {"BOOL": True}}
    table.update_item(
        TableName=TABLE,
        Key={"key_id": {"S": made.key_id}},
        UpdateExpression=update,
        ExpressionAttributeValues={name: value for name, value in values.items() if name in update},
    )
    with pytest.raises(InputError, match=f"key {made.key_id} {why}"):
        keys.rotate(table, TABLE, made.key_id, grace_s=0)


@pytest.mark.usefixtures("table")
def test_keys_with_any_days_that_are_taken_can_be_listed() -> None:
    options = ["--table", TABLE, "--region", "us-east-1"]
    too_long = CliRunner().invoke(main, ["key", "create", "acme", "--days", "9999999", *options])
    assert too_long.exit_code == 2
    assert "--days" in too_long.stderr
    made = CliRunner().invoke(main, ["key", "create", "acme", "--days", "36500", *options])
    assert made.exit_code == 0, made.output
    listed = CliRunner().invoke(main, ["key", "list", *options])
    assert listed.exit_code == 0, listed.output
    assert listed.stdout.count("\n") == 1


@pytest.mark.parametrize("valid_s", [0, -1, 9_999_999 * 86_400])
def test_a_key_cannot_be_valid_for_no_time_or_for_ages(table: Any, valid_s: int) -> None:
    with pytest.raises(InputError, match=f"valid_s={valid_s} must be above 0 and at most"):
        keys.create(table, TABLE, "acme", valid_s=valid_s)
