"""The smaller extensions: Application Auto Scaling's tags, API Gateway's address and stages."""

from __future__ import annotations

from typing import Any

import pytest

from replay.cloud import LocalCloud
from tests.replay.cloud.support import call, deploy, unique


def test_scalable_targets_have_tags(cloud: LocalCloud) -> None:
    client = cloud.client("application-autoscaling")
    name = deploy(cloud)
    arn = client.register_scalable_target(
        ServiceNamespace="lambda",
        ResourceId=f"function:{name}:1",
        ScalableDimension="lambda:function:ProvisionedConcurrency",
        MinCapacity=1,
        MaxCapacity=5,
        Tags={"team": "a"},
    )["ScalableTargetARN"]

    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "a"}

    client.tag_resource(ResourceARN=arn, Tags={"stage": "dev"})
    client.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"stage": "dev"}


def test_an_api_answers_at_the_address_it_names(cloud: LocalCloud) -> None:
    api = cloud.client("apigatewayv2").create_api(Name=unique("api"), ProtocolType="HTTP")

    assert api["ApiEndpoint"] == f"{cloud.endpoint_url}/_aws/execute-api/{api['ApiId']}"
    assert call(api["ApiEndpoint"] + "/x").json() == {"message": "Not Found"}


@pytest.fixture
def api_id(cloud: LocalCloud) -> str:
    return str(cloud.client("apigatewayv2").create_api(Name=unique("api"), ProtocolType="HTTP")["ApiId"])


@pytest.mark.parametrize("stage", ["$default", "dev"])
def test_a_stage_can_be_changed(cloud: LocalCloud, api_id: str, stage: str) -> None:
    client: Any = cloud.client("apigatewayv2")
    client.create_stage(ApiId=api_id, StageName=stage, Description="kept")

    client.update_stage(
        ApiId=api_id, StageName=stage, DefaultRouteSettings={"ThrottlingBurstLimit": 5, "ThrottlingRateLimit": 2.0}
    )

    found = client.get_stage(ApiId=api_id, StageName=stage)
    assert found["Description"] == "kept"
    assert found["DefaultRouteSettings"]["ThrottlingBurstLimit"] == 5
    assert found["DefaultRouteSettings"]["ThrottlingRateLimit"] == 2.0


def test_a_budget_knows_whom_it_tells_and_its_tags(cloud: LocalCloud) -> None:
    client, name, account = cloud.client("budgets"), unique("budget"), "123456789012"
    limit = {"Amount": "100", "Unit": "USD"}
    notification = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0}
    told = [{"SubscriptionType": "EMAIL", "Address": "team@example.com"}]
    client.create_budget(
        AccountId=account,
        Budget={"BudgetName": name, "BudgetLimit": limit, "TimeUnit": "MONTHLY", "BudgetType": "COST"},
        NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": told}],
        ResourceTags=[{"Key": "stage", "Value": "dev"}],
    )

    def subscribers(threshold: float) -> list[Any]:
        found: list[Any] = client.describe_subscribers_for_notification(
            AccountId=account, BudgetName=name, Notification={**notification, "Threshold": threshold}
        )["Subscribers"]
        return found

    assert subscribers(80.0) == told
    assert subscribers(50.0) == []

    arn = f"arn:aws:budgets::{account}:budget/{name}"
    client.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": "team", "Value": "a"}])
    client.untag_resource(ResourceARN=arn, ResourceTagKeys=["stage"])
    assert client.list_tags_for_resource(ResourceARN=arn)["ResourceTags"] == [{"Key": "team", "Value": "a"}]


def test_the_head_of_an_object_tells_its_size(cloud: LocalCloud) -> None:
    client, bucket = cloud.client("s3"), unique("bucket")
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="state.json", Body=b"hello")

    assert client.head_object(Bucket=bucket, Key="state.json")["ContentLength"] == 5
    assert client.get_object(Bucket=bucket, Key="state.json")["Body"].read() == b"hello"
