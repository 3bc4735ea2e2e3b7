"""Metric filters: what comes into a log group becomes observations."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from replay.cloud import LocalCloud
from replay.cloud.control_plane.metric_filters import filtered_metrics
from replay.cloud.lambda_plane.ports import LogEvent
from tests.replay.cloud.support import deploy, unique

INIT = '{ $.type = "platform.report" && $.record.metrics.initDurationMs > 0 }'
REPORT = json.dumps({"type": "platform.report", "record": {"metrics": {"initDurationMs": 321.5, "durationMs": 2.0}}})
WARM = json.dumps({"type": "platform.report", "record": {"metrics": {"durationMs": 2.0}}})


def transformation(value: str, **more: Any) -> dict[str, Any]:
    return {"metricName": "InitMs", "metricNamespace": "tailcast/f", "metricValue": value, **more}


@pytest.mark.parametrize(
    ("pattern", "value", "messages", "expected"),
    [
        (INIT, "$.record.metrics.initDurationMs", [REPORT, WARM, "START", REPORT], [321.5, 321.5]),
        (INIT, "$.record.nothing", [REPORT], []),
        (INIT, "$.type", [REPORT], []),
        ("ERROR", "1", ["an ERROR", "fine", "ERROR"], [1.0, 1.0]),
        ("[kind = REPORT, ...]", "1", ["REPORT x"], []),
        ("", "$.a", ["{", '{"a": true}', '{"a": 1e999}', '{"a": "7"}'], [7.0]),
        ("", "$.a", ['{"a": 1' + "0" * 400 + "}", '{"a":' * 5_000, '{"a": 7}'], [7.0]),
        ("{ $.a = 7 }", "1", ['{"a":' * 5_000, '{"a": 7}'], [1.0]),
    ],
)
def test_matching_events_give_their_value(pattern: str, value: str, messages: list[str], expected: list[float]) -> None:
    filters = [{"filterPattern": pattern, "metricTransformations": [transformation(value)]}]
    events = [LogEvent(index, message) for index, message in enumerate(messages)]
    assert [one.value for one in filtered_metrics(filters, events)] == expected


def test_dimensions_are_read_from_the_event() -> None:
    filters = [
        {
            "filterPattern": "",
            "metricTransformations": [transformation("1", dimensions={"kind": "$.type", "none": "$.x"}, unit="Count")],
        }
    ]
    (found,) = filtered_metrics(filters, [LogEvent(5, REPORT)])
    assert (found.dimensions, found.unit, found.timestamp_ms) == ({"kind": "platform.report"}, "Count", 5)


def values(cloud: LocalCloud, namespace: str, stat: str) -> list[float]:
    now = datetime.now(UTC)
    answer = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName="InitMs",
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=[stat],
    )
    return [point[stat] for point in answer["Datapoints"]]


def test_a_functions_init_becomes_a_metric(local_cloud: LocalCloud) -> None:
    name = deploy(local_cloud, LoggingConfig={"LogFormat": "JSON"})
    logs, group, namespace = local_cloud.client("logs"), f"/aws/lambda/{name}", unique("tailcast/f")
    logs.create_log_group(logGroupName=group)
    for filter_value in ("1", "$.record.metrics.initDurationMs"):  # the second replaces the first
        logs.put_metric_filter(
            logGroupName=group,
            filterName="init",
            filterPattern=INIT,
            metricTransformations=[{"metricName": "InitMs", "metricNamespace": namespace, "metricValue": filter_value}],
        )
    local_cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    limit_s = time.monotonic() + 30
    while not values(local_cloud, namespace, "SampleCount") and time.monotonic() < limit_s:
        time.sleep(0.05)
    assert values(local_cloud, namespace, "SampleCount") == [1.0]
    assert values(local_cloud, namespace, "Average")[0] > 1.0


def test_events_that_are_put_are_counted_too(local_cloud: LocalCloud) -> None:
    logs, group, namespace = local_cloud.client("logs"), unique("/test/group"), unique("tailcast/f")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    logs.put_metric_filter(
        logGroupName=group,
        filterName="init",
        filterPattern=INIT,
        metricTransformations=[
            {"metricName": "InitMs", "metricNamespace": namespace, "metricValue": "$.record.metrics.initDurationMs"}
        ],
    )
    now_ms = int(time.time() * 1000)
    logs.put_log_events(
        logGroupName=group,
        logStreamName="s",
        logEvents=[{"timestamp": now_ms, "message": REPORT}, {"timestamp": now_ms, "message": WARM}],
    )
    assert values(local_cloud, namespace, "Sum") == [321.5]
