"""Provisioned concurrency through boto3: its rules, and that it is ready when it says so."""

from __future__ import annotations

from typing import Any

import pytest

from replay.cloud import LocalCloud
from tests.replay.cloud.support import change, deploy, eventually

WHAT_STARTED_ME = """
    import os

    def handler(event, context):
        return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""


@pytest.fixture
def client(cloud: LocalCloud) -> Any:
    return cloud.client("lambda")


@pytest.fixture
def function(cloud: LocalCloud, client: Any) -> Any:
    """A function with the versions 1 and 2 and the alias ``live`` on 1."""
    name = deploy(cloud, WHAT_STARTED_ME)
    change(cloud, name, "two")
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield name
    client.delete_function(FunctionName=name)


def put(client: Any, function: str, qualifier: str, count: int = 1) -> dict[str, Any]:
    answer: dict[str, Any] = client.put_provisioned_concurrency_config(
        FunctionName=function, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )
    return answer


def ready(client: Any, function: str, qualifier: str) -> dict[str, Any]:
    def settled() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier=qualifier)
        return None if found["Status"] == "IN_PROGRESS" else found

    answer: dict[str, Any] = eventually(settled)
    return answer


def test_what_is_ready_serves_without_a_cold_start(client: Any, function: str) -> None:
    first = put(client, function, "1", 2)
    assert first["RequestedProvisionedConcurrentExecutions"] == 2
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 202

    found = ready(client, function, "1")

    assert (found["Status"], found["AllocatedProvisionedConcurrentExecutions"]) == ("READY", 2)
    assert found["AvailableProvisionedConcurrentExecutions"] == 2
    for qualifier in ("1", "live"):
        answer = client.invoke(FunctionName=function, Qualifier=qualifier, Payload=b"{}")
        assert answer["Payload"].read() == b'"provisioned-concurrency"'
    assert client.invoke(FunctionName=function, Qualifier="2", Payload=b"{}")["Payload"].read() == b'"on-demand"'


def test_configurations_are_listed_and_deleted(client: Any, function: str) -> None:
    put(client, function, "1")
    put(client, function, "2")
    listed = client.list_provisioned_concurrency_configs(FunctionName=function)["ProvisionedConcurrencyConfigs"]
    assert sorted(item["FunctionArn"].rpartition(":")[2] for item in listed) == ["1", "2"]

    client.delete_provisioned_concurrency_config(FunctionName=function, Qualifier="1")

    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=function, Qualifier="1")
    ready(client, function, "2")


def test_latest_is_refused(client: Any, function: str) -> None:
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="unpublished function versions"):
        put(client, function, "$LATEST")


def test_an_alias_with_weights_is_refused(client: Any, function: str) -> None:
    client.update_alias(FunctionName=function, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}})

    with pytest.raises(
        client.exceptions.InvalidParameterValueException,
        match="Alias with weights can not be used with Provisioned Concurrency",
    ):
        put(client, function, "live")


def test_weights_on_an_alias_that_has_it_are_refused(client: Any, function: str) -> None:
    put(client, function, "live")

    with pytest.raises(client.exceptions.InvalidParameterValueException, match="Provisioned Concurrency"):
        client.update_alias(FunctionName=function, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}})


def test_it_follows_its_alias(client: Any, function: str) -> None:
    put(client, function, "live")
    ready(client, function, "live")

    client.update_alias(FunctionName=function, Name="live", FunctionVersion="2")
    ready(client, function, "live")

    answer = client.invoke(FunctionName=function, Qualifier="live", Payload=b"{}")
    assert (answer["ExecutedVersion"], answer["Payload"].read()) == ("2", b'"provisioned-concurrency"')


def test_an_alias_that_it_cannot_follow_stays(client: Any, function: str) -> None:
    put(client, function, "live")
    put(client, function, "2")
    before = client.get_alias(FunctionName=function, Name="live")

    with pytest.raises(client.exceptions.InvalidParameterValueException, match="already has Provisioned Concurrency"):
        client.update_alias(FunctionName=function, Name="live", FunctionVersion="2")

    after = client.get_alias(FunctionName=function, Name="live")
    assert (after["FunctionVersion"], after["RevisionId"]) == ("1", before["RevisionId"])


def test_one_version_has_it_once(client: Any, function: str) -> None:
    put(client, function, "1")

    with pytest.raises(client.exceptions.InvalidParameterValueException, match="already has Provisioned Concurrency"):
        put(client, function, "live")


def test_more_than_is_reserved_is_refused(client: Any, function: str) -> None:
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)

    with pytest.raises(client.exceptions.InvalidParameterValueException):
        put(client, function, "1", 2)
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=function, Qualifier="1")


def test_a_version_that_cannot_start_fails(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud, "import no_such_module\n")

    put(client, name, "1")

    found = ready(client, name, "1")
    assert found["Status"] == "FAILED"
    assert found["StatusReason"]


@pytest.mark.parametrize("qualifier", ["9", "nowhere"])
def test_an_unknown_qualifier_is_not_found(client: Any, function: str, qualifier: str) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        put(client, function, qualifier)
