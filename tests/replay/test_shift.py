"""The weight shifter against Lambda's API of the local cloud, through the real SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from replay.cloud import LocalCloud
from replay.errors import CloudError, InputError
from replay.shift import AliasState, parse_weight, read_alias, shift


@pytest.fixture
def client(local_cloud: LocalCloud) -> Any:
    return local_cloud.client("lambda")


@pytest.fixture
def function(client: Any, new_function: Callable[[str], str]) -> str:
    """A function with versions 1, 2 and 3 and the aliases of a deployment."""
    name = new_function("def handle(event, context):\n    return None\n")
    for model in ("second", "third"):
        client.update_function_configuration(FunctionName=name, Environment={"Variables": {"MODEL_ID": model}})
        client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="optimized", FunctionVersion="2")
    return name


def test_through_a_whole_rollout(client: Any, function: str) -> None:
    seen = []
    for weight in (0.1, 0.5, 1.0, 0.0):
        done = shift(client, function, from_version="baseline", to_version="optimized", weight=weight)
        assert done.after == read_alias(client, function, "live")
        assert done.before.revision_id != done.after.revision_id
        seen.append(done.after.weights)
    assert seen == [{"1": 0.9, "2": 0.1}, {"1": 0.5, "2": 0.5}, {"2": 1.0}, {"1": 1.0}]


def test_at_the_ends_the_alias_is_plain(client: Any, function: str) -> None:
    shift(client, function, from_version="1", to_version="2", weight=0.5)
    shift(client, function, from_version="1", to_version="2", weight=1.0)
    answer = client.get_alias(FunctionName=function, Name="live")
    assert answer["FunctionVersion"] == "2"
    assert not answer.get("RoutingConfig", {}).get("AdditionalVersionWeights")


def test_the_same_weight_again_changes_nothing(client: Any, function: str) -> None:
    first = shift(client, function, from_version="1", to_version="2", weight=0.1)
    again = shift(client, function, from_version="1", to_version="2", weight=0.1)
    assert again.after.revision_id == first.after.revision_id


def test_a_change_by_another_is_not_overwritten(client: Any, function: str) -> None:
    class Racing:
        """Lets another controller move the alias between this one's read and its write."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def update_alias(self, **request: Any) -> Any:
            client.update_alias(
                FunctionName=function,
                Name="live",
                FunctionVersion="1",
                RoutingConfig={"AdditionalVersionWeights": {"3": 0.2}},
            )
            return client.update_alias(**request)

    with pytest.raises(CloudError, match="somebody else changed it meanwhile"):
        shift(Racing(), function, from_version="1", to_version="2", weight=0.1)
    assert read_alias(client, function, "live").weights == {"1": 0.8, "3": 0.2}


def test_a_try_whose_answer_was_lost_is_no_change_by_another(client: Any, function: str) -> None:
    class Lossy:
        """Loses the first answer; the SDK sends the same request again, with a revision that is gone by then."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def update_alias(self, **request: Any) -> Any:
            client.update_alias(**request)
            return client.update_alias(**request)

    done = shift(Lossy(), function, from_version="1", to_version="2", weight=0.1)
    assert done.after.weights == {"1": 0.9, "2": 0.1}


def test_weights_that_do_not_take_are_said(client: Any, function: str) -> None:
    class Deaf:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def update_alias(self, **request: Any) -> None:
            return None

    with pytest.raises(CloudError, match=r"still at version 1 100% after 0 s"):
        shift(Deaf(), function, from_version="1", to_version="2", weight=0.1, deadline_s=0.0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"weight": 1.5}, "weight 1.5 is outside 0 to 1"),
        ({"weight": -0.1}, "weight -0.1 is outside 0 to 1"),
        ({"weight": float("nan")}, "weight nan is outside 0 to 1"),
        ({"alias": "prod"}, r"has no alias 'prod'; it has baseline, live, optimized"),
        ({"to_version": "99"}, "has no version 99"),
        ({"to_version": "candidate"}, "has no alias 'candidate'"),
        ({"to_version": "$LATEST"}, r"cannot weigh \$LATEST"),
        ({"to_version": "1"}, "both version 1"),
    ],
)
def test_refuses(client: Any, function: str, changes: dict[str, Any], why: str) -> None:
    before = read_alias(client, function, "live")
    request: dict[str, Any] = {"from_version": "baseline", "to_version": "optimized", "weight": 0.1} | changes
    with pytest.raises(InputError, match=why) as caught:
        shift(client, function, **request)
    assert "\n" not in str(caught.value)
    assert read_alias(client, function, "live") == before


def test_refuses_an_unknown_function(client: Any) -> None:
    with pytest.raises(InputError, match="function 'none' does not exist"):
        shift(client, "none", from_version="1", to_version="2", weight=0.1)


def test_a_weighted_alias_stands_for_no_version(client: Any, function: str) -> None:
    shift(client, function, from_version="1", to_version="2", weight=0.1)
    with pytest.raises(InputError, match="weighted itself"):
        shift(client, function, from_version="live", to_version="3", weight=0.1)


@pytest.mark.parametrize(
    ("text", "weight"), [("10%", 0.1), (" 0.5 ", 0.5), ("0", 0.0), ("1", 1.0), ("100 %", 1.0), ("2.5%", 0.025)]
)
def test_weights_are_read(text: str, weight: float) -> None:
    assert parse_weight(text) == pytest.approx(weight)


@pytest.mark.parametrize("text", ["10", "101%", "-0.1", "-5%", "nan", "inf", "", "ten", "1,5"])
def test_weights_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="weight"):
        parse_weight(text)


def test_a_state_tells_every_share() -> None:
    assert AliasState("1", {"2": 0.25}, "r").weights == {"1": 0.75, "2": 0.25}
