"""From Bedrock's token to the client's: what Function URL, Runtime API, adapter and application add to a stream.

The local Bedrock notes on the system's monotonic clock when the first token left it, and gives each further one at its
planned moment; the client notes when it read each event. Between them lie the application, the stand-in for Lambda Web
Adapter, the Runtime API and the gateway, all on this machine. Streams one after the other, then eight at a time; beside
them boto3 reading ConverseStream directly, in turn, so that what the machine and the SDK do is known.

How soon the model stops when a caller leaves, and INIT beside the inference function's, in the same run.
"""

from __future__ import annotations

import http.client
import json
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from replay.cloud import CloudConfig, LocalCloud
from replay.cloud.bedrock.streaming.service import SENT_PATH
from replay.package import Package, build_package
from tests.bench.cloud import _create
from tests.bench.functions import SETTINGS
from tests.bench.report import Figure, write_report
from tests.replay.cloud.support import role_arn

STREAMS: Final = 200
WARM_UP: Final = 10
TOGETHER: Final = 8
LEAVING: Final = 30
COLD_STARTS: Final = 10
TOKENS: Final = 20
TTFT_MS: Final = 60.0
DECODE_MS: Final = 100.0
TARGET_MS: Final = 20.0
LAYER: Final = "arn:aws:lambda:us-east-1:753240598075:layer:LambdaAdapterLayerArm64:26"
CATALOGUE: Final = f"""
[models."bench.model"]
ttft_ms = [{TTFT_MS:g}]
decode_ms = {DECODE_MS:g}
answer_tokens = {TOKENS}
regions = ["us-east-1"]
connection_setup_ms = 0
prefill_ms_per_token = 0

[models."endless.model"]
ttft_ms = [20]
decode_ms = 60000
answer_tokens = 2000
regions = ["us-east-1"]
connection_setup_ms = 0
prefill_ms_per_token = 0
"""
ADAPTER: Final = {
    "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
    "AWS_LWA_INVOKE_MODE": "response_stream",
    "AWS_LWA_READINESS_CHECK_PATH": "/ready",
}
OWN: Final = {
    **ADAPTER,
    "MODEL_ID": "bench.model",
    "VARIANT": "baseline",
    "MAX_TOKENS": "64",
    "TIERS": json.dumps({"endless": {"model_id": "endless.model", "max_tokens": 4_000}}),
}


@dataclass(frozen=True)
class Seen:
    """When a client read the events of one stream, seconds of the monotonic clock."""

    at_s: list[float]


def main() -> None:
    """Measure and report."""
    project = Path(__file__).resolve().parents[2]
    folder = project / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stream-models.toml").write_text(CATALOGUE)
    package = build_package("stream", project=project, out_dir=folder)
    inference = build_package("inference", project=project, out_dir=folder)
    figures: dict[str, Figure] = {}
    with LocalCloud(CloudConfig(seed=1, bedrock_catalogue=str(folder / "stream-models.toml"))) as cloud:
        url, name = _deploy(cloud, package)
        for _ in range(WARM_UP):
            _read(url, {"prompt": "Hello"})
            _read_directly(cloud)
        first_ms, later_ms, direct_ms = _one_by_one(cloud, url)
        together_ms = _together(cloud, lambda: _read(url, {"prompt": "Hello"}))
        together_directly_ms = _together(cloud, lambda: _read_directly(cloud))
        left_ms = _leaving(cloud, url)
        inits = _inits(cloud, name, package, inference)
    for label, values in (("one by one", first_ms), (f"{TOGETHER} at a time", together_ms)):
        figures[f"first byte after Bedrock's first token, {label}, p50"] = _quantile(values, 0.5)
        figures[f"first byte after Bedrock's first token, {label}, p99"] = _quantile(values, 0.99, TARGET_MS)
        figures[f"first byte after Bedrock's first token, {label}, highest"] = _quantile(values, 1.0)
    figures["the same for boto3 at Bedrock itself, p50"] = _quantile(direct_ms, 0.5)
    figures["the same for boto3 at Bedrock itself, p99"] = _quantile(direct_ms, 0.99)
    figures[f"the same, {TOGETHER} at a time, p50"] = _quantile(together_directly_ms, 0.5)
    figures[f"the same, {TOGETHER} at a time, p99"] = _quantile(together_directly_ms, 0.99)
    figures["a later token after its moment, p50"] = _quantile(later_ms, 0.5)
    figures["a later token after its moment, p99"] = _quantile(later_ms, 0.99)
    figures["from a caller's leaving to the model's stop, p50"] = _quantile(left_ms, 0.5)
    figures["from a caller's leaving to the model's stop, highest"] = _quantile(left_ms, 1.0)
    figures["INIT of the streaming function, adapter and all, median"] = Figure(
        statistics.median(inits["stream"]), "ms"
    )
    figures["INIT of the inference function, median"] = Figure(statistics.median(inits["inference"]), "ms")
    figures["streams one by one"] = Figure(len(first_ms), "streams")
    figures[f"streams {TOGETHER} at a time"] = Figure(len(together_ms), "streams")
    write_report("stream", figures)


def _quantile(values: list[float], level: float, target: float | None = None) -> Figure:
    return Figure(float(np.quantile(values, level)), "ms", target)


def _deploy(cloud: LocalCloud, package: Package) -> tuple[str, str]:
    client, name = cloud.client("lambda"), "bench-stream"
    client.create_function(
        FunctionName=name,
        Role=role_arn(cloud),
        Runtime=f"python{package.python}",
        Handler=package.handler,
        Code={"ZipFile": package.path.read_bytes()},
        Layers=[LAYER],
        Timeout=60,
        MemorySize=1024,
        Environment={"Variables": OWN},
    )
    made = client.create_function_url_config(FunctionName=name, AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM")
    return f"{made['FunctionUrl']}stream", name


def _post(url: str, body: dict[str, Any]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    raw, parts = json.dumps(body).encode(), urlsplit(url)
    request = AWSRequest("POST", url, {"host": parts.netloc, "content-type": "application/json"}, raw)
    SigV4Auth(Credentials("local", "local"), "lambda", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("POST", parts.path, raw, dict(request.headers.items()))
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {response.read()[:300]!r}")
    return connection, response


def _read(url: str, body: dict[str, Any]) -> Seen:
    """Read a stream to its end; note when each token was there."""
    connection, response = _post(url, body)
    at_s: list[float] = []
    last = ""
    for line in response:
        if line.startswith(b"event: "):
            last = line[7:-1].decode()
            if last == "token":
                at_s.append(time.perf_counter())
    connection.close()
    if last != "done" or len(at_s) != TOKENS:
        raise RuntimeError(f"not the stream that was to be measured: {len(at_s)} tokens, then {last}")
    return Seen(at_s)


def _read_directly(cloud: LocalCloud) -> Seen:
    client = cloud.client("bedrock-runtime")
    messages = [{"role": "user", "content": [{"text": "Hello"}]}]
    stream = client.converse_stream(modelId="bench.model", messages=messages, inferenceConfig={"maxTokens": 64})[
        "stream"
    ]
    return Seen([time.perf_counter() for event in stream if "contentBlockDelta" in event])


def _sent(cloud: LocalCloud) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.control("GET", SENT_PATH)["streams"]
    return found


def _one_by_one(cloud: LocalCloud, url: str) -> tuple[list[float], list[float], list[float]]:
    first_ms, later_ms, direct_ms = [], [], []
    for _ in range(STREAMS):
        seen = _read(url, {"prompt": "Hello"})
        stamp = _sent(cloud)[-1]
        first_ms.append((seen.at_s[0] - stamp["first_token_s"]) * 1e3)
        start_s, step_s = stamp["arrived_s"] + TTFT_MS / 1e3, DECODE_MS / 1e3 / (TOKENS - 1)
        later_ms += [(at_s - start_s - step_s * index) * 1e3 for index, at_s in enumerate(seen.at_s)][1:]
        directly = _read_directly(cloud)
        direct_ms.append((directly.at_s[0] - _sent(cloud)[-1]["first_token_s"]) * 1e3)
    return first_ms, later_ms, direct_ms


def _together(cloud: LocalCloud, read: Callable[[], Seen]) -> list[float]:
    """Read several streams at a time; whose first token is whose is told by their order, which both sides keep."""
    found_ms: list[float] = []
    with ThreadPoolExecutor(TOGETHER) as pool:
        for round_ in range(2 + STREAMS // TOGETHER):
            before = len(_sent(cloud))
            seen = list(pool.map(lambda _: read(), range(TOGETHER)))
            if round_ < 2:  # the environments start
                continue
            stamps = sorted(stamp["first_token_s"] for stamp in _sent(cloud)[before:])
            arrived = sorted(each.at_s[0] for each in seen)
            found_ms += [(at_s - stamp) * 1e3 for at_s, stamp in zip(arrived, stamps, strict=True)]
    return found_ms


def _leaving(cloud: LocalCloud, url: str) -> list[float]:
    """Leave in the middle; ask Bedrock every few milliseconds whether it has seen it."""
    found_ms = []
    for _ in range(LEAVING):
        connection, response = _post(url, {"prompt": "Hello", "tier": "endless"})
        while not response.readline().startswith(b"event: token"):
            pass
        left_s = time.perf_counter()
        response.close()
        connection.close()
        while _sent(cloud)[-1]["ended"] != "left":
            if time.perf_counter() - left_s > 30:
                raise RuntimeError("the model goes on")
            time.sleep(0.002)
        found_ms.append((time.perf_counter() - left_s) * 1e3)
    return found_ms


def _inits(cloud: LocalCloud, name: str, package: Package, inference: Package) -> dict[str, list[float]]:
    """Cold-start both in turn; give the Init Durations in milliseconds."""
    other = _create(cloud, inference.path.read_bytes(), inference.handler, inference.python, SETTINGS)
    event = {
        "requestContext": {"http": {"method": "POST"}},
        "rawPath": "/stream",
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"prompt": "hello"}),
    }
    client = cloud.client("lambda")
    found: dict[str, list[float]] = {"stream": [], "inference": []}
    for round_ in range(COLD_STARTS + 1):
        for arm, function, variables in (("stream", name, OWN), ("inference", other, dict(SETTINGS))):
            client.update_function_configuration(
                FunctionName=function, Environment={"Variables": {**variables, "ROUND": str(round_)}}
            )
            client.invoke(FunctionName=function, Payload=json.dumps(event))
            cloud.flush_logs()
            events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
            reports = [e["message"] for e in events if "Init Duration" in e["message"]]
            match = re.search(r"Init Duration: ([\d.]+)", reports[-1])
            if match is None:
                raise RuntimeError(f"no Init Duration in {reports[-1]}")
            found[arm].append(float(match[1]))
    return {arm: values[1:] for arm, values in found.items()}


if __name__ == "__main__":
    main()
