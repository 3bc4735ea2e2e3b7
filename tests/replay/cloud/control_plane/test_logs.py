"""CloudWatch Logs through boto3: what functions wrote can be read, in order, in pages, quickly."""

from __future__ import annotations

import time
from typing import Any

import pytest

from replay.cloud import LocalCloud
from tests.replay.cloud.support import deploy, unique


@pytest.fixture
def client(cloud: LocalCloud) -> Any:
    return cloud.client("logs")


@pytest.fixture
def group(client: Any) -> str:
    name = unique("/test/group")
    client.create_log_group(logGroupName=name)
    return name


def fill(client: Any, group: str, streams: int, events: int, start_ms: int) -> None:
    """Write ``events`` lines to each stream; line i of every stream has the time ``start_ms + i``."""
    for stream in range(streams):
        client.create_log_stream(logGroupName=group, logStreamName=f"s{stream}")
        for first in range(0, events, 5_000):
            batch = [
                {"timestamp": start_ms + index, "message": f"stream {stream} line {index}"}
                for index in range(first, min(first + 5_000, events))
            ]
            client.put_log_events(logGroupName=group, logStreamName=f"s{stream}", logEvents=batch)


def read(client: Any, group: str, **options: Any) -> list[dict[str, Any]]:
    pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, **options)
    return [event for page in pages for event in page["events"]]


def test_pages_join_to_everything_once_in_order_of_time(client: Any, group: str) -> None:
    start_ms = int(time.time() * 1000) - 60_000
    fill(client, group, streams=3, events=50, start_ms=start_ms)

    events = read(client, group, PaginationConfig={"PageSize": 7})

    assert len({event["eventId"] for event in events}) == len(events) == 150
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)
    assert {event["logStreamName"] for event in events} == {"s0", "s1", "s2"}


def test_both_ends_of_a_time_range_are_inside(client: Any, group: str) -> None:
    start_ms = int(time.time() * 1000) - 60_000
    fill(client, group, streams=1, events=20, start_ms=start_ms)

    events = read(client, group, startTime=start_ms + 5, endTime=start_ms + 8)

    assert [event["message"] for event in events] == [f"stream 0 line {index}" for index in (5, 6, 7, 8)]


def test_a_reader_misses_nothing_that_arrives_between_two_pages(client: Any, group: str) -> None:
    start_ms = int(time.time() * 1000) - 60_000
    fill(client, group, streams=2, events=10, start_ms=start_ms)
    first = client.filter_log_events(logGroupName=group, limit=8)
    late = [{"timestamp": start_ms + 100 + index, "message": f"late {index}"} for index in range(3)]
    client.put_log_events(logGroupName=group, logStreamName="s0", logEvents=late)

    events = first["events"]
    token = first["nextToken"]
    while token:
        page = client.filter_log_events(logGroupName=group, limit=8, nextToken=token)
        events += page["events"]
        token = page.get("nextToken")

    assert len(events) == len({event["eventId"] for event in events}) == 23


def test_streams_are_chosen_by_name_and_prefix(client: Any, group: str) -> None:
    fill(client, group, streams=3, events=2, start_ms=int(time.time() * 1000) - 1_000)
    client.create_log_stream(logGroupName=group, logStreamName="other")

    assert {event["logStreamName"] for event in read(client, group, logStreamNames=["s1"])} == {"s1"}
    assert {event["logStreamName"] for event in read(client, group, logStreamNamePrefix="s")} == {"s0", "s1", "s2"}
    assert not read(client, group, logStreamNamePrefix="other")


def test_a_page_holds_at_most_1_mb(client: Any, group: str) -> None:
    client.create_log_stream(logGroupName=group, logStreamName="s")
    now_ms = int(time.time() * 1000)
    events = [{"timestamp": now_ms, "message": "x" * 200_000} for _ in range(8)]
    client.put_log_events(logGroupName=group, logStreamName="s", logEvents=events[:5])
    client.put_log_events(logGroupName=group, logStreamName="s", logEvents=events[5:])

    page = client.filter_log_events(logGroupName=group)

    assert len(page["events"]) == 5
    assert len(read(client, group)) == 8


def test_forty_thousand_lines_are_read_within_seconds(client: Any, group: str) -> None:
    fill(client, group, streams=4, events=10_000, start_ms=int(time.time() * 1000) - 60_000)

    started = time.perf_counter()
    events = read(client, group, filterPattern='"line"')
    took_s = time.perf_counter() - started

    assert len(events) == 40_000
    # Measured 0.4 s; the limit catches a reading that grows with the square of the lines.
    assert took_s < 6.0


def test_filter_patterns_select(client: Any, group: str) -> None:
    client.create_log_stream(logGroupName=group, logStreamName="s")
    now_ms = int(time.time() * 1000)
    lines = ['{"level": "ERROR", "ms": 120}', '{"level": "INFO", "ms": 80}', "REPORT RequestId: 1", "START"]
    batch = [{"timestamp": now_ms, "message": line} for line in lines]
    client.put_log_events(logGroupName=group, logStreamName="s", logEvents=batch)

    def found(pattern: str) -> list[str]:
        return [event["message"] for event in read(client, group, filterPattern=pattern)]

    assert found('{ $.level = "ERROR" }') == lines[:1]
    assert found("{ $.ms > 50 }") == lines[:2]
    assert found("?REPORT ?START") == lines[2:]
    with pytest.raises(client.exceptions.InvalidParameterException, match="Invalid filter pattern"):
        found("[ip, user]")


@pytest.mark.parametrize("token", ["x", "a@b@c", "/other/group@1@2"])
def test_a_wrong_token_is_refused(client: Any, group: str, token: str) -> None:
    with pytest.raises(client.exceptions.InvalidParameterException, match="nextToken is invalid"):
        client.filter_log_events(logGroupName=group, nextToken=token)


def test_a_missing_group_is_not_found(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.filter_log_events(logGroupName="/none")


def test_a_function_writes_to_the_group_it_was_given(cloud: LocalCloud, client: Any, group: str) -> None:
    name = deploy(
        cloud,
        "def handler(event, context):\n    print('hello')\n",
        LoggingConfig={"LogFormat": "Text", "LogGroup": group},
    )
    answer = cloud.client("lambda").invoke(FunctionName=name, Qualifier="1", Payload=b"{}")
    request_id = answer["ResponseMetadata"]["RequestId"]
    cloud.flush_logs()

    messages = [event["message"].strip() for event in read(client, group)]

    start, end = (f"{word} RequestId: {request_id}" for word in ("START", "END"))
    inside = [index for index, message in enumerate(messages) if message.startswith((start, end))]
    assert messages[inside[0] + 1 : inside[1]] == ["hello"]
    (report,) = [message for message in messages if message.startswith(f"REPORT RequestId: {request_id}")]
    assert "Init Duration" in report
    (stream,) = client.describe_log_streams(logGroupName=group)["logStreams"]
    from_stream = client.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    assert [event["message"].strip() for event in from_stream["events"]] == messages


def test_query_definitions_come_and_go(client: Any) -> None:
    name = unique("q")
    made = client.put_query_definition(name=name, queryString="fields @message", logGroupNames=["/a"])
    identifier = made["queryDefinitionId"]
    client.put_query_definition(queryDefinitionId=identifier, name=name, queryString="fields @timestamp")

    (found,) = client.describe_query_definitions(queryDefinitionNamePrefix=name)["queryDefinitions"]
    assert (found["queryDefinitionId"], found["queryString"]) == (identifier, "fields @timestamp")

    assert client.delete_query_definition(queryDefinitionId=identifier)["success"]
    assert not client.describe_query_definitions(queryDefinitionNamePrefix=name)["queryDefinitions"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.delete_query_definition(queryDefinitionId=identifier)


def test_a_subscription_to_what_is_gone_holds_nothing_up(cloud: LocalCloud, client: Any) -> None:
    source = "def handler(event, context):\n    print('said')\n"
    function, subscriber, functions = deploy(cloud, source), deploy(cloud), cloud.client("lambda")
    name = f"/aws/lambda/{function}"
    functions.invoke(FunctionName=function)
    cloud.flush_logs()
    arn = functions.get_function(FunctionName=subscriber)["Configuration"]["FunctionArn"]
    client.put_subscription_filter(logGroupName=name, filterName="all", filterPattern="", destinationArn=arn)
    counted = {"metricName": "Said", "metricNamespace": function, "metricValue": "1"}
    client.put_metric_filter(
        logGroupName=name, filterName="said", filterPattern="said", metricTransformations=[counted]
    )
    functions.delete_function(FunctionName=subscriber)

    functions.invoke(FunctionName=function)
    cloud.flush_logs()

    assert len(read(client, name, filterPattern="said")) == 2
    assert len(cloud.client("cloudwatch").list_metrics(Namespace=function)["Metrics"]) == 1
