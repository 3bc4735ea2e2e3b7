"""The local cloud's own costs: what it adds to a warm call, and the INIT of our function beside a bare one.

Overhead: a function that does nothing, behind the gateway, 20 requests a second sent on time whether or not earlier
ones were answered. Each counts from its intended start; the handler's own time, which it measures itself, is taken off.
Several environments are warm beforehand; a call that starts another one all the same is counted apart, since it is not
a warm call.

INIT: cold starts of three packages in turn, so that whatever slows the machine slows all of them:
the shipped inference function; a handler that only makes the Bedrock client, with the trimmed SDK; and that handler
with boto3 as pip installs it, without bytecode.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import statistics
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from replay.cloud import CloudConfig, LocalCloud
from replay.cloud.precise_loop import new_event_loop
from replay.package import build_package
from replay.package.wheels import fetch_wheels, wheel_files
from tests.bench.report import Figure, write_report
from tests.replay.cloud.support import HttpApi, deploy, make_api, role_arn, unique

RATE_RPS = 20.0
DURATION_S = 30.0
WARM_UP = 20
WARM_ENVIRONMENTS = 6
COLD_STARTS = 12
JSON = {"content-type": "application/json"}

NOTHING = """
    import json, time

    cold = True

    def handler(event, context):
        global cold
        started, was_cold, cold = time.perf_counter(), cold, False
        if json.loads(event["body"]).get("hold"):
            time.sleep(0.5)
        return {"statusCode": 200, "body": json.dumps([(time.perf_counter() - started) * 1000.0, was_cold])}
"""
BARE = "import boto3\nclient = boto3.client('bedrock-runtime')\ndef handle(event, context):\n    return None\n"


def main() -> None:
    """Measure and report."""
    figures: dict[str, Figure] = {}
    with LocalCloud(CloudConfig(seed=1)) as cloud:
        api = make_api(cloud, deploy(cloud, NOTHING, MemorySize=512))
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            overhead_ms, late_ms, cold = runner.run(_overhead(api))
        warm_ms = overhead_ms[~cold]
        figures["overhead of a warm call, p50"] = Figure(float(np.quantile(warm_ms, 0.5)), "ms", 5.0)
        figures["overhead of a warm call, p99"] = Figure(float(np.quantile(warm_ms, 0.99)), "ms", 20.0)
        figures["of which the driver itself was late, p99"] = Figure(float(np.quantile(late_ms, 0.99)), "ms")
        figures["cold calls among them, left out"] = Figure(float(cold.sum()), f"of {cold.size}")
        init_ms = _inits(cloud)
    pip_ms = statistics.median(init_ms["pip"])
    bare_ms = statistics.median(init_ms["bare"])
    figures["INIT of the inference function, median"] = Figure(statistics.median(init_ms["inference"]), "ms", pip_ms)
    figures["INIT of a bare boto3 handler, same package, median"] = Figure(bare_ms, "ms")
    figures["INIT of a bare boto3 handler, as pip installs it, median"] = Figure(pip_ms, "ms")
    write_report("cloud", figures)


async def _overhead(api: HttpApi) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Send requests open loop; give overhead and lateness in milliseconds, and which were cold; shape ``(n,)`` each."""
    loop = asyncio.get_running_loop()
    count = int(RATE_RPS * DURATION_S)
    overhead_ms = np.full(count, np.nan)
    late_ms = np.full(count, np.nan)
    cold = np.zeros(count, dtype=bool)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:

        async def one(index: int, meant_s: float, body: bytes = b"{}") -> None:
            late_ms[index] = (loop.time() - meant_s) * 1000.0
            async with session.post(f"{api.url}/genai", data=body, headers=JSON) as answer:
                handler_ms, cold[index] = json.loads(await answer.text())
                assert answer.status == 200, answer.status
            overhead_ms[index] = (loop.time() - meant_s) * 1000.0 - handler_ms

        await asyncio.gather(*(one(0, loop.time(), b'{"hold": true}') for _ in range(WARM_ENVIRONMENTS)))
        for _ in range(WARM_UP):
            await one(0, loop.time())
        start_s = loop.time() + 0.1
        tasks = []
        for index in range(count):
            meant_s = start_s + index / RATE_RPS
            await asyncio.sleep(max(0.0, meant_s - loop.time()))
            tasks.append(asyncio.create_task(one(index, meant_s)))
        await asyncio.gather(*tasks)
    return overhead_ms, late_ms, cold


def _inits(cloud: LocalCloud) -> dict[str, list[float]]:
    """Cold-start each package in turn; give the Init Durations in milliseconds."""
    project = Path(__file__).resolve().parents[2]
    package = build_package("inference", project=project, out_dir=project / "build" / "bench")
    requirements = project / "functions" / "stream" / "requirements.txt"
    wheels = fetch_wheels(requirements, project / "build" / "wheels", package.python)
    with_sdk = build_package("stream", project=project, out_dir=project / "build" / "bench")
    with zipfile.ZipFile(with_sdk.path) as archive:
        shipped = {name: archive.read(name) for name in archive.namelist() if not name.startswith("functions/")}
    variables = {"VARIANT": "baseline", "MODEL_ID": "us.amazon.nova-lite-v1:0"}
    functions = {
        "inference": _create(cloud, package.path.read_bytes(), package.handler, package.python, variables),
        "bare": _create(cloud, _zip({**shipped, "app.py": BARE.encode()}), "app.handle", package.python),
        "pip": _create(
            cloud,
            _zip({**{name: data for wheel in wheels for name, data in wheel_files(wheel)}, "app.py": BARE.encode()}),
            "app.handle",
            package.python,
        ),
    }
    init_ms: dict[str, list[float]] = {kind: [] for kind in functions}
    for round_ in range(COLD_STARTS):
        for kind, name in functions.items():
            init_ms[kind].append(_cold_start(cloud, name, round_, variables if kind == "inference" else {}))
    # The first of each unpacks the zip and fills the disk cache.
    return {kind: values[1:] for kind, values in init_ms.items()}


def _cold_start(cloud: LocalCloud, name: str, round_: int, variables: Mapping[str, str]) -> float:
    """Change a function, so that no environment fits any more, and invoke it."""
    client = cloud.client("lambda")
    client.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**variables, "ROUND": str(round_)}}
    )
    answer: dict[str, Any] = client.invoke(FunctionName=name, Payload=json.dumps({"prompt": "hello"}), LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    found = re.search(r"Init Duration: ([\d.]+) ms", log) or re.search(r'"initDurationMs":\s*([\d.]+)', log)
    if found is None or "FunctionError" in answer:
        raise RuntimeError(f"{name}: no cold start: {log} {answer['Payload'].read()[:500]!r}")
    return float(found[1])


def _create(
    cloud: LocalCloud, code: bytes, handler: str, python: str, variables: Mapping[str, str] | None = None
) -> str:
    name = unique("init")
    cloud.client("lambda").create_function(
        FunctionName=name,
        Role=role_arn(cloud),
        Runtime=f"python{python}",
        Handler=handler,
        Code={"ZipFile": code},
        Timeout=30,
        MemorySize=1024,
        Environment={"Variables": dict(variables or {})},
    )
    return name


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
