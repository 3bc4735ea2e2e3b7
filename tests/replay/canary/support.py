"""What the end-to-end tests share: a function whose versions behave as told, and load on its alias."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from click.testing import CliRunner, Result

from replay.cli import main
from replay.cloud import LocalCloud
from tests.replay.cloud.support import deploy

PLAN = """
name: quick
look_every: 1s
history: 60s
drain: 1s
lease: 2s
smoke: false
inconclusive: pause
steps:
  - {weight: 40%, at_least: 2s, at_most: 90s, requests_per_arm: 20}
  - {weight: 100%, at_least: 2s, at_most: 90s, requests_per_arm: 20}
objectives:
  - {metric: error_rate, tolerance: 0%, margin: 900%, negligible: 20%}
  - {metric: p50, tolerance: 30%, margin: 150%}
  - {metric: cold_share, tolerance: 400%, margin: 1900%, negligible: 20%}
"""
HISTORY = 80
"""Requests that a baseline has answered before a rollout starts: its history."""
MAIN = "from replay.cli import main; main()"

HANDLER = """
    import json, os, random, threading, time

    SLEEP_S = float(os.environ.get("SLEEP_S", "0.02"))
    FAIL = float(os.environ.get("FAIL", "0.0"))
    EXIT = os.environ.get("EXIT") == "1"
    first = [True]

    def handler(event, context):
        began = time.perf_counter()
        cold, first[0] = first[0], False
        time.sleep(SLEEP_S * random.uniform(0.8, 1.2))
        failed = random.random() < FAIL
        print(json.dumps({
            "tailcast": "inference", "request_id": context.aws_request_id, "version": context.function_version,
            "environment_id": context.log_stream_name, "cold": cold, "status": "error" if failed else "ok",
            "initialization_type": os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            "total_ms": 1000 * (time.perf_counter() - began), "http_status": 502 if failed else 200,
        }), flush=True)
        if EXIT:
            threading.Timer(0.05, os._exit, (0,)).start()
        return {"statusCode": 502 if failed else 200, "body": "{}"}
"""


def deploy_pair(cloud: LocalCloud, **candidate: str) -> tuple[str, str]:
    """Deploy a function with a baseline (version 1) and a candidate with these settings; ``live`` is on version 1."""
    client = cloud.client("lambda")
    base = {"FAIL": "0.02"}
    name = deploy(cloud, HANDLER, Environment={"Variables": {**base, "NOTE": "baseline"}})
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.create_alias(FunctionName=name, Name="baseline", FunctionVersion="1")
    client.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**base, **candidate, "NOTE": "candidate"}}
    )
    return name, str(client.publish_version(FunctionName=name)["Version"])


@dataclass
class Load:
    """Keep an alias busy from a few threads, and count how its requests end."""

    cloud: LocalCloud
    function: str
    rate_rps: float = 25.0
    threads: int = 6
    answered: int = 0
    failed: int = 0
    unserved: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._running = [threading.Thread(target=self._run, args=(i,)) for i in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join()

    def wait_for(self, requests: int, deadline_s: float = 60.0) -> None:
        """Return once so many requests were answered."""
        end = time.monotonic() + deadline_s
        while self.answered < requests:
            assert time.monotonic() < end, f"{self.answered} of {requests} answered in {deadline_s} s"
            time.sleep(0.05)

    def _run(self, index: int) -> None:
        parts = urlsplit(self.cloud.endpoint_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        every_s = self.threads / self.rate_rps
        next_s = time.monotonic() + every_s * index / self.threads
        path = f"/2015-03-31/functions/{self.function}/invocations?Qualifier=live"
        while not self._stop.wait(max(next_s - time.monotonic(), 0.0)):
            next_s += every_s
            try:
                connection.request("POST", path, body=b'{"prompt": "Say hello."}')
                answer = connection.getresponse()
                answer.read()
                with self._lock:
                    self.answered += 1
                    self.failed += answer.getheader("X-Amz-Function-Error") is not None
                    if answer.status >= 500:
                        self.unserved.append(f"HTTP {answer.status}")
            except OSError as error:
                with self._lock:
                    self.unserved.append(repr(error))
                connection.close()
        connection.close()


def weights(cloud: LocalCloud, function: str) -> dict[str, float]:
    """Give where ``live`` points."""
    answer: Any = cloud.client("lambda").get_alias(FunctionName=function, Name="live")
    extra = (answer.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    found = {str(answer["FunctionVersion"]): 1 - sum(extra.values())}
    return {**found, **{name: float(weight) for name, weight in extra.items() if weight}}


@dataclass(frozen=True)
class Canary:
    """The command line, on one function of one local cloud."""

    cloud: LocalCloud
    function: str
    candidate: str
    folder: Path
    plan: str = PLAN

    def arguments(self, command: str, *more: str) -> list[str]:
        """Give a command's whole command line."""
        return [
            "canary", command, "--function", self.function, "--endpoint-url", self.cloud.endpoint_url,
            "--region", "us-east-1", "--records", str(self.folder / "records"), *more,
        ]  # fmt: skip

    def start_arguments(self, *more: str, forecast: bool = False) -> list[str]:
        """Write the plan down and give the command line that starts it."""
        path = self.folder / "plan.yaml"
        path.write_text(self.plan)
        extra = [] if forecast else ["--no-forecast"]
        return self.arguments(
            "start", "--baseline", "1", "--candidate", self.candidate, "--plan", str(path), "--json", *extra, *more
        )

    def invoke(self, arguments: Sequence[str]) -> Result:
        """Run a command line in this process; the cloud's environment must be set."""
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)

    def run(self, command: str, *more: str) -> Result:
        """Run a command with ``--json``."""
        return self.invoke(self.arguments(command, *more, "--json"))

    def process(self, project: Path, arguments: Sequence[str], code: str = MAIN, *first: str) -> subprocess.Popen[str]:
        """Run a command line in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", code, *first, *arguments],
            cwd=project,
            env={**os.environ, **self.cloud.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def weights(self) -> dict[str, float]:
        """Give where ``live`` points."""
        return weights(self.cloud, self.function)

    def await_shift(self, process: subprocess.Popen[str], deadline_s: float = 90.0) -> None:
        """Return once the candidate has a share of the requests."""
        await_true(lambda: self.weights() != {"1": 1.0} or process.poll() is not None, deadline_s)
        if process.poll() is not None:
            raise AssertionError(f"it ended before its first shift: {process.communicate()}")


def await_true(holds: Callable[[], bool], deadline_s: float = 90.0) -> None:
    """Return once ``holds``; fail where it does not in time."""
    end_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end_s, f"not so within {deadline_s} s"
        time.sleep(0.1)
