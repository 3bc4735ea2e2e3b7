"""Policies belong to the qualifier they were made for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replay.cloud import LocalCloud
from tests.replay.cloud.support import deploy


@pytest.fixture
def client(cloud: LocalCloud) -> Any:
    return cloud.client("lambda")


@pytest.fixture
def function(cloud: LocalCloud, client: Any) -> str:
    name = deploy(cloud)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return name


def add(client: Any, function: str, **options: Any) -> Any:
    return client.add_permission(
        **{
            "FunctionName": function,
            "StatementId": "gateway",
            "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
            **options,
        }
    )


def statements(client: Any, function: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(client.get_policy(FunctionName=function, **options)["Policy"])["Statement"]
    return found


def test_a_statement_names_the_qualified_function(client: Any, function: str) -> None:
    add(client, function, Qualifier="live", SourceArn="arn:aws:execute-api:us-east-1:123456789012:x/*")

    (statement,) = statements(client, function, Qualifier="live")

    assert statement["Resource"].endswith(f":function:{function}:live")
    assert statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
    assert statement["Condition"]["ArnLike"]["AWS:SourceArn"].endswith(":x/*")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_policy(FunctionName=function)


def test_the_same_statement_id_may_stand_on_two_qualifiers_but_not_twice_on_one(client: Any, function: str) -> None:
    add(client, function, Qualifier="live")
    add(client, function, Qualifier="1")
    add(client, function)

    with pytest.raises(client.exceptions.ResourceConflictException):
        add(client, function, Qualifier="live")
    assert statements(client, function)[0]["Resource"].endswith(f":function:{function}")


def test_a_removed_statement_leaves_the_others(client: Any, function: str) -> None:
    add(client, function, Qualifier="live")
    add(client, function, Qualifier="1")

    client.remove_permission(FunctionName=function, StatementId="gateway", Qualifier="live")

    assert statements(client, function, Qualifier="1")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_policy(FunctionName=function, Qualifier="live")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.remove_permission(FunctionName=function, StatementId="gateway", Qualifier="live")


def test_a_permission_changes_the_alias_revision_and_honours_it(client: Any, function: str) -> None:
    before = client.get_alias(FunctionName=function, Name="live")["RevisionId"]
    add(client, function, Qualifier="live", RevisionId=before)
    after = client.get_alias(FunctionName=function, Name="live")["RevisionId"]

    assert after != before
    assert client.get_policy(FunctionName=function, Qualifier="live")["RevisionId"] == after
    with pytest.raises(ClientError) as caught:
        add(client, function, Qualifier="live", StatementId="other", RevisionId=before)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    with pytest.raises(ClientError) as caught:
        client.remove_permission(FunctionName=function, StatementId="gateway", Qualifier="live", RevisionId=before)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412


def test_a_policy_goes_with_its_alias(client: Any, function: str) -> None:
    add(client, function, Qualifier="live")
    client.delete_alias(FunctionName=function, Name="live")
    client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")

    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_policy(FunctionName=function, Qualifier="live")


def test_an_unknown_qualifier_is_not_found(client: Any, function: str) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        add(client, function, Qualifier="nowhere")
