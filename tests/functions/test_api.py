"""The whole API as Terraform deploys it, on the local cloud: real tokens, keys and tables, and a plain HTTP client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from replay.cli.dashboard import dashboard as dashboard_command
from replay.cli.key import key as key_command
from replay.cloud import CloudConfig, LocalCloud
from replay.cloud.config import DEFAULT_MODELS
from replay.dashboard.figures import FIGURES, address
from replay.deploy import Deployment, DeployRequest, deploy
from replay.deploy.state import FolderState
from tests.functions import openapi
from tests.functions.bad_requests import CANARY, REQUESTS, Sent
from tests.replay.cloud.support import Answer, call
from tests.terraform_provider import provider_for

pytestmark = pytest.mark.slow

PROMPT = "What is six times seven?"


@dataclass(frozen=True)
class Deployed:
    cloud: LocalCloud
    request: DeployRequest
    deployment: Deployment
    table: str

    def post(self, body: Any, path: str = "/genai", method: str = "POST", **headers: str) -> Answer:
        raw = body if isinstance(body, (str, bytes)) else json.dumps(body)
        sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return call(f"{self.deployment.api_endpoint}{path}", raw, method=method, headers=sent)

    def key(self, *arguments: str) -> str:
        options = ["--table", self.table, "--endpoint-url", self.cloud.endpoint_url, "--region", "us-east-1"]
        result = CliRunner().invoke(key_command, [*arguments, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output.strip()


def auth_output(request: DeployRequest) -> dict[str, Any]:
    found: dict[str, Any] = FolderState(request.state_dir).outputs()["auth"]
    return found


@pytest.fixture(scope="module")
def deployed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    # Which model answers matters here, not how fast.
    config = CloudConfig(seed=1, bedrock_models={**DEFAULT_MODELS, "*": "nova-lite"})
    with LocalCloud(config) as cloud, provider_for(cloud, project), pytest.MonkeyPatch.context() as patch:
        for name, value in cloud.environment().items():
            patch.setenv(name, value)
        request = DeployRequest(
            "dev",
            "baseline",
            project,
            tmp_path_factory.mktemp("api"),
            endpoint_url=cloud.endpoint_url,
            variables={
                "auth": {"mode": "api_key", "cache_s": 0, "rate_timeout_ms": 5_000},
                "observability": {"enabled": True},
                "cache": {"enabled": True, "timeout_ms": 2_000},
                "cors": {"allow_origins": ["https://app.example.com"]},
                "throttle_rate_rps": 500,
                "throttle_burst": 500,
                "max_prompt_chars": 2_000,
                "streaming": {"enabled": True},
                "provisioned_concurrency": {"baseline": 0, "optimized": 0},
            },
        )
        deployment = deploy(request)
        yield Deployed(cloud, request, deployment, auth_output(request)["keys_table"])


@pytest.fixture(scope="module")
def api_key(deployed: Deployed) -> str:
    return deployed.key("create", "acme")


@pytest.mark.parametrize("path", ["/genai", "/ai"])
def test_a_key_opens_both_routes_and_the_answer_is_complete(deployed: Deployed, api_key: str, path: str) -> None:
    answer = deployed.post({"prompt": PROMPT}, path, x_api_key=api_key, cache_control="no-store")
    assert answer.status == 200, answer.body
    body = answer.json()
    assert body["tier"] == "standard"
    assert body["cost_usd"] > 0
    assert body["usage"]["output_tokens"] > 0
    assert body["cached"] is False
    assert body["request_id"] == answer.headers["x-request-id"]


def test_the_stream_is_deployed_beside_it_and_asks_for_a_signature(deployed: Deployed) -> None:
    url = f"{deployed.deployment.stream_url}stream"
    assert call(url, json.dumps({"prompt": PROMPT})).status == 403
    request = AWSRequest("POST", url, {"host": urlsplit(url).netloc}, json.dumps({"prompt": PROMPT}))
    SigV4Auth(Credentials("local", "local"), "lambda", "us-east-1").add_auth(request)
    answer = call(url, json.dumps({"prompt": PROMPT}), headers=dict(request.headers.items()))
    assert answer.status == 200, answer.body
    last = answer.body.decode().strip().rpartition("event: ")[2]
    assert last.startswith("done\n")
    assert json.loads(last.partition("data: ")[2])["cost_usd"] > 0


def test_each_tier_is_its_model(deployed: Deployed, api_key: str) -> None:
    models = {
        tier: deployed.post({"prompt": PROMPT, "tier": tier}, x_api_key=api_key).json()["model"]
        for tier in ("fast", "standard", "reasoning")
    }
    assert models == {
        "fast": "us.amazon.nova-micro-v1:0",
        "standard": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "reasoning": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    }


def test_the_second_answer_comes_from_the_table_and_only_to_the_same_tenant(deployed: Deployed, api_key: str) -> None:
    question = {"prompt": "Asked twice?"}
    seen = [deployed.post(question, x_api_key=api_key).json() for _ in range(2)]
    assert [body["cached"] for body in seen] == [False, True]
    assert seen[0]["response"] == seen[1]["response"]
    assert seen[1]["cost_usd"] == 0
    assert deployed.post(question, x_api_key=deployed.key("create", "other")).json()["cached"] is False
    assert deployed.post(question, x_api_key=api_key, cache_control="no-store").json()["cached"] is False


def test_every_refusal_has_its_status(deployed: Deployed, api_key: str) -> None:
    def status(body: Any = None, **rest: Any) -> int:
        return deployed.post({"prompt": PROMPT} if body is None else body, **{"x_api_key": api_key, **rest}).status

    assert deployed.post({"prompt": PROMPT}).status == 401
    assert status(x_api_key="wrong") == 403
    assert status(x_api_key=api_key[:-1] + ("A" if api_key[-1] != "A" else "B")) == 403
    assert status(path="/nothing") == 404
    assert status(method="GET") == 404
    assert status(content_type="text/plain") == 415
    assert status("{") == 400
    assert status({"prompt": "x" * 2_001}) == 400
    assert status({"prompt": PROMPT, "tier": "best"}) == 400
    assert status(b" " * 1_100_000) == 413
    assert status(b" " * 10_500_000) == 413


def test_a_rotated_key_works_beside_its_former_secret_and_a_revoked_one_not_at_all(deployed: Deployed) -> None:
    old = deployed.key("create", "rotating")
    key_id = old.split("_")[1]
    new = deployed.key("rotate", key_id, "--grace-hours", "1")
    assert [deployed.post({"prompt": PROMPT}, x_api_key=value).status for value in (old, new)] == [200, 200]
    newest = deployed.key("rotate", key_id, "--grace-hours", "0")
    statuses = [deployed.post({"prompt": PROMPT}, x_api_key=value).status for value in (old, new, newest)]
    assert statuses == [403, 403, 200]
    deployed.key("revoke", key_id)
    assert deployed.post({"prompt": PROMPT}, x_api_key=newest).status == 403
    assert f"{key_id}  rotating" in deployed.key("list")
    assert newest.split("_", 2)[2] not in str(deployed.cloud.client("dynamodb").scan(TableName=deployed.table)["Items"])


def test_a_key_with_a_rate_may_burst_and_then_waits(deployed: Deployed, api_key: str) -> None:
    """End to end: the authorizer hands the rate on, the function counts in the table that Terraform made."""
    limited = deployed.key("create", "limited", "--rate", "0.01", "--burst", "3")
    key_id = limited.split("_")[1]
    assert "0.01 a second, 3 at once" in deployed.key("list")
    answers = [deployed.post({"prompt": PROMPT}, x_api_key=limited) for _ in range(6)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429, 429]
    assert answers[3].json()["error"]["code"] == "RateLimited"
    assert 1 <= int(answers[3].headers["retry-after"]) <= 100
    # Others are not touched, and a key whose rate is taken away is free again.
    assert deployed.post({"prompt": PROMPT}, x_api_key=api_key).status == 200
    assert "no rate of its own" in deployed.key("limit", key_id)
    assert {deployed.post({"prompt": PROMPT}, x_api_key=limited).status for _ in range(4)} == {200}


def test_a_page_of_the_named_origin_may_call(deployed: Deployed, api_key: str) -> None:
    origin = "https://app.example.com"
    asked = deployed.post("", method="OPTIONS", origin=origin, access_control_request_method="POST")
    assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, origin)
    assert "x-api-key" in asked.headers["access-control-allow-headers"]
    answer = deployed.post({"prompt": PROMPT}, x_api_key=api_key, origin=origin)
    assert answer.headers["access-control-allow-origin"] == origin


def test_the_terminal_shows_what_terraforms_dashboard_shows(deployed: Deployed, api_key: str) -> None:
    """The same metrics and statistics, and figures of the requests that the tests have sent."""
    assert deployed.post({"prompt": "Anything new?"}, x_api_key=api_key).status == 200
    cloudwatch = deployed.cloud.client("cloudwatch")
    body = json.loads(cloudwatch.get_dashboard(DashboardName="tailcast-dev")["DashboardBody"])
    entries = [entry for widget in body["widgets"] for entry in widget["properties"]["metrics"]]
    on_dashboard = {(one[0], one[1], one[-1]["stat"]) for one in entries if isinstance(one[0], str)}
    function, version = deployed.deployment.function_name, deployed.deployment.versions["baseline"]
    in_terminal = set()
    for figure in FIGURES:
        found = address(figure, function, version, deployed.deployment.api_id)
        assert found is not None
        in_terminal |= {
            (found[0], metric, figure.statistic) for metric in (figure.metric, figure.part_of) if metric is not None
        }
    assert on_dashboard == in_terminal

    arguments = ["show", "--env", "dev", "--json", "--endpoint-url", deployed.cloud.endpoint_url]
    limit_s = time.monotonic() + 30
    while True:
        result = CliRunner().invoke(dashboard_command, [*arguments, "--region", "us-east-1"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        values = {(one["key"], one["version"]): one["window"]["value"] for one in document["figures"]}
        if (values["requests", version] and values["init_mean_ms", None]) or time.monotonic() > limit_s:
            break
        time.sleep(0.1)
    assert document["api_id"] == deployed.deployment.api_id
    assert values["requests", version] >= 1
    assert values["cost_usd", version] > 0
    assert 0 < values["inference_share", version] <= 100
    assert values["init_mean_ms", None] > 1
    assert values["api_requests", None] >= 1


def test_whatever_is_sent_is_the_callers_mistake_or_answered(deployed: Deployed, api_key: str) -> None:
    """The bad requests of test_bad_requests.py over HTTP; none of what they say is in any log."""

    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(REQUESTS.filter(lambda sent: sent.method not in ("HEAD", "OPTIONS")))
    def send(sent: Sent) -> None:
        answer = deployed.post(sent.body, path=sent.path, method=sent.method, x_api_key=api_key, **sent.headers)
        assert answer.status < 500, answer.body
        openapi.check(sent.path.partition("?")[0], answer.status, answer.json())
        assert "Traceback" not in answer.body.decode()

    send()
    logs = deployed.cloud.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    assert deployed.deployment.log_group_name in groups
    for group in groups:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        events = [event["message"] for page in pages for event in page["events"]]
        assert events, f"{group} is empty, so nothing was looked at"
        for event in events:
            assert CANARY not in event
            assert PROMPT not in event
            assert api_key.split("_")[2] not in event
            assert "Traceback" not in event


def test_tokens_take_the_place_of_keys_when_the_environment_says_so(deployed: Deployed, api_key: str) -> None:
    """Last, since it changes the deployment: keys to tokens, by one apply, and throttled as dev is."""
    variables = {**deployed.request.variables, "auth": {"mode": "jwt", "mfa": "OFF"}}
    del variables["throttle_rate_rps"], variables["throttle_burst"]
    request = replace(deployed.request, variables=variables)
    guarded = replace(deployed, deployment=deploy(request))
    pool = auth_output(request)
    cognito = deployed.cloud.client("cognito-idp")
    cognito.admin_create_user(UserPoolId=pool["user_pool_id"], Username="ada@example.com", MessageAction="SUPPRESS")
    cognito.admin_set_user_password(
        UserPoolId=pool["user_pool_id"], Username="ada@example.com", Password="Correct-horse-1", Permanent=True
    )
    tokens = cognito.admin_initiate_auth(
        UserPoolId=pool["user_pool_id"],
        ClientId=pool["client_id"],
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ada@example.com", "PASSWORD": "Correct-horse-1"},
    )["AuthenticationResult"]

    assert guarded.post({"prompt": PROMPT}, x_api_key=api_key).status == 401
    assert guarded.post({"prompt": PROMPT}, authorization=f"Bearer {tokens['AccessToken']}").status == 200
    # What the tenant of the key asked is not shown to the token's owner.
    assert guarded.post({"prompt": "Asked twice?"}, authorization=tokens["IdToken"]).json()["cached"] is False
    with ThreadPoolExecutor(20) as pool_of_callers:
        asked = [pool_of_callers.submit(guarded.post, {}, authorization=tokens["IdToken"]) for _ in range(40)]
        statuses = {future.result().status for future in asked}
    assert statuses == {400, 429}
    # And again with nothing changed: nothing changes.
    assert not deploy(request).changed
