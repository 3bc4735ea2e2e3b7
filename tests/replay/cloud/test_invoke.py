"""Invoke through boto3: what it answers, and how it refuses."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replay.cloud import LocalCloud
from tests.replay.cloud.support import call, deploy, eventually


@pytest.fixture(scope="module")
def function(cloud: LocalCloud) -> str:
    return deploy(cloud)


def invoke(cloud: LocalCloud, name: str, event: Any, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), **options)
    answer["Body"] = answer["Payload"].read()
    return answer


def test_an_answer_names_the_version_that_gave_it(cloud: LocalCloud, function: str) -> None:
    answer = invoke(cloud, function, {"a": "ü"}, Qualifier="1", LogType="Tail")

    assert answer["StatusCode"] == 200
    assert json.loads(answer["Body"]) == {"a": "ü"}
    assert answer["ExecutedVersion"] == "1"
    assert "FunctionError" not in answer
    assert (
        "REPORT RequestId: " + answer["ResponseMetadata"]["RequestId"] in base64.b64decode(answer["LogResult"]).decode()
    )


def test_latest_runs_where_no_qualifier_is_given(cloud: LocalCloud, function: str) -> None:
    assert invoke(cloud, function, {})["ExecutedVersion"] == "$LATEST"


@pytest.mark.parametrize(
    "form",
    [
        "{name}:1",
        "123456789012:function:{name}:1",
        "arn:aws:lambda:us-east-1:123456789012:function:{name}:1",
        "function:{name}:1",
    ],
)
def test_a_function_has_many_names(cloud: LocalCloud, function: str, form: str) -> None:
    assert invoke(cloud, form.format(name=function), {})["ExecutedVersion"] == "1"


def test_an_exception_is_the_functions_error(cloud: LocalCloud, function: str) -> None:
    answer = invoke(cloud, function, {"raise": "no"}, Qualifier="1")

    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.loads(answer["Body"])["errorType"] == "ValueError"


def test_an_event_is_queued(cloud: LocalCloud, function: str) -> None:
    assert invoke(cloud, function, {"note": "later"}, InvocationType="Event", Qualifier="1")["StatusCode"] == 202


def test_a_dry_run_runs_nothing(cloud: LocalCloud, function: str) -> None:
    assert invoke(cloud, function, {}, InvocationType="DryRun", Qualifier="1")["StatusCode"] == 204


@pytest.mark.parametrize("target", [("nobody", None), ("{name}", "77"), ("{name}", "nowhere")])
def test_an_unknown_target_is_not_found(cloud: LocalCloud, function: str, target: tuple[str, str | None]) -> None:
    name, qualifier = target[0].format(name=function), target[1]
    options = {} if qualifier is None else {"Qualifier": qualifier}

    with pytest.raises(cloud.client("lambda").exceptions.ResourceNotFoundException) as caught:
        invoke(cloud, name, {}, **options)

    suffix = f":{qualifier}" if qualifier else ""
    assert caught.value.response["Error"]["Message"] == (
        f"Function not found: arn:aws:lambda:us-east-1:123456789012:function:{name}{suffix}"
    )


def test_a_request_over_6_mb_is_too_large(cloud: LocalCloud, function: str) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(cloud, function, {"x": "y" * 6_300_000}, Qualifier="1")

    assert caught.value.response["Error"]["Code"] == "RequestTooLargeException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_body_that_is_not_json_is_refused(cloud: LocalCloud, function: str) -> None:
    with pytest.raises(cloud.client("lambda").exceptions.InvalidRequestContentException):
        cloud.client("lambda").invoke(FunctionName=function, Payload=b"{", Qualifier="1")


def test_over_the_reserved_concurrency_exactly_the_excess_is_throttled(cloud: LocalCloud) -> None:
    name = deploy(cloud)
    client = cloud.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)

    def attempt(_: int) -> ClientError | None:
        try:
            invoke(cloud, name, {"sleep_s": 1.0}, Qualifier="1")
        except ClientError as error:
            return error
        return None

    with ThreadPoolExecutor(5) as pool:
        refused = [error for error in pool.map(attempt, range(5)) if error is not None]

    assert len(refused) == 3
    for error in refused:
        assert error.response["Error"]["Code"] == "TooManyRequestsException"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert error.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert error.response["Type"] == "User"


def test_new_configuration_runs_at_once(cloud: LocalCloud) -> None:
    name = deploy(cloud, "import os\ndef handler(event, context):\n    return os.environ.get('NOTE')\n")
    assert json.loads(invoke(cloud, name, {})["Body"]) is None

    cloud.client("lambda").update_function_configuration(
        FunctionName=name, Environment={"Variables": {"NOTE": "second"}}
    )

    assert json.loads(invoke(cloud, name, {})["Body"]) == "second"
    assert json.loads(invoke(cloud, name, {}, Qualifier="1")["Body"]) is None


def test_a_function_reaches_the_cloud_it_runs_on(cloud: LocalCloud) -> None:
    name = deploy(
        cloud,
        """
        import os, urllib.request
        def handler(event, context):
            with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_tailcast/health", timeout=5) as answer:
                return answer.status
        """,
    )

    assert json.loads(invoke(cloud, name, {})["Body"]) == 200


def test_a_topic_invokes_its_subscriber(cloud: LocalCloud) -> None:
    name = deploy(cloud, "def handler(event, context):\n    print('got', event['Records'][0]['Sns']['Message'])\n")
    sns, logs = cloud.client("sns"), cloud.client("logs")
    topic = sns.create_topic(Name=f"t-{name}")["TopicArn"]
    arn = cloud.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)

    sns.publish(TopicArn=topic, Message="hello")

    def logged() -> list[str]:
        cloud.flush_logs()
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern='"got hello"')["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    assert eventually(logged)


def test_an_action_that_is_missing_says_so_and_is_not_retried(cloud: LocalCloud) -> None:
    with pytest.raises(ClientError) as caught:
        cloud.client("lambda").list_code_signing_configs()

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 501)


def test_health_answers(cloud: LocalCloud) -> None:
    assert cloud.control("GET", "/_tailcast/health")["pid"] == cloud.pid
    assert call(f"{cloud.endpoint_url}/_tailcast/nothing", method="GET").status == 404


def test_a_large_upload_does_not_wait_for_permission(cloud: LocalCloud) -> None:
    """The SDK sends ``Expect: 100-continue`` and waits a second where nobody answers it."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="uploads")
    started = time.perf_counter()

    s3.put_object(Bucket="uploads", Key="big", Body=b"x" * 2_000_000)

    assert time.perf_counter() - started < 0.9
    assert s3.get_object(Bucket="uploads", Key="big")["Body"].read() == b"x" * 2_000_000


def test_a_cloud_whose_helper_process_has_died_says_so() -> None:
    with LocalCloud() as own:
        client = own.client("lambda")
        name = deploy(own, "import os\n\ndef handler(event, context):\n    return os.getppid()\n")
        os.kill(int(client.invoke(FunctionName=name)["Payload"].read()), signal.SIGKILL)

        def refusal() -> str:
            try:
                client.invoke(FunctionName=name)
            except client.exceptions.ServiceException as error:
                return str(error)
            return ""

        assert "start it again" in eventually(refusal)
