"""CloudWatch metrics through boto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replay.cloud import LocalCloud
from tests.replay.cloud.support import deploy, unique


@pytest.fixture
def client(cloud: LocalCloud) -> Any:
    return cloud.client("cloudwatch")


@pytest.fixture
def namespace() -> str:
    return unique("Test")


START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
DIMENSIONS = [{"Name": "Version", "Value": "2"}]


def put(client: Any, namespace: str, minute: int, *values: float, **fields: Any) -> None:
    client.put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": "Latency",
                "Dimensions": DIMENSIONS,
                "Timestamp": START + timedelta(minutes=minute, seconds=1),
                "Unit": "Milliseconds",
                "Values": list(values),
                **fields,
            }
        ],
    )


def statistics(client: Any, namespace: str, **options: Any) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = client.get_metric_statistics(
        **{
            "Namespace": namespace,
            "MetricName": "Latency",
            "Dimensions": DIMENSIONS,
            "StartTime": START,
            "EndTime": START + timedelta(minutes=10),
            "Period": 60,
            **options,
        }
    )["Datapoints"]
    return sorted(points, key=lambda point: point["Timestamp"])


def test_simple_and_extended_statistics_by_period(client: Any, namespace: str) -> None:
    put(client, namespace, 0, *map(float, range(1, 101)))
    put(client, namespace, 3, 7.0)

    first, second = statistics(
        client, namespace, Statistics=["SampleCount", "Average"], ExtendedStatistics=["p50", "p99"]
    )

    assert (first["Timestamp"], first["Unit"]) == (START, "Milliseconds")
    assert (first["SampleCount"], first["Average"]) == (100.0, 50.5)
    assert first["ExtendedStatistics"] == pytest.approx({"p50": 50.5, "p99": 99.01})
    assert (second["Timestamp"], second["SampleCount"]) == (START + timedelta(minutes=3), 1.0)


def test_metric_data_of_several_queries(client: Any, namespace: str) -> None:
    put(client, namespace, 0, 1.0, 2.0, Counts=[3, 1])
    put(client, namespace, 1, 5.0)

    def query(identifier: str, stat: str) -> dict[str, Any]:
        metric = {"Namespace": namespace, "MetricName": "Latency", "Dimensions": DIMENSIONS}
        return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}

    found = {
        result["Id"]: result
        for result in client.get_metric_data(
            MetricDataQueries=[query("n", "SampleCount"), query("p", "p50"), query("t", "TC(:1)")],
            StartTime=START,
            EndTime=START + timedelta(minutes=5),
            ScanBy="TimestampAscending",
        )["MetricDataResults"]
    }

    assert found["n"]["Values"] == [4.0, 1.0]
    assert found["p"]["Values"] == [1.0, 5.0]
    assert found["t"]["Values"] == [3.0, 0.0]
    assert found["n"]["Timestamps"] == [START, START + timedelta(minutes=1)]


def test_an_expression_is_the_id_of_another_query_or_refused(client: Any, namespace: str) -> None:
    put(client, namespace, 0, 4.0)
    metric = {"Namespace": namespace, "MetricName": "Latency", "Dimensions": DIMENSIONS}
    queries: list[dict[str, Any]] = [
        {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": False},
        {"Id": "e", "Expression": "m"},
    ]
    times = {"StartTime": START, "EndTime": START + timedelta(minutes=5)}

    (result,) = client.get_metric_data(MetricDataQueries=queries, **times)["MetricDataResults"]
    assert (result["Id"], result["Values"]) == ("e", [4.0])

    queries[1]["Expression"] = "m * 2"
    with pytest.raises(ClientError, match="no metric math"):
        client.get_metric_data(MetricDataQueries=queries, **times)


def test_dimensions_must_be_the_same_not_some_of_them(client: Any, namespace: str) -> None:
    put(client, namespace, 0, 1.0)
    put(client, namespace, 0, 9.0, Dimensions=[*DIMENSIONS, {"Name": "Variant", "Value": "x"}])

    assert [point["Sum"] for point in statistics(client, namespace, Statistics=["Sum"])] == [1.0]
    assert statistics(client, namespace, Statistics=["Sum"], Dimensions=[]) == []
    listed = client.list_metrics(Namespace=namespace, Dimensions=DIMENSIONS)["Metrics"]
    assert len(listed) == 2


def test_a_statistic_set(client: Any, namespace: str) -> None:
    client.put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": "Latency",
                "Dimensions": DIMENSIONS,
                "Timestamp": START,
                "StatisticValues": {"SampleCount": 4, "Sum": 20, "Minimum": 1, "Maximum": 9},
            }
        ],
    )

    (point,) = statistics(client, namespace, Statistics=["Average", "Maximum"])
    assert (point["Average"], point["Maximum"]) == (5.0, 9.0)


@pytest.mark.parametrize(
    "options",
    [
        {"ExtendedStatistics": ["median"]},
        {"Statistics": ["Sum"], "Period": 61},
        {"Statistics": ["Sum"], "EndTime": START},
        {},
    ],
)
def test_what_cloudwatch_refuses(client: Any, namespace: str, options: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        statistics(client, namespace, **options)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_lambda_publishes_by_function_and_by_version(cloud: LocalCloud, client: Any) -> None:
    name = deploy(cloud)
    lambda_ = cloud.client("lambda")
    lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for _ in range(5):
        lambda_.invoke(FunctionName=name, Qualifier="live", Payload=b"{}")
    lambda_.invoke(FunctionName=name, Qualifier="live", Payload=b'{"raise": "x"}')
    cloud.flush_logs()

    def total(metric: str, stat: str, **dimensions: str) -> float | None:
        now = datetime.now(UTC)
        query = {
            "Id": "q",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Lambda",
                    "MetricName": metric,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                },
                "Period": 3600,
                "Stat": stat,
            },
        }
        values = client.get_metric_data(
            MetricDataQueries=[query], StartTime=now - timedelta(hours=2), EndTime=now + timedelta(minutes=1)
        )["MetricDataResults"][0]["Values"]
        return sum(values) if values else None

    assert total("Invocations", "Sum", FunctionName=name) == 6
    assert total("Invocations", "Sum", FunctionName=name, Resource=f"{name}:live", ExecutedVersion="1") == 6
    assert total("Errors", "Sum", FunctionName=name) == 1
    assert (total("Duration", "p99", FunctionName=name) or 0) > 0
