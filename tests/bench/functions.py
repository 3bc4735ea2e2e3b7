"""The inference function's own costs: what it adds around a model call, its INIT, its memory; boto3 in the same run.

Added time: the function's own ``total_ms`` of a warm invocation less what the model took *by its own clock*: a process
of its own plays Bedrock (``_timed_bedrock.py``) and writes down how long each request was with it. So all that lies
between is counted: reading the request, signing, HTTP, the way over loopback and back, reading the answer, the record.
Two handlers stand beside it in turn: one that calls ``boto3.client("bedrock-runtime").converse`` with the same
arguments, and one that sends ready-made bytes over a bare socket, which is what loopback and the scheduler cost.

INIT: cold starts of the function with everything configured, beside a handler that only makes the Bedrock client with
boto3 as pip installs it; in turn, so that whatever slows the machine slows both.
"""

from __future__ import annotations

import base64
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from replay.cloud import CloudConfig, LocalCloud
from replay.package import Package, build_package
from replay.package.wheels import fetch_wheels, wheel_files
from tests.bench.cloud import BARE, _create, _zip
from tests.bench.report import Figure, write_report

CALLS: Final = 400
MODEL_MS: Final = 20.0
WARM_UP: Final = 20
COLD_STARTS: Final = 15
TABLE: Final = "bench-answers"
SETTINGS: Final = {
    "VARIANT": "baseline",
    "MODEL_ID": "us.amazon.nova-lite-v1:0",
    "SYSTEM_PROMPT": "Answer in one sentence.",
    "TIERS": json.dumps(
        {
            "standard": {"usd_per_million": {"input": 0.06, "output": 0.24}, "fallback": "fast"},
            "fast": {"model_id": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "cache_minimum_tokens": 4_096},
        }
    ),
}
CACHED: Final = {**SETTINGS, "CACHE_TABLE": TABLE, "CACHE_TIMEOUT_MS": "1000"}
BOTO3: Final = """
import json, time
import boto3
from botocore.config import Config

CLIENT = boto3.client("bedrock-runtime", config=Config(retries={"mode": "standard", "total_max_attempts": 2}))

def handle(event, context):
    begun = time.monotonic_ns()
    answer = CLIENT.converse(
        modelId="us.amazon.nova-lite-v1:0",
        messages=[{"role": "user", "content": [{"text": event["prompt"]}]}],
        system=[{"text": "Answer in one sentence."}],
        inferenceConfig={"maxTokens": 512},
    )
    text = answer["output"]["message"]["content"][0]["text"]
    print(json.dumps({"total_ms": (time.monotonic_ns() - begun) / 1e6, "usage": answer["usage"]}))
    return {"statusCode": 200, "body": text}
"""
SOCKET: Final = """
import json, os, socket, time
from urllib.parse import urlsplit

PARTS = urlsplit(os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
BODY = json.dumps({"messages": [{"role": "user", "content": [{"text": "Question?"}]}]}).encode()
REQUEST = b"POST /model/m/converse HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(BODY) + BODY

def handle(event, context):
    begun = time.monotonic_ns()
    CONNECTION.sendall(REQUEST)
    received = b""
    while not received.endswith(b"}}"):
        received += CONNECTION.recv(65536)
    print(json.dumps({"total_ms": (time.monotonic_ns() - begun) / 1e6}))

CONNECTION = socket.create_connection((PARTS.hostname, PARTS.port))
CONNECTION.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
"""


def main() -> None:
    """Measure and report."""
    project = Path(__file__).resolve().parents[2]
    package = build_package("inference", project=project, out_dir=project / "build" / "bench")
    requirements = project / "functions" / "stream" / "requirements.txt"
    wheels = fetch_wheels(requirements, project / "build" / "wheels", package.python)
    sdk = {name: data for wheel in wheels for name, data in wheel_files(wheel)}
    figures: dict[str, Figure] = {}
    with LocalCloud(CloudConfig(seed=1)) as cloud:
        cloud.client("dynamodb").create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        )
        added_ms, own_ms, memory_mb = _added(cloud, package, sdk)
        init_ms = _inits(cloud, package, sdk)
    for label, arm, targets in [
        ("added around a model call", "function", (2.0, 5.0)),
        ("the same with the response cache on, a miss", "cached", (None, None)),
        ("the same by boto3 alone", "boto3", (None, None)),
        ("of it loopback and scheduler (bare socket)", "socket", (None, None)),
    ]:
        for level, target in zip((0.5, 0.99), targets, strict=True):
            value = float(np.quantile(added_ms[arm], level))
            figures[f"{label}, p{100 * level:g}"] = Figure(value, "ms", target)
    figures["added by the function's own code, without its HTTP client, p50"] = Figure(statistics.median(own_ms), "ms")
    figures["memory used, highest"] = Figure(memory_mb["function"], "MB")
    figures["memory used by boto3 alone, highest"] = Figure(memory_mb["boto3"], "MB")
    pip_ms = statistics.median(init_ms["pip"])
    figures["INIT with everything on, median"] = Figure(statistics.median(init_ms["function"]), "ms", 0.5 * pip_ms)
    figures["INIT of a bare boto3 handler, as pip installs it, median"] = Figure(pip_ms, "ms")
    write_report("functions", figures)


@contextmanager
def _timed_bedrock() -> Iterator[tuple[str, Any]]:
    """Run a Bedrock of its own; give its address, and what reads the nanoseconds of the next request."""
    command = [sys.executable, "-m", "tests.bench._timed_bedrock", str(MODEL_MS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}", lambda: int(process.stdout.readline())
        finally:
            process.kill()


def _added(
    cloud: LocalCloud, package: Package, sdk: dict[str, bytes]
) -> tuple[dict[str, list[float]], list[float], dict[str, float]]:
    """Give by arm handler time less the model's in milliseconds; of the function what its own code adds; memory."""
    code = package.path.read_bytes()
    arms = {
        "function": (code, package.handler, SETTINGS),
        "cached": (code, package.handler, CACHED),
        "boto3": (_zip({**sdk, "app.py": BOTO3.encode()}), "app.handle", {}),
        "socket": (_zip({"app.py": SOCKET.encode()}), "app.handle", {}),
    }
    added_ms: dict[str, list[float]] = {arm: [] for arm in arms}
    memory_mb = dict.fromkeys(arms, 0.0)
    own_ms: list[float] = []
    # One server an arm: a server answers one connection, which its function keeps.
    with ExitStack() as servers:
        opened = {arm: servers.enter_context(_timed_bedrock()) for arm in arms}
        names = {
            arm: _create(
                cloud,
                zipped,
                handler,
                package.python,
                {**variables, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": opened[arm][0]},
            )
            for arm, (zipped, handler, variables) in arms.items()
        }
        for number in range(WARM_UP + CALLS):
            for arm, name in names.items():
                log = _invoke(cloud, name, {"prompt": f"Question {number}?"})
                server_ms = opened[arm][1]() / 1e6
                record = json.loads(next(line for line in log.splitlines() if '"total_ms"' in line))
                if record.get("status", "ok") != "ok" or record.get("response_cache") not in (None, "miss"):
                    raise RuntimeError(f"{arm}: not the request that was to be measured: {record}")
                memory_mb[arm] = max(memory_mb[arm], _report(log, "Max Memory Used"))
                if number < WARM_UP:
                    continue
                added_ms[arm].append(record["total_ms"] - server_ms)
                if arm == "function":
                    own_ms.append(record["total_ms"] - record["inference_ms"])
    return added_ms, own_ms, memory_mb


def _inits(cloud: LocalCloud, package: Package, sdk: dict[str, bytes]) -> dict[str, list[float]]:
    """Cold-start both in turn; give the Init Durations in milliseconds."""
    bare = _zip({**sdk, "app.py": BARE.encode()})
    functions = {
        "function": (_create(cloud, package.path.read_bytes(), package.handler, package.python, CACHED), CACHED),
        "pip": (_create(cloud, bare, "app.handle", package.python), {}),
    }
    init_ms: dict[str, list[float]] = {arm: [] for arm in functions}
    for round_ in range(COLD_STARTS):
        for arm, (name, variables) in functions.items():
            cloud.client("lambda").update_function_configuration(
                FunctionName=name, Environment={"Variables": {**variables, "ROUND": str(round_)}}
            )
            init_ms[arm].append(_report(_invoke(cloud, name, {"prompt": "hello"}), "Init Duration"))
    # The first of each unpacks the zip and fills the disk cache.
    return {arm: values[1:] for arm, values in init_ms.items()}


def _invoke(cloud: LocalCloud, name: str, event: dict[str, Any]) -> str:
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    if "FunctionError" in answer:
        raise RuntimeError(f"{name}: {answer['Payload'].read()[:500]!r}: {log}")
    return log


def _report(log: str, field: str) -> float:
    found = re.search(rf"{field}: ([\d.]+)", log)
    if found is None:
        raise RuntimeError(f"no {field} in {log}")
    return float(found[1])


if __name__ == "__main__":
    main()
