"""What the tests of the local cloud share: a function to deploy, an API in front of it, a plain HTTP client."""

from __future__ import annotations

import http.client
import io
import json
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from replay.cloud import LocalCloud

ECHO = """
    import json, time

    def handler(event, context):
        if event.get("rawPath", "").startswith("/echo"):
            return event
        command = event if "version" not in event else json.loads(event.get("body") or "{}")
        if "sleep_s" in command:
            time.sleep(command["sleep_s"])
        if "raise" in command:
            raise ValueError(command["raise"])
        if "answer" in command:
            return command["answer"]
        return event
"""


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def make_zip(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", textwrap.dedent(source))
    return buffer.getvalue()


def role_arn(cloud: LocalCloud) -> str:
    iam = cloud.client("iam")
    try:
        return str(iam.get_role(RoleName="test")["Role"]["Arn"])
    except iam.exceptions.NoSuchEntityException:
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        return str(iam.create_role(RoleName="test", AssumeRolePolicyDocument=trust)["Role"]["Arn"])


def deploy(cloud: LocalCloud, source: str = ECHO, *, publish: bool = True, **settings: Any) -> str:
    """Create a function and, unless told not to, publish version 1; give its name."""
    name = unique("f")
    cloud.client("lambda").create_function(
        FunctionName=name,
        Role=role_arn(cloud),
        Runtime="python3.12",
        Handler="app.handler",
        Code={"ZipFile": make_zip(source)},
        Publish=publish,
        **{"Timeout": 10, **settings},
    )
    return name


def change(cloud: LocalCloud, name: str, note: str) -> str:
    """Change a function's configuration and publish it; give the new version."""
    client = cloud.client("lambda")
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"NOTE": note}})
    return str(client.publish_version(FunctionName=name)["Version"])


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


def call(
    url: str,
    body: bytes | str | None = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 40.0,
) -> Answer:
    """One request by a plain HTTP client; every status is an answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
    finally:
        connection.close()


@dataclass(frozen=True)
class HttpApi:
    """An HTTP API in front of an alias ``live``."""

    api_id: str
    url: str
    function: str
    alias_arn: str
    integration_id: str


def make_api(
    cloud: LocalCloud,
    function: str,
    *,
    routes: tuple[str, ...] = ("POST /genai",),
    permission: bool = True,
    stage: str = "$default",
    stage_settings: Mapping[str, Any] | None = None,
    integration: Mapping[str, Any] | None = None,
) -> HttpApi:
    client, gateway = cloud.client("lambda"), cloud.client("apigatewayv2")
    alias_arn = client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")["AliasArn"]
    api = gateway.create_api(Name=unique("api"), ProtocolType="HTTP")
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{alias_arn}/invocations"
    made = gateway.create_integration(
        ApiId=api["ApiId"],
        **{"IntegrationType": "AWS_PROXY", "IntegrationUri": uri, "PayloadFormatVersion": "2.0", **(integration or {})},
    )
    for key in routes:
        gateway.create_route(ApiId=api["ApiId"], RouteKey=key, Target=f"integrations/{made['IntegrationId']}")
    gateway.create_stage(ApiId=api["ApiId"], StageName=stage, AutoDeploy=True, **(stage_settings or {}))
    if permission:
        client.add_permission(
            FunctionName=function,
            Qualifier="live",
            StatementId="gateway",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:us-east-1:123456789012:{api['ApiId']}/*/*",
        )
    return HttpApi(api["ApiId"], api["ApiEndpoint"], function, alias_arn, made["IntegrationId"])


def eventually(condition: Callable[[], Any], deadline_s: float = 30.0) -> Any:
    """Give the first true value of ``condition``; fail where none comes in time."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {condition}")
        time.sleep(0.05)
