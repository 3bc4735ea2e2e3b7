"""Aliases with weights, through boto3."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replay.cloud import LocalCloud
from tests.replay.cloud.support import change, deploy


@pytest.fixture(scope="module")
def client(cloud: LocalCloud) -> Any:
    return cloud.client("lambda")


@pytest.fixture(scope="module")
def function(cloud: LocalCloud) -> str:
    """A function with the versions 1, 2 and 3."""
    name = deploy(cloud)
    change(cloud, name, "two")
    change(cloud, name, "three")
    return name


@pytest.fixture
def alias(client: Any, function: str) -> Any:
    client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    yield "live"
    client.delete_alias(FunctionName=function, Name="live")


def weights(**by_version: float) -> dict[str, Any]:
    return {"AdditionalVersionWeights": {version.lstrip("v"): weight for version, weight in by_version.items()}}


def test_requests_are_split_by_weight(client: Any, function: str, alias: str) -> None:
    client.update_alias(FunctionName=function, Name=alias, RoutingConfig=weights(v2=0.5))

    seen = Counter(
        client.invoke(FunctionName=function, Qualifier=alias, Payload=b"{}")["ExecutedVersion"] for _ in range(60)
    )

    # A fair coin leaves 12..48 of 60 less than once in 100,000 runs; the seed is fixed besides.
    assert set(seen) == {"1", "2"}
    assert 12 <= seen["2"] <= 48


def test_a_weight_of_one_sends_everything_there(client: Any, function: str, alias: str) -> None:
    client.update_alias(FunctionName=function, Name=alias, RoutingConfig=weights(v2=1.0))

    seen = {client.invoke(FunctionName=function, Qualifier=alias, Payload=b"{}")["ExecutedVersion"] for _ in range(10)}

    assert seen == {"2"}


def test_what_is_not_named_stays_and_empty_weights_take_them_away(client: Any, function: str, alias: str) -> None:
    client.update_alias(FunctionName=function, Name=alias, RoutingConfig=weights(v2=0.25))
    described = client.update_alias(FunctionName=function, Name=alias, Description="why")
    assert described["RoutingConfig"] == weights(v2=0.25)

    cleared = client.update_alias(FunctionName=function, Name=alias, FunctionVersion="2", RoutingConfig=weights())

    assert not cleared.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    assert (cleared["FunctionVersion"], cleared["Description"]) == ("2", "why")


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        (weights(v2=0.1, v3=0.1), "cannot be greater than 1"),
        (weights(v2=1.5), "less than or equal to 1.0"),
        (weights(v1=0.1), "already included"),
        (weights(v9=0.1), "does not exist: 9"),
        ({"AdditionalVersionWeights": {"$LATEST": 0.1}}, "LATEST is not supported"),
    ],
)
def test_weights_that_lambda_refuses(
    client: Any, function: str, alias: str, routing: dict[str, Any], message: str
) -> None:
    before = client.get_alias(FunctionName=function, Name=alias)["RevisionId"]

    with pytest.raises(client.exceptions.InvalidParameterValueException, match=message):
        client.update_alias(FunctionName=function, Name=alias, RoutingConfig=routing)

    assert client.get_alias(FunctionName=function, Name=alias)["RevisionId"] == before


def test_an_alias_of_latest_cannot_be_split(client: Any, function: str) -> None:
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="LATEST is not supported"):
        client.create_alias(
            FunctionName=function, Name="wrong", FunctionVersion="$LATEST", RoutingConfig=weights(v2=0.1)
        )


def test_an_alias_is_made_once(client: Any, function: str, alias: str) -> None:
    with pytest.raises(client.exceptions.ResourceConflictException, match=f"Alias already exists: .*:{alias}"):
        client.create_alias(FunctionName=function, Name=alias, FunctionVersion="2")
    assert client.get_alias(FunctionName=function, Name=alias)["FunctionVersion"] == "1"


def test_an_alias_is_no_number(client: Any, function: str) -> None:
    # It would be taken for a version.
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="'77' at 'name'"):
        client.create_alias(FunctionName=function, Name="77", FunctionVersion="1")


def test_two_shifters_do_not_overwrite_each_other(client: Any, function: str, alias: str) -> None:
    seen = client.get_alias(FunctionName=function, Name=alias)["RevisionId"]
    first = client.update_alias(FunctionName=function, Name=alias, RoutingConfig=weights(v2=0.1), RevisionId=seen)
    assert first["RevisionId"] != seen

    with pytest.raises(ClientError) as caught:
        client.update_alias(FunctionName=function, Name=alias, RoutingConfig=weights(v2=0.9), RevisionId=seen)

    assert caught.value.response["Error"]["Code"] == "PreconditionFailedException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert client.get_alias(FunctionName=function, Name=alias)["RoutingConfig"] == weights(v2=0.1)


def test_aliases_are_found_by_version(client: Any, function: str, alias: str) -> None:
    client.update_alias(FunctionName=function, Name=alias, RoutingConfig=weights(v2=0.1))

    def names(version: str) -> list[str]:
        return [a["Name"] for a in client.list_aliases(FunctionName=function, FunctionVersion=version)["Aliases"]]

    assert (names("1"), names("2"), names("3")) == ([alias], [alias], [])


def test_an_unknown_alias_is_not_found(client: Any, function: str) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Cannot find alias arn"):
        client.update_alias(FunctionName=function, Name="none", FunctionVersion="1")


def test_an_alias_moves_to_existing_versions_only(client: Any, function: str, alias: str) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.update_alias(FunctionName=function, Name=alias, FunctionVersion="77")
