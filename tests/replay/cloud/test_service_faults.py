"""Services that fail on request: in their own protocol, so that the SDK reads AWS's error, and only while asked to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from replay.cloud import LocalCloud
from replay.errors import ReplayError
from tests.replay.cloud.support import deploy, eventually


@pytest.fixture
def faulty(cloud: LocalCloud) -> Iterator[LocalCloud]:
    yield cloud
    cloud.control("PUT", "/_tailcast/faults", {})


def _client(cloud: LocalCloud, service: str, **settings: Any) -> Any:
    config = Config(retries={"total_max_attempts": 1}, **settings)
    return boto3.Session().client(service, endpoint_url=cloud.endpoint_url, config=config)  # type: ignore[call-overload]


@pytest.fixture(autouse=True)
def _environment(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


_CALLS = {
    "logs": ("logs", "describe_log_groups", {}),
    "monitoring": ("cloudwatch", "list_metrics", {}),
    "dynamodb": ("dynamodb", "list_tables", {}),
    "lambda": ("lambda", "list_functions", {}),
    "sns": ("sns", "list_topics", {}),
}


@pytest.mark.parametrize("service", _CALLS)
@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [("throttled_share", "ThrottlingException", 400), ("unavailable_share", "ServiceUnavailableException", 503)],
)
def test_the_sdk_reads_the_services_own_error(faulty, service, fault, code, status):
    name, action, arguments = _CALLS[service]
    client = _client(faulty, name)
    faulty.control("PUT", "/_tailcast/faults", {service: {fault: 1.0}})
    with pytest.raises(ClientError) as caught:
        getattr(client, action)(**arguments)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    # The others work, and so does this one again once it may.
    other = "dynamodb" if service != "dynamodb" else "logs"
    getattr(_client(faulty, _CALLS[other][0]), _CALLS[other][1])()
    assert faulty.control("GET", "/_tailcast/faults")["struck"][service] >= 1
    faulty.control("PUT", "/_tailcast/faults", {})
    getattr(client, action)(**arguments)


def test_a_share_of_the_requests_fails(faulty):
    faulty.control("PUT", "/_tailcast/faults", {"logs": {"throttled_share": 0.5}})
    client, failed = _client(faulty, "logs"), 0
    for _ in range(60):
        try:
            client.describe_log_groups()
        except ClientError:
            failed += 1
    # Outside 12 to 48 of 60 once in a million.
    assert 12 <= failed <= 48


def test_a_silent_service_answers_nothing(faulty):
    faulty.control("PUT", "/_tailcast/faults", {"dynamodb": {"silent_share": 1.0, "silent_s": 30}})
    with pytest.raises(ReadTimeoutError):
        _client(faulty, "dynamodb", read_timeout=0.5).list_tables()


def test_late_lines_and_metrics_become_visible_in_time(faulty):
    function = deploy(faulty)
    faulty.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    faulty.flush_logs()
    logs, metrics = faulty.client("logs"), faulty.client("cloudwatch")

    def seen() -> tuple[int, float]:
        lines = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        now = datetime.now(UTC)
        points = metrics.get_metric_statistics(
            Namespace="AWS/Lambda", MetricName="Invocations", Statistics=["Sum"], Period=60,
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=now - timedelta(hours=1), EndTime=now + timedelta(minutes=1),
        )["Datapoints"]  # fmt: skip
        return len(lines), sum(point["Sum"] for point in points)

    lines, invocations = seen()
    assert (lines > 0, invocations) == (True, 1)
    faulty.control(
        "PUT", "/_tailcast/faults", {"logs": {"visible_after_s": 300}, "monitoring": {"visible_after_s": 300}}
    )
    assert seen() == (0, 0)
    faulty.control("PUT", "/_tailcast/faults", {"logs": {"visible_after_s": 1}, "monitoring": {"visible_after_s": 1}})
    eventually(lambda: seen() == (lines, invocations))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"s4": {}}, "unknown service 's4'"),
        ({"logs": {"slow": 1}}, "unknown key 'slow'"),
        ({"logs": {"throttled_share": -1}}, "must be a number, 0 or more"),
        ({"logs": {"throttled_share": 0.8, "silent_share": 0.8}}, "add up to 1.6"),
        ({"dynamodb": {"visible_after_s": 5}}, "is for logs and monitoring"),
        ({"logs": 3}, "give a JSON object"),
    ],
)
def test_what_makes_no_sense_is_refused(faulty, document, says):
    with pytest.raises(ReplayError, match=says):
        faulty.control("PUT", "/_tailcast/faults", document)
    assert faulty.control("GET", "/_tailcast/faults")["faults"] == {}
