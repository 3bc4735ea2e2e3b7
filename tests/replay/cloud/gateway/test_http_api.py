"""HTTP APIs declared through boto3, called by a plain HTTP client."""

from __future__ import annotations

import base64
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from replay.cloud import LocalCloud
from tests.replay.cloud.support import Answer, HttpApi, call, change, deploy, eventually, make_api, unique


@pytest.fixture(scope="module")
def function(cloud: LocalCloud) -> str:
    return deploy(cloud)


@pytest.fixture(scope="module")
def api(cloud: LocalCloud, function: str) -> HttpApi:
    return make_api(cloud, function, routes=("POST /genai", "ANY /echo/{name}/{rest+}", "GET /pets/{id}"))


def ask(api: HttpApi, **command: Any) -> Answer:
    return call(f"{api.url}/genai", json.dumps(command), headers={"Content-Type": "application/json"})


def test_the_event_has_payload_format_2(api: HttpApi) -> None:
    answer = call(
        f"{api.url}/echo/a%20b/c/d?x=1&x=2&y=%26",
        '{"hello": "ü"}'.encode(),
        method="PUT",
        headers={"X-Many": "1", "Cookie": "a=1; b=2", "Content-Type": "application/json", "User-Agent": "test"},
    )

    event = answer.json()
    assert event["version"] == "2.0"
    assert event["routeKey"] == "ANY /echo/{name}/{rest+}"
    assert event["rawPath"] == "/echo/a%20b/c/d"
    assert event["rawQueryString"] == "x=1&x=2&y=%26"
    assert event["queryStringParameters"] == {"x": "1,2", "y": "&"}
    assert event["pathParameters"] == {"name": "a b", "rest": "c/d"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-many"] == "1"
    assert "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"hello": "ü"}', False)
    context = event["requestContext"]
    assert (context["accountId"], context["apiId"], context["stage"]) == ("123456789012", api.api_id, "$default")
    assert context["http"] == {
        "method": "PUT",
        "path": "/echo/a%20b/c/d",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test",
    }
    assert context["requestId"] == answer.headers["apigw-requestid"]
    assert abs(context["timeEpoch"] / 1000 - time.time()) < 30
    assert context["domainName"] == event["headers"]["host"] == f"{api.api_id}.execute-api.us-east-1.amazonaws.com"


def test_a_request_without_body_and_query_has_none(api: HttpApi) -> None:
    event = call(f"{api.url}/pets/7", method="GET").json()

    assert not {"body", "queryStringParameters", "cookies", "stageVariables"} & set(event)
    assert event["pathParameters"] == {"id": "7"}


def test_binary_bodies_are_in_base64(api: HttpApi) -> None:
    event = call(f"{api.url}/echo/a/b", b"\x00\xff", headers={"Content-Type": "application/octet-stream"}).json()

    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\x00\xff"


def test_an_answer_with_a_status_says_everything(api: HttpApi) -> None:
    answer = ask(
        api,
        answer={
            "statusCode": 418,
            "headers": {"X-Kind": "teapot", "X-Number": 7, "content-type": "text/x-tea"},
            "cookies": ["a=1; Path=/"],
            "body": base64.b64encode(b"\x01short").decode(),
            "isBase64Encoded": True,
        },
    )

    assert (answer.status, answer.body) == (418, b"\x01short")
    assert (answer.headers["x-kind"], answer.headers["x-number"]) == ("teapot", "7")
    assert answer.headers["content-type"] == "text/x-tea"
    assert answer.headers["set-cookie"] == "a=1; Path=/"


@pytest.mark.parametrize(
    ("returned", "body"), [({"a": 1}, b'{"a": 1}'), ("plain", b"plain"), ([1, 2], b"[1, 2]"), (None, b"null")]
)
def test_any_other_json_is_the_body_of_a_200(api: HttpApi, returned: Any, body: bytes) -> None:
    answer = ask(api, answer=returned)

    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    "returned",
    [
        {"statusCode": "ok"},
        {"statusCode": 99},
        {"statusCode": 100},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"x-a": "two\nlines"}},
        {"statusCode": 200, "headers": {"x a": "b"}},
        {"statusCode": 200, "cookies": ["a=1\r\n"]},
        {"statusCode": 200, "body": "%", "isBase64Encoded": True},
    ],
)
def test_a_malformed_answer_is_a_500_without_internals(api: HttpApi, returned: Any) -> None:
    answer = ask(api, answer=returned)

    assert (answer.status, answer.json()) == (500, {"message": "Internal Server Error"})


def test_an_exception_is_a_500_without_internals(api: HttpApi) -> None:
    answer = ask(api, **{"raise": "secret"})

    assert (answer.status, answer.json()) == (500, {"message": "Internal Server Error"})


@pytest.mark.parametrize(("method", "path"), [("GET", "/genai"), ("POST", "/none"), ("POST", "/")])
def test_no_route_is_a_404(api: HttpApi, method: str, path: str) -> None:
    answer = call(api.url + path, method=method)

    assert (answer.status, answer.json()) == (404, {"message": "Not Found"})
    assert answer.headers["apigw-requestid"]


def test_an_unknown_api_is_a_404(cloud: LocalCloud) -> None:
    assert call(f"{cloud.endpoint_url}/_aws/execute-api/nobody/x").status == 404


def test_the_host_names_the_api_too(cloud: LocalCloud, api: HttpApi) -> None:
    host = f"{api.api_id}.execute-api.us-east-1.amazonaws.com"

    assert call(f"{cloud.endpoint_url}/pets/7", method="GET", headers={"Host": host}).status == 200


def test_a_named_stage_is_part_of_the_path(cloud: LocalCloud) -> None:
    api = make_api(
        cloud,
        deploy(cloud),
        routes=("GET /pets/{id}",),
        stage="dev",
        stage_settings={"StageVariables": {"color": "red"}},
    )

    event = call(f"{api.url}/dev/pets/7", method="GET").json()

    assert (event["rawPath"], event["requestContext"]["stage"]) == ("/dev/pets/7", "dev")
    assert event["stageVariables"] == {"color": "red"}
    assert call(f"{api.url}/pets/7", method="GET").status == 404


def test_a_missing_permission_is_a_500(cloud: LocalCloud) -> None:
    function = deploy(cloud)
    api = make_api(cloud, function, permission=False)
    assert (ask(api).status, ask(api).json()) == (500, {"message": "Internal Server Error"})

    grant = {
        "FunctionName": function,
        "StatementId": "gateway",
        "Action": "lambda:InvokeFunction",
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": f"arn:aws:execute-api:us-east-1:123456789012:{api.api_id}/*/*/genai",
    }
    cloud.client("lambda").add_permission(**grant)
    assert ask(api).status == 500, "a permission on the function is none on its alias"

    cloud.client("lambda").add_permission(**grant, Qualifier="live")
    assert ask(api).status == 200
    assert "has no permission" in cloud.log.read_text()


def test_throttling_by_stage_refuses_the_excess(cloud: LocalCloud) -> None:
    settings = {"DefaultRouteSettings": {"ThrottlingBurstLimit": 3, "ThrottlingRateLimit": 0.01}}
    api = make_api(cloud, deploy(cloud), stage_settings=settings)

    answers = [ask(api, answer={"statusCode": 200}) for _ in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json() == {"message": "Too Many Requests"}


def test_a_route_has_settings_of_its_own(cloud: LocalCloud) -> None:
    settings = {
        "DefaultRouteSettings": {"ThrottlingBurstLimit": 1, "ThrottlingRateLimit": 0.01},
        "RouteSettings": {"POST /genai": {"ThrottlingBurstLimit": 2, "ThrottlingRateLimit": 0.01}},
    }
    api = make_api(cloud, deploy(cloud), routes=("POST /genai", "GET /other"), stage_settings=settings)

    assert [ask(api, answer=1).status for _ in range(3)] == [200, 200, 429]
    assert [call(f"{api.url}/other", method="GET").status for _ in range(2)] == [200, 429]


def test_the_integration_time_out_answers_the_caller_while_the_function_works_on(cloud: LocalCloud) -> None:
    function = deploy(
        cloud,
        "import time\ndef handler(event, context):\n    time.sleep(2)\n    print('worked on')\n",
    )
    api = make_api(cloud, function, integration={"TimeoutInMillis": 500})

    started = time.perf_counter()
    answer = ask(api)
    took_s = time.perf_counter() - started

    assert (answer.status, answer.json()) == (503, {"message": "Service Unavailable"})
    assert 0.45 < took_s < 1.9

    def worked_on() -> bool:
        cloud.flush_logs()
        events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        return any(event["message"].strip() == "worked on" for event in events)

    eventually(worked_on)


def test_no_capacity_is_a_503(cloud: LocalCloud) -> None:
    function = deploy(cloud)
    api = make_api(cloud, function)
    cloud.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)

    with ThreadPoolExecutor(3) as pool:
        statuses = sorted(answer.status for answer in pool.map(lambda _: ask(api, sleep_s=0.8), range(3)))

    assert statuses == [200, 503, 503]


def test_a_body_over_10_mb_is_refused(api: HttpApi) -> None:
    answer = call(f"{api.url}/genai", b"x" * (10 * 1024 * 1024 + 1))

    assert (answer.status, answer.json()) == (413, {"message": "Request Entity Too Large"})


@pytest.mark.parametrize(
    ("change_api", "status"),
    [
        (lambda gateway, api: gateway.delete_integration(ApiId=api.api_id, IntegrationId=api.integration_id), 500),
        (
            lambda gateway, api: gateway.update_integration(
                ApiId=api.api_id, IntegrationId=api.integration_id, PayloadFormatVersion="1.0"
            ),
            501,
        ),
        (lambda gateway, api: gateway.update_api(ApiId=api.api_id, DisableExecuteApiEndpoint=True), 404),
        (lambda gateway, api: gateway.delete_api(ApiId=api.api_id), 404),
    ],
    ids=["integration gone", "payload format 1.0", "endpoint disabled", "api gone"],
)
def test_what_the_gateway_cannot_serve(cloud: LocalCloud, change_api: Any, status: int) -> None:
    api = make_api(cloud, deploy(cloud))
    assert ask(api, answer=1).status == 200

    change_api(cloud.client("apigatewayv2"), api)

    assert ask(api, answer=1).status == status


def test_a_route_with_authorization_is_not_served_without(cloud: LocalCloud) -> None:
    api = make_api(cloud, deploy(cloud), routes=())
    cloud.client("apigatewayv2").create_route(
        ApiId=api.api_id,
        RouteKey="POST /genai",
        AuthorizationType="AWS_IAM",
        Target=f"integrations/{api.integration_id}",
    )

    assert ask(api).status == 501


def test_the_alias_decides_which_version_answers(cloud: LocalCloud) -> None:
    function = deploy(cloud, "def handler(event, context):\n    return {'version': context.function_version}\n")
    api = make_api(cloud, function)
    assert ask(api).json() == {"version": "1"}
    change(cloud, function, "two")

    cloud.client("lambda").update_alias(FunctionName=function, Name="live", FunctionVersion="2")

    assert ask(api).json() == {"version": "2"}


def test_requests_are_counted_and_logged(cloud: LocalCloud) -> None:
    group = unique("/access")
    cloud.client("logs").create_log_group(logGroupName=group)
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{group}"
    line = '{"id":"$context.requestId","route":"$context.routeKey","status":$context.status,"none":"$context.nothing"}'
    api = make_api(cloud, deploy(cloud), stage_settings={"AccessLogSettings": {"DestinationArn": arn, "Format": line}})
    answers = [ask(api, answer=1), call(f"{api.url}/none")]
    cloud.flush_logs()

    events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    found = [json.loads(event["message"]) for event in events]
    assert found[0] == {
        "id": answers[0].headers["apigw-requestid"],
        "route": "POST /genai",
        "status": 200,
        "none": "-",
    }
    assert found[1]["status"] == 404

    now = datetime.now(UTC)
    points = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApiGateway",
        MetricName="Count",
        Dimensions=[{"Name": "ApiId", "Value": api.api_id}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    assert sum(point["Sum"] for point in points) == 2


def test_the_same_connection_serves_many_requests(api: HttpApi) -> None:

    parts = urlsplit(api.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.connect()
        first = connection.sock
        for _ in range(20):
            connection.request("GET", f"{parts.path}/pets/1")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        assert connection.sock is first
    finally:
        connection.close()
