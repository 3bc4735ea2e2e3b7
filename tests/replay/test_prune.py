"""Pruning: what is in use stays, whatever its age."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from replay.cli.prune import prune as command
from replay.cloud import LocalCloud
from replay.errors import CloudError, InputError
from replay.prune import plan_prune, prune
from tests.replay.cloud.support import change, deploy


def versions(cloud: LocalCloud, function: str) -> list[str]:
    listed = cloud.client("lambda").list_versions_by_function(FunctionName=function)["Versions"]
    return [version["Version"] for version in listed if version["Version"] != "$LATEST"]


def test_what_an_alias_a_weight_or_provisioned_concurrency_uses_is_spared(local_cloud: LocalCloud) -> None:
    client, function = local_cloud.client("lambda"), deploy(local_cloud)
    for number in range(2, 9):
        assert change(local_cloud, function, str(number)) == str(number)
    client.create_alias(FunctionName=function, Name="baseline", FunctionVersion="2")
    client.create_alias(
        FunctionName=function,
        Name="live",
        FunctionVersion="2",
        RoutingConfig={"AdditionalVersionWeights": {"4": 0.1}},
    )
    client.put_provisioned_concurrency_config(FunctionName=function, Qualifier="5", ProvisionedConcurrentExecutions=1)

    plan = plan_prune(client, function, keep=2)
    assert plan.deleted == ("1", "3", "6")
    assert plan.spared["4"] == "alias live"
    assert plan.spared["5"] == "has provisioned concurrency"
    assert set(plan.spared) == {"2", "4", "5", "7", "8"}

    # A rollout begins between looking and deleting.
    client.create_alias(FunctionName=function, Name="optimized", FunctionVersion="6")
    assert prune(client, plan) == ("1", "3")
    assert versions(local_cloud, function) == ["2", "4", "5", "6", "7", "8"]
    assert plan_prune(client, function, keep=2).deleted == ()


def test_the_command_asks_shows_and_deletes(local_cloud: LocalCloud) -> None:
    function = deploy(local_cloud)
    change(local_cloud, function, "two")
    options = ["--function", function, "--keep", "1", "--region", "us-east-1"]
    environment = local_cloud.environment()

    shown = CliRunner().invoke(command, [*options, "--dry-run"], env=environment)
    assert shown.output == "version 2 stays: one of the newest 1\nversion 1 would be deleted\n"
    refused = CliRunner().invoke(command, options, env=environment)
    assert isinstance(refused.exception, InputError)
    assert versions(local_cloud, function) == ["1", "2"]
    done = CliRunner().invoke(command, [*options, "--yes", "--json"], env=environment)
    assert json.loads(done.output)["deleted"] == ["1"]
    assert versions(local_cloud, function) == ["2"]


def test_a_version_that_is_gone_already_does_not_stop_the_others(local_cloud: LocalCloud) -> None:
    """Another prune was faster, or the answer to the SDK's first try was lost."""
    client, function = local_cloud.client("lambda"), deploy(local_cloud)
    for number in range(2, 5):
        change(local_cloud, function, str(number))
    plan = plan_prune(client, function, keep=1)
    client.delete_function(FunctionName=function, Qualifier="1")
    assert prune(client, plan) == ("1", "2", "3")
    assert versions(local_cloud, function) == ["4"]


def test_the_newest_version_is_never_given_up(local_cloud: LocalCloud) -> None:
    with pytest.raises(InputError, match="keep=0"):
        plan_prune(local_cloud.client("lambda"), "any", keep=0)


def test_a_function_that_is_not_there_is_one_line(local_cloud: LocalCloud) -> None:
    with pytest.raises(CloudError, match="its versions cannot be read") as caught:
        plan_prune(local_cloud.client("lambda"), "nothing", keep=1)
    assert "\n" not in str(caught.value)
