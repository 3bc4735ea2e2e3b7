"""Function URLs of ordinary functions: the event, the answer, and what Lambda refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from replay.cloud import LocalCloud
from tests.replay.cloud.support import Answer, call, deploy, eventually


@pytest.fixture(scope="module")
def function(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    """A function with a URL on its alias; gives both."""
    name = deploy(cloud)
    client = cloud.client("lambda")
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield (
        name,
        client.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="AWS_IAM")["FunctionUrl"],
    )
    client.delete_function(FunctionName=name)


def signed(url: str, body: str = "", method: str = "POST", **headers: str) -> Answer:
    sent = {"host": urlsplit(url).netloc, "content-type": "application/json", **headers}
    request = AWSRequest(method, url, sent, body)
    SigV4Auth(Credentials("local", "local"), "lambda", "us-east-1").add_auth(request)
    return call(url, body, method=method, headers=dict(request.headers.items()))


def test_the_event_is_that_of_payload_format_2_and_says_who_signed(
    cloud: LocalCloud, function: tuple[str, str]
) -> None:
    url_id = function[1].rstrip("/").rpartition("/")[2]
    event = signed(f"{function[1]}echo/a%20b?x=1&x=2&y=%2F", '{"a": 1}', cookie="k=v").json()
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/echo/a%20b", "x=1&x=2&y=%2F")
    assert event["queryStringParameters"] == {"x": "1,2", "y": "/"}
    assert (event["body"], event["isBase64Encoded"], event["cookies"]) == ('{"a": 1}', False, ["k=v"])
    context = event["requestContext"]
    assert context["domainName"] == f"{url_id}.lambda-url.us-east-1.on.aws"
    assert (context["http"]["method"], context["stage"], context["routeKey"]) == ("POST", "$default", "$default")
    assert context["authorizer"]["iam"]["userArn"] == "arn:aws:iam::123456789012:root"


def test_it_is_found_by_its_host_too(cloud: LocalCloud, function: tuple[str, str]) -> None:
    url_id = function[1].rstrip("/").rpartition("/")[2]
    host = f"{url_id}.lambda-url.us-east-1.on.aws"
    request = AWSRequest("GET", f"http://{host}/echo", {"host": host})
    SigV4Auth(Credentials("local", "local"), "lambda", "us-east-1").add_auth(request)
    answer = call(f"{cloud.endpoint_url}/echo", method="GET", headers=dict(request.headers.items()))
    assert (answer.status, answer.json()["rawPath"]) == (200, "/echo")


def test_the_function_says_status_headers_and_body(function: tuple[str, str]) -> None:
    told = {"statusCode": 418, "headers": {"x-own": "yes", "connection": "close"}, "body": "tea", "cookies": ["a=1"]}
    answer = signed(function[1], json.dumps({"answer": told}))
    assert (answer.status, answer.body, answer.headers["x-own"]) == (418, b"tea", "yes")
    assert answer.headers["set-cookie"] == "a=1"


def test_what_lambda_refuses(cloud: LocalCloud, function: tuple[str, str]) -> None:
    name, url = function
    assert signed(url, json.dumps({"raise": "no"})).status == 502
    assert signed(url, json.dumps({"answer": {"statusCode": "many"}})).status == 502
    client: Any = cloud.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert eventually(lambda: (answer := signed(url)).status == 429 and answer).json() == {
        "Message": "Too Many Requests"
    }
    client.delete_function_concurrency(FunctionName=name)
    assert signed(url).status == 200


def test_a_url_goes_with_its_alias(cloud: LocalCloud, function: tuple[str, str]) -> None:
    client: Any = cloud.client("lambda")
    client.create_alias(FunctionName=function[0], Name="gone", FunctionVersion="1")
    made = client.create_function_url_config(FunctionName=function[0], Qualifier="gone", AuthType="AWS_IAM")
    assert signed(f"{made['FunctionUrl']}echo").status == 200
    client.delete_alias(FunctionName=function[0], Name="gone")
    assert signed(f"{made['FunctionUrl']}echo").status == 404
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="is a version"):
        client.create_function_url_config(FunctionName=function[0], Qualifier="1", AuthType="AWS_IAM")
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="AuthType 'OPEN'"):
        client.create_function_url_config(FunctionName=function[0], AuthType="OPEN")
