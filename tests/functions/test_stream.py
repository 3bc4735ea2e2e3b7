"""``POST /stream`` on the local cloud: the packaged function behind a Function URL, and a plain HTTP client."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from replay.bench.clients import Endpoint
from replay.bench.direct import address_of, post
from replay.bench.targets import Target
from replay.bench.transport import ConnectionPool
from replay.cloud import CloudConfig, LocalCloud
from replay.cloud.bedrock.streaming.service import SENT_PATH, SETTINGS_PATH
from replay.drive import drive, parse_target
from replay.package import build_package
from replay.record import Settle, record
from tests.replay.cloud.support import eventually, role_arn, unique

pytestmark = pytest.mark.slow

WAIT_S = 40.0
ROOT = Credentials("local", "local")
LAYER = "arn:aws:lambda:us-east-1:753240598075:layer:LambdaAdapterLayerArm64:26"
CATALOGUE = """
[models."own.model"]
ttft_ms = [150]
decode_ms = 300
answer_tokens = 20
regions = ["us-east-1"]
connection_setup_ms = 0
prefill_ms_per_token = 0

[models."late.model"]
ttft_ms = [60000]
decode_ms = 300
regions = ["us-east-1"]

[models."slow.model"]
ttft_ms = [20]
decode_ms = 20000
answer_tokens = 400
regions = ["us-east-1"]
connection_setup_ms = 0
prefill_ms_per_token = 0
"""
PROMPT = "What is six times seven?"


@dataclass
class Answer:
    """An answer as it arrives."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse
    arrived_s: list[float] = field(default_factory=list)
    """Seconds of the system's monotonic clock at which each event was read."""

    @property
    def status(self) -> int:
        return self.response.status

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        name = ""
        for line in self.response:
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                name = text.removeprefix("event: ")
            elif text.startswith("data: "):
                self.arrived_s.append(time.perf_counter())
                yield name, json.loads(text.removeprefix("data: "))

    def json(self) -> Any:
        return json.loads(self.response.read())

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@dataclass(frozen=True)
class Deployed:
    cloud: LocalCloud
    function: str
    url: str

    def ask(
        self,
        body: Any = None,
        *,
        url: str | None = None,
        path: str = "stream",
        method: str = "POST",
        signer: Credentials | None = ROOT,
        region: str = "us-east-1",
        tamper: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps({"prompt": PROMPT} if body is None else body).encode()
        address = (url or self.url) + path
        sent = {"content-type": "application/json", **(headers or {})}
        if signer is not None:
            request = AWSRequest(method, address, data=raw, headers={"host": urlsplit(address).netloc, **sent})
            SigV4Auth(signer, "lambda", region).add_auth(request)
            sent = dict(request.headers.items())
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WAIT_S)
        connection.request(method, parts.path, raw + b" " if tamper else raw, sent)
        return Answer(connection, connection.getresponse())

    def streams(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cloud.control("GET", SENT_PATH)["streams"]
        return found

    def records(self) -> list[dict[str, Any]]:
        self.cloud.flush_logs()
        events = self.cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{self.function}")["events"]
        lines = [event["message"] for event in events if '"tailcast"' in event["message"]]
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def deployed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("stream")
    (folder / "own.toml").write_text(CATALOGUE)
    package = build_package("stream", project=project, out_dir=folder)
    with LocalCloud(CloudConfig(bedrock_catalogue=str(folder / "own.toml"))) as cloud:
        client, name = cloud.client("lambda"), unique("stream")
        client.create_function(
            FunctionName=name,
            Role=role_arn(cloud),
            Runtime=f"python{package.python}",
            Handler=package.handler,
            Code={"ZipFile": package.path.read_bytes()},
            Layers=[LAYER],
            Timeout=30,
            MemorySize=512,
            Publish=True,
            Environment={
                "Variables": {
                    "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
                    "AWS_LWA_INVOKE_MODE": "response_stream",
                    "AWS_LWA_READINESS_CHECK_PATH": "/ready",
                    "MODEL_ID": "own.model",
                    "VARIANT": "baseline",
                    "MAX_TOKENS": "64",
                    "MAX_BODY_BYTES": "20000",
                    "MODEL_MAX_ATTEMPTS": "1",
                    "TIERS": json.dumps(
                        {"slow": {"model_id": "slow.model", "max_tokens": 1_000}, "late": {"model_id": "late.model"}}
                    ),
                }
            },
        )
        yield Deployed(cloud, name, make_url(cloud, name, "live"))


def make_url(cloud: LocalCloud, name: str, alias: str, auth_type: str = "AWS_IAM", **settings: Any) -> str:
    client = cloud.client("lambda")
    client.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    settings = {"InvokeMode": "RESPONSE_STREAM", **settings}
    made = client.create_function_url_config(FunctionName=name, Qualifier=alias, AuthType=auth_type, **settings)
    return str(made["FunctionUrl"])


def allow(cloud: LocalCloud, name: str, alias: str, principal: str, auth_type: str) -> None:
    for action, extra in (
        ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": auth_type}),
        ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
    ):
        cloud.client("lambda").add_permission(
            FunctionName=name, Qualifier=alias, StatementId=unique("s"), Action=action, Principal=principal, **extra
        )


def test_tokens_arrive_one_by_one_and_soon(deployed: Deployed) -> None:
    with closing(deployed.ask()) as warm:  # INIT is not what is asked about
        assert [name for name, _ in warm.events()][-1] == "done"
    with closing(deployed.ask()) as answer:
        assert (answer.status, answer.response.headers["content-type"]) == (200, "text/event-stream")
        events = list(answer.events())
    assert [name for name, _ in events] == ["start", *["token"] * 20, "done"]
    done = events[-1][1]
    assert done["usage"]["output_tokens"] == 20
    assert done["ttft_ms"] < done["inference_ms"]
    first_at_s = deployed.streams()[-1]["first_token_s"]
    # Generous: tests/bench/stream.py measures it.
    assert -0.005 < answer.arrived_s[0] - first_at_s < 5.0


def test_the_record_becomes_a_row_of_a_trace(deployed: Deployed) -> None:
    with closing(deployed.ask()) as answer:
        done = dict(answer.events())["done"]
    deployed.cloud.flush_logs()
    now = datetime.now(UTC)
    logs, group = deployed.cloud.client("logs"), f"/aws/lambda/{deployed.function}"
    span = {"start": now - timedelta(minutes=10), "end": now + timedelta(minutes=1)}
    recording = record(logs, group, **span, settle=Settle(poll_s=0.1, quiet_s=0.2))
    row = next(row for row in recording.trace.frame.to_dicts() if row["request_id"] == done["request_id"])
    assert (row["status"], row["variant"], row["version"]) == ("ok", "baseline", "1")
    assert (row["ttft_ms"], row["inference_ms"]) == (done["ttft_ms"], done["inference_ms"])
    assert row["output_tokens"] == 20
    assert row["duration_ms"] >= done["inference_ms"]


def test_a_caller_who_leaves_stops_the_model(deployed: Deployed) -> None:
    answer = deployed.ask({"prompt": PROMPT, "tier": "slow"})
    events = answer.events()
    started = next(events)[1]
    assert next(events)[0] == "token"
    assert deployed.streams()[-1]["ended"] is None  # the model goes on for 20 s
    answer.close()
    stream = eventually(lambda: next((s for s in deployed.streams() if s["ended"] == "left"), None), 60)
    assert stream["model_id"] == "slow.model"
    assert 1 <= stream["tokens"] < 400
    [record] = eventually(lambda: [r for r in deployed.records() if r["request_id"] == started["request_id"]])
    assert (record["status"], record["error"]) == ("disconnected", "ClientDisconnected")
    assert 1 <= record["pieces"] < 400


def test_every_refusal_has_its_status(deployed: Deployed) -> None:
    def status(**arguments: Any) -> int:
        with closing(deployed.ask(**arguments)) as answer:
            return answer.status

    assert status(path="elsewhere") == 404
    assert status(method="GET", body=b"") == 405
    assert status(body=b" " * 30_000) == 413
    assert status(body=b" " * 7_000_000) == 413
    assert status(headers={"content-type": "text/plain"}) == 415
    assert status(body=b"{") == 400
    assert status(body={"prompt": PROMPT, "tier": "best"}) == 400
    assert status(url=f"{deployed.cloud.endpoint_url}/_aws/lambda-url/{'0' * 32}/") == 404


def test_nobody_gets_in_who_is_not_known(deployed: Deployed) -> None:
    def refused(**arguments: Any) -> str:
        with closing(deployed.ask(**arguments)) as answer:
            assert answer.status == 403
            return str(answer.json()["Message"])

    assert refused(signer=None) == "Forbidden"
    assert "does not match" in refused(signer=Credentials("local", "wrong"))
    assert "invalid" in refused(signer=Credentials("AKIAUNKNOWN", "local"))
    assert "does not match" in refused(tamper=True)
    assert "scoped" in refused(region="eu-west-1")
    assert refused(signer=None, headers={"authorization": "AWS4-HMAC-SHA256 Credential=local"}) == "Forbidden"


def test_a_user_of_iam_needs_both_permissions(deployed: Deployed) -> None:
    iam, name = deployed.cloud.client("iam"), unique("user")
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    made = iam.create_access_key(UserName=name)["AccessKey"]
    key = Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    def status() -> int:
        with closing(deployed.ask(signer=key)) as answer:
            return answer.status

    def policy(*actions: str, effect: str = "Allow") -> str:
        resource = f"arn:aws:lambda:us-east-1:123456789012:function:{deployed.function}:live"
        return json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": actions, "Resource": resource}]}
        )

    assert status() == 403
    iam.put_user_policy(UserName=name, PolicyName="url", PolicyDocument=policy("lambda:InvokeFunctionUrl"))
    assert status() == 403
    both = policy("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
    iam.put_user_policy(UserName=name, PolicyName="url", PolicyDocument=both)
    assert status() == 200
    iam.put_user_policy(UserName=name, PolicyName="no", PolicyDocument=policy("lambda:*", effect="Deny"))
    assert status() == 403
    iam.delete_user_policy(UserName=name, PolicyName="no")
    iam.delete_user_policy(UserName=name, PolicyName="url")
    assert status() == 403
    allow(deployed.cloud, deployed.function, "live", arn, "AWS_IAM")
    assert status() == 200


def test_a_url_without_authorization_is_open_only_where_the_policy_says_so(deployed: Deployed) -> None:
    cors = {"AllowOrigins": ["https://app.example.com"], "AllowMethods": ["POST"], "MaxAge": 60}
    url = make_url(deployed.cloud, deployed.function, "open", "NONE", Cors=cors)
    with closing(deployed.ask(url=url, signer=None)) as answer:
        assert answer.status == 403
    allow(deployed.cloud, deployed.function, "open", "*", "NONE")
    origin = {"origin": "https://app.example.com"}
    with closing(deployed.ask(url=url, signer=None, headers=origin)) as answer:
        assert answer.status == 200
        assert answer.response.headers["access-control-allow-origin"] == "https://app.example.com"
        assert [name for name, _ in answer.events()][-1] == "done"
    asks = {**origin, "access-control-request-method": "POST"}
    with closing(deployed.ask(url=url, signer=None, method="OPTIONS", headers=asks)) as answer:
        assert answer.status == 200
        assert answer.response.headers["access-control-max-age"] == "60"


def test_what_bedrock_breaks_is_told_before_or_within_the_stream(deployed: Deployed) -> None:
    def ask(**faults: float) -> tuple[int, str, list[str]]:
        deployed.cloud.control("PUT", SETTINGS_PATH, {"faults": faults})
        try:
            with closing(deployed.ask()) as answer:
                if answer.status != 200:
                    told = answer.json()
                    return answer.status, told["error"]["code"], [str(answer.response.headers.get("retry-after"))]
                events = list(answer.events())
                return answer.status, events[-1][1].get("code", ""), [name for name, _ in events]
        finally:
            deployed.cloud.control("PUT", SETTINGS_PATH, {"faults": {}})

    assert ask(throttle=1.0) == (429, "Throttled", ["1"])
    assert ask(server_error=1.0)[:2] == (502, "UpstreamFailure")
    for fault in ("exception", "cut", "malformed"):
        status, code, names = ask(**{fault: 1.0})
        assert (status, code, names[-1]) == (200, "UpstreamFailure", "error"), fault
        assert "token" in names
    assert ask()[2][-1] == "done"


def test_the_function_s_deadline_is_504_before_the_first_token(deployed: Deployed) -> None:
    client = deployed.cloud.client("lambda")
    variables = client.get_function_configuration(FunctionName=deployed.function)["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName=deployed.function,
        Timeout=11,
        Environment={"Variables": {**variables, "DEADLINE_MARGIN_MS": "10000"}},
    )
    version = client.publish_version(FunctionName=deployed.function)["Version"]
    client.create_alias(FunctionName=deployed.function, Name="short", FunctionVersion=version)
    made = client.create_function_url_config(
        FunctionName=deployed.function, Qualifier="short", AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM"
    )
    with closing(deployed.ask({"prompt": PROMPT, "tier": "late"}, url=made["FunctionUrl"])) as answer:
        assert answer.status == 504
        assert answer.json()["error"]["code"] == "DeadlineExceeded"


def test_load_and_benchmarks_sign_for_the_url(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in deployed.cloud.environment().items():
        monkeypatch.setenv(name, value)
    url = f"{deployed.url}stream"
    result = drive(parse_target(url), np.array([0.0, 0.05]), deadline_s=WAIT_S)
    rows = result.trace.frame.to_dicts()
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert all(150 < row["ttft_ms"] < row["client_ms"] for row in rows)
    pool = ConnectionPool(timeout_s=WAIT_S)
    address = address_of(Endpoint(), Target(url, "us-east-1"))
    outcome = post(address, PROMPT, 64, pool, fresh=True, wait_until=time.perf_counter)
    pool.close()
    assert (outcome.status, len(outcome.deltas_s)) == ("ok", 20), outcome.error
    assert outcome.usage["outputTokens"] == 20


def test_invoke_gathers_what_a_url_streams_and_its_sister_streams_it_too(deployed: Deployed) -> None:
    event = {
        "version": "2.0",
        "rawPath": "/stream",
        "requestContext": {"http": {"method": "POST"}},
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"prompt": PROMPT}),
    }
    client: Any = boto3.client(
        "lambda",
        region_name="us-east-1",
        endpoint_url=deployed.cloud.endpoint_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    said = client.invoke_with_response_stream(
        FunctionName=deployed.function, Qualifier="live", Payload=json.dumps(event)
    )
    chunks = list(said["EventStream"])
    assert len(chunks) > 5
    assert chunks[-1] == {"InvokeComplete": {}}
    assert b"event: done" in b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks[:-1])
    payload = client.invoke(FunctionName=deployed.function, Qualifier="live", Payload=json.dumps(event))[
        "Payload"
    ].read()
    prelude, _, body = payload.partition(b"\0" * 8)
    assert json.loads(prelude)["statusCode"] == 200
    assert body.endswith(b"\n\n")
    assert b"event: done" in body


def test_urls_are_made_changed_listed_and_taken_away(deployed: Deployed) -> None:
    client: Any = deployed.cloud.client("lambda")
    name = deployed.function
    made = client.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    assert (made["InvokeMode"], made["FunctionArn"].endswith(name)) == ("BUFFERED", True)
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    changed = client.update_function_url_config(FunctionName=name, InvokeMode="RESPONSE_STREAM")
    assert (changed["InvokeMode"], changed["AuthType"]) == ("RESPONSE_STREAM", "AWS_IAM")
    assert client.get_function_url_config(FunctionName=name)["FunctionUrl"] == made["FunctionUrl"]
    listed = client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    assert made["FunctionUrl"] in [url["FunctionUrl"] for url in listed]
    client.delete_function_url_config(FunctionName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function_url_config(FunctionName=name)
