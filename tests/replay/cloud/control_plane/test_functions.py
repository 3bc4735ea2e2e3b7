"""Functions, versions and revisions, through boto3."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from replay.cloud import LocalCloud
from tests.replay.cloud.support import ECHO, change, deploy, make_zip, role_arn, unique


@pytest.fixture(scope="module")
def client(cloud: LocalCloud) -> Any:
    return cloud.client("lambda")


def refused(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_function_is_active_at_once(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)

    configuration = client.get_function_configuration(FunctionName=name)

    assert (configuration["State"], configuration["LastUpdateStatus"]) == ("Active", "Successful")
    assert configuration["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    client.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 1, "MaxAttempts": 1}
    )


def test_publishing_without_a_change_gives_the_last_version_again(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)

    assert client.publish_version(FunctionName=name)["Version"] == "1"
    assert change(cloud, name, "a") == "2"
    assert client.publish_version(FunctionName=name)["Version"] == "2"
    # Back to what version 1 was: a change all the same.
    assert change(cloud, name, "b") == "3"


def test_a_version_keeps_its_configuration(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud, Description="first")
    change(cloud, name, "second")
    client.update_function_code(FunctionName=name, ZipFile=make_zip(ECHO + "\n# changed"), Publish=True)

    first, second, third = (
        client.get_function_configuration(FunctionName=name, Qualifier=version) for version in ("1", "2", "3")
    )

    assert "Environment" not in first
    assert second["Environment"]["Variables"] == {"NOTE": "second"}
    assert first["CodeSha256"] == second["CodeSha256"] != third["CodeSha256"]
    assert len({v["RevisionId"] for v in (first, second, third)}) == 3
    assert third["FunctionArn"].endswith(f":{name}:3")


def test_snap_start_is_reported_as_it_was_set_and_publishes_no_version_by_itself(
    cloud: LocalCloud, client: Any
) -> None:
    name = deploy(cloud, SnapStart={"ApplyOn": "PublishedVersions"})
    said = {
        qualifier: client.get_function_configuration(FunctionName=name, Qualifier=qualifier)["SnapStart"]
        for qualifier in ("1", "$LATEST")
    }
    assert said["1"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    assert said["$LATEST"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    assert client.publish_version(FunctionName=name)["Version"] == "1"

    client.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "None"})
    assert client.publish_version(FunctionName=name)["Version"] == "2"
    assert client.invoke(FunctionName=name, Qualifier="2")["StatusCode"] == 200


def test_a_version_number_is_never_used_twice(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)
    change(cloud, name, "a")
    client.delete_function(FunctionName=name, Qualifier="2")

    assert change(cloud, name, "b") == "3"
    versions = [v["Version"] for v in client.list_versions_by_function(FunctionName=name)["Versions"]]
    assert versions == ["$LATEST", "1", "3"]


def test_a_version_that_an_alias_points_at_stays(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)
    change(cloud, name, "a")
    client.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )

    for version in ("1", "2"):
        with pytest.raises(ClientError) as caught:
            client.delete_function(FunctionName=name, Qualifier=version)
        assert refused(caught) == ("ResourceConflictException", 409)
        assert "live" in str(caught.value)


def test_latest_is_deleted_with_its_function_only(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)

    with pytest.raises(ClientError) as caught:
        client.delete_function(FunctionName=name, Qualifier="$LATEST")

    assert refused(caught) == ("InvalidParameterValueException", 400)


def test_a_deleted_function_is_gone(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)
    client.invoke(FunctionName=name, Qualifier="1", Payload=b"{}")
    client.delete_function(FunctionName=name)

    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName=name, Qualifier="1", Payload=b"{}")


@pytest.mark.parametrize("action", ["configuration", "code", "publish"])
def test_a_change_from_an_older_state_is_refused(cloud: LocalCloud, client: Any, action: str) -> None:
    name = deploy(cloud)
    old = client.get_function_configuration(FunctionName=name)["RevisionId"]
    new = client.update_function_configuration(FunctionName=name, Timeout=7)["RevisionId"]
    assert new != old

    def act(revision: str) -> Any:
        if action == "configuration":
            return client.update_function_configuration(FunctionName=name, Timeout=8, RevisionId=revision)
        if action == "code":
            return client.update_function_code(FunctionName=name, ZipFile=make_zip("x = 1"), RevisionId=revision)
        return client.publish_version(FunctionName=name, RevisionId=revision)

    with pytest.raises(ClientError) as caught:
        act(old)
    assert refused(caught) == ("PreconditionFailedException", 412)
    assert client.get_function_configuration(FunctionName=name)["RevisionId"] == new
    act(new)


def test_publishing_other_code_than_meant_is_refused(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)

    with pytest.raises(ClientError) as caught:
        client.publish_version(FunctionName=name, CodeSha256="A" * 44)

    assert refused(caught) == ("InvalidParameterValueException", 400)


@pytest.mark.parametrize(
    "settings",
    [
        {"Timeout": 901},
        {"Timeout": 0},
        {"MemorySize": 64},
        {"MemorySize": 20_000},
        {"LoggingConfig": {"LogFormat": "Text", "SystemLogLevel": "DEBUG"}},
    ],
)
def test_settings_outside_lambdas_limits_are_refused(cloud: LocalCloud, client: Any, settings: dict[str, Any]) -> None:
    name = deploy(cloud)
    with pytest.raises(ClientError) as caught:
        _unchecked(cloud).update_function_configuration(FunctionName=name, **settings)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"


def _unchecked(cloud: LocalCloud) -> Any:
    """A client that leaves the checking to the server."""
    return boto3.client(
        "lambda",
        endpoint_url=cloud.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )


def test_every_setting_can_be_changed(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)
    settings: dict[str, Any] = {
        "LoggingConfig": {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "WARN",
            "SystemLogLevel": "INFO",
            "LogGroup": "/my/group",
        },
        "TracingConfig": {"Mode": "Active"},
        "EphemeralStorage": {"Size": 1024},
        "MemorySize": 512,
        "Description": "changed",
    }

    client.update_function_configuration(FunctionName=name, **settings)

    found = client.get_function_configuration(FunctionName=name)
    assert {key: found[key] for key in settings} == settings


def test_a_dry_run_changes_nothing(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)
    before = client.get_function_configuration(FunctionName=name)

    client.update_function_code(FunctionName=name, ZipFile=make_zip("x = 1"), DryRun=True)

    after = client.get_function_configuration(FunctionName=name)
    assert (after["CodeSha256"], after["RevisionId"]) == (before["CodeSha256"], before["RevisionId"])


def test_the_account_keeps_unreserved_concurrency(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)
    with pytest.raises(ClientError, match="below its minimum value of \\[100\\]"):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=901)

    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=50)
    settings = client.get_account_settings()["AccountLimit"]

    assert settings["ConcurrentExecutions"] == 1000
    assert settings["UnreservedConcurrentExecutions"] <= 950
    client.delete_function_concurrency(FunctionName=name)
    assert client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions") is None


def test_all_versions_of_all_functions_are_listed(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)

    found = [
        f["Version"] for f in client.list_functions(FunctionVersion="ALL")["Functions"] if f["FunctionName"] == name
    ]

    assert found == ["$LATEST", "1"]


def test_a_function_made_twice_is_refused(cloud: LocalCloud, client: Any) -> None:
    name = unique("twice")
    spec = {
        "FunctionName": name,
        "Role": role_arn(cloud),
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Code": {"ZipFile": make_zip(ECHO)},
    }
    client.create_function(**spec)

    with pytest.raises(client.exceptions.ResourceConflictException):
        client.create_function(**spec)
