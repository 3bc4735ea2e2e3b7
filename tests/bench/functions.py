"""The inference function's own costs: what its handler adds to a model call, and its INIT beside a bare handler.

Added time: warm invocations on the local cloud with the response cache off and on, in turn; the function's record says
how long it ran and how long it waited for the model. With the cache on, its misses pay for a look-up and a write. How
long the model takes does not matter here, so it takes 20 ms.

INIT: cold starts of the function with everything configured, beside a handler that only makes the Bedrock client with
boto3 as pip installs it; in turn, so that whatever slows the machine slows both. ``NAME=cloud`` has more arms.
"""

from __future__ import annotations

import base64
import json
import re
import statistics
from pathlib import Path
from typing import Any, Final

import numpy as np

from replay.cloud import CloudConfig, LocalCloud
from replay.package import Package, build_package
from replay.package.wheels import fetch_wheels, wheel_files
from tests.bench.cloud import BARE, _create, _zip
from tests.bench.report import Figure, write_report

CALLS: Final = 300
MODEL_MS: Final = 20.0
WARM_UP: Final = 20
COLD_STARTS: Final = 12
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


def main() -> None:
    """Measure and report."""
    project = Path(__file__).resolve().parents[2]
    package = build_package("inference", project=project, out_dir=project / "build" / "bench")
    figures: dict[str, Figure] = {}
    profile = project / "build" / "bench" / "quick-model.json"
    profile.write_text(json.dumps({"name": "quick", "source": "made up", "inference_ms": [MODEL_MS]}))
    with LocalCloud(CloudConfig(seed=1, bedrock_models={"*": str(profile)})) as cloud:
        cloud.client("dynamodb").create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        )
        added_ms, memory_mb = _added(cloud, package)
        figures["added to a model call, p50"] = Figure(float(np.quantile(added_ms["plain"], 0.5)), "ms", 2.0)
        figures["added to a model call, p99"] = Figure(float(np.quantile(added_ms["plain"], 0.99)), "ms", 5.0)
        figures["the same with SDK and loopback, p50"] = Figure(float(np.quantile(added_ms["sdk"], 0.5)), "ms")
        figures["the same with SDK and loopback, p99"] = Figure(float(np.quantile(added_ms["sdk"], 0.99)), "ms")
        figures["added with the cache on, a miss, p50"] = Figure(float(np.quantile(added_ms["cached"], 0.5)), "ms")
        figures["added with the cache on, a miss, p99"] = Figure(float(np.quantile(added_ms["cached"], 0.99)), "ms")
        figures["memory used, highest"] = Figure(memory_mb, "MB")
        init_ms = _inits(cloud, package, project)
    pip_ms = statistics.median(init_ms["pip"])
    own_ms = statistics.median(init_ms["function"])
    figures["INIT with everything on, median"] = Figure(own_ms, "ms", 0.5 * pip_ms)
    figures["INIT of a bare boto3 handler, as pip installs it, median"] = Figure(pip_ms, "ms")
    write_report("functions", figures)


def _added(cloud: LocalCloud, package: Package) -> tuple[dict[str, list[float]], float]:
    """Give handler time less model time in milliseconds, by arm, and the highest memory in MB."""
    code = package.path.read_bytes()
    functions = {
        "plain": _create(cloud, code, package.handler, package.python, SETTINGS),
        "cached": _create(cloud, code, package.handler, package.python, CACHED),
    }
    added_ms: dict[str, list[float]] = {arm: [] for arm in ("sdk", *functions)}
    memory_mb = 0.0
    for number in range(WARM_UP + CALLS):
        for arm, name in functions.items():
            log = _invoke(cloud, name, {"prompt": f"Question {number}?"})
            record = json.loads(next(line for line in log.splitlines() if '"tailcast":"inference"' in line))
            if record["status"] != "ok" or record["response_cache"] not in (None, "miss"):
                raise RuntimeError(f"{arm}: not the request that was to be measured: {record}")
            if number >= WARM_UP:
                added_ms[arm].append(record["total_ms"] - record["inference_ms"])
                if arm == "plain":
                    added_ms["sdk"].append(record["total_ms"] - MODEL_MS)
            memory_mb = max(memory_mb, _report(log, "Max Memory Used"))
    return added_ms, memory_mb


def _inits(cloud: LocalCloud, package: Package, project: Path) -> dict[str, list[float]]:
    """Cold-start both in turn; give the Init Durations in milliseconds."""
    requirements = project / "functions" / "inference" / "requirements.txt"
    wheels = fetch_wheels(requirements, project / "build" / "wheels", package.python)
    bare = _zip({**{name: data for wheel in wheels for name, data in wheel_files(wheel)}, "app.py": BARE.encode()})
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
