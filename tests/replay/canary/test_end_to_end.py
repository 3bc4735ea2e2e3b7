"""The whole canary on the local cloud, under load: real processes, real logs, real weights, a journal in DynamoDB."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from replay.cli import main
from replay.cloud import CloudConfig, LocalCloud
from tests.replay.canary.support import Load, deploy_pair, weights

PLAN = """
name: quick
look_every: 1s
history: 60s
drain: 2s
smoke: false
inconclusive: pause
steps:
  - {weight: 40%, at_least: 4s, at_most: 60s, requests_per_arm: 20}
  - {weight: 100%, at_least: 4s, at_most: 60s, requests_per_arm: 20}
objectives:
  - {metric: error_rate, tolerance: 0%, margin: 900%, negligible: 20%}
  - {metric: p50, tolerance: 30%, margin: 150%}
  - {metric: cold_share, tolerance: 400%, margin: 1900%, negligible: 20%}
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(CloudConfig(keep_alive_s=120, seed=7, init="replayed")) as running:
        yield running


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def _arguments(cloud: LocalCloud, function: str, folder: Path, *more: str) -> list[str]:
    return [
        "--function", function, "--endpoint-url", cloud.endpoint_url, "--region", "us-east-1",
        "--records", str(folder / "records"), *more,
    ]  # fmt: skip


def _start(cloud: LocalCloud, function: str, version: str, plan: Path, *more: str) -> list[str]:
    return [
        "canary", "start", *_arguments(cloud, function, plan.parent), "--baseline", "1", "--candidate", version,
        "--plan", str(plan), "--no-forecast", "--json", *more,
    ]  # fmt: skip


@pytest.fixture
def run(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str) -> Any:
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)

    return invoke


@pytest.mark.slow
@pytest.mark.parametrize(
    ("candidate", "outcome", "because"),
    [
        ({}, "promoted", ""),
        ({"SLEEP_S": "0.2"}, "rolled_back", "p50"),
        ({"FAIL": "0.6"}, "rolled_back", "error_rate"),
        ({"EXIT": "1"}, "rolled_back", "cold_share"),
    ],
    ids=["good", "slow", "erroring", "cold-storming"],
)
def test_candidates_meet_what_they_deserve(cloud, run, plan, candidate, outcome, because):
    function, version = deploy_pair(cloud, **candidate)
    with Load(cloud, function) as load:
        load.wait_for(150)
        result = run(*_start(cloud, function, version, plan))
        at_end = weights(cloud, function)
        served = load.answered
        time.sleep(1)
        assert load.answered > served, "the traffic is not served any more"
    document = json.loads(result.stdout)
    assert document["outcome"] == outcome, result.output
    assert because in document["text"]
    assert at_end == ({version: 1.0} if outcome == "promoted" else {"1": 1.0})
    assert result.exit_code == (0 if outcome == "promoted" else 1)
    assert load.unserved == []
    if outcome == "rolled_back":
        assert document["rollback_took_s"] <= 5
    else:
        alias = cloud.client("lambda").get_alias(FunctionName=function, Name="baseline")
        assert alias["FunctionVersion"] == version
    listing = run("canary", "history", *_arguments(cloud, function, plan.parent), "--json")
    assert [row["outcome"] for row in json.loads(listing.stdout)] == [outcome]
    status = run("canary", "status", *_arguments(cloud, function, plan.parent), "--json")
    assert json.loads(status.stdout)["state"] == outcome
    assert "error_rate" in run("canary", "status", *_arguments(cloud, function, plan.parent)).stdout


KILLER = """
import os, signal, sys
from replay.canary.journal import DynamoJournal
place, after = int(sys.argv[1]), sys.argv[2] == "after"
append = DynamoJournal.append
def killing(self, lease, line):
    if line.number == place and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, lease, line)
    if line.number == place:
        os.kill(os.getpid(), signal.SIGKILL)
DynamoJournal.append = killing
from replay.cli import main
main(sys.argv[3:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("place", "when"), [(0, "before"), (1, "after"), (2, "before"), (3, "after")])
def test_kill_9_of_the_controller(cloud, run, plan, project, place, when):
    """Real processes, real SIGKILL, at the lines around a shift (the simulated test does every line of a rollout)."""
    function, version = deploy_pair(cloud)
    environment = {**os.environ, **cloud.environment()}
    with Load(cloud, function, rate_rps=20) as load:
        load.wait_for(150)
        killed = subprocess.run(
            [sys.executable, "-c", KILLER, str(place), when, *_start(cloud, function, version, plan)],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        if place == 0 and when == "before":
            assert weights(cloud, function) == {"1": 1.0}
            return
        held = run("canary", "resume", *_arguments(cloud, function, plan.parent), "--json")
        # Its lease has not run out yet: a second controller must not act, but it may ask.
        assert "asked to go on" in held.output
        time.sleep(21)
        resumed = run("canary", "resume", *_arguments(cloud, function, plan.parent), "--json")
    assert json.loads(resumed.stdout)["outcome"] == "promoted", resumed.output
    assert weights(cloud, function) == {version: 1.0}
    assert load.unserved == []


@pytest.mark.slow
def test_abort_needs_lambda_alone(cloud, run, plan):
    """A journal that does not answer, a controller that is gone: one call all the same."""
    function, version = deploy_pair(cloud)
    client = cloud.client("lambda")
    client.update_alias(FunctionName=function, Name="live", RoutingConfig={"AdditionalVersionWeights": {version: 0.4}})
    began = time.monotonic()
    result = run(
        "canary", "abort", *_arguments(cloud, function, plan.parent, "--journal", "/proc/nowhere"),
        "--to-version", "1", "--json",
    )  # fmt: skip
    assert time.monotonic() - began < 5
    assert result.exit_code == 0, result.output
    assert weights(cloud, function) == {"1": 1.0}
    assert json.loads(result.stdout)["version"] == "1"


@pytest.mark.slow
def test_weights_changed_by_hand_and_an_abort_from_elsewhere(cloud, run, plan, project):
    for hand in (True, False):
        function, version = deploy_pair(cloud)
        plan.write_text(PLAN.replace("at_least: 4s", "at_least: 50s"))
        with Load(cloud, function, rate_rps=20) as load:
            load.wait_for(150)
            process = subprocess.Popen(
                [sys.executable, "-c", "from replay.cli import main; main()", *_start(cloud, function, version, plan)],
                cwd=project,
                env={**os.environ, **cloud.environment()},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            end = time.monotonic() + 60
            while weights(cloud, function) == {"1": 1.0} and time.monotonic() < end:
                time.sleep(0.2)
            if hand:
                cloud.client("lambda").update_alias(
                    FunctionName=function, Name="live", RoutingConfig={"AdditionalVersionWeights": {version: 0.77}}
                )
            else:
                aborted = run("canary", "abort", *_arguments(cloud, function, plan.parent), "--json")
                assert json.loads(aborted.stdout)["took_s"] < 5
                assert weights(cloud, function) == {"1": 1.0}
            stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 1, stderr
        assert json.loads(stdout)["outcome"] == ("stopped" if hand else "rolled_back")
        assert weights(cloud, function) == ({"1": pytest.approx(0.23), version: 0.77} if hand else {"1": 1.0})


@pytest.mark.slow
def test_the_preflight_refuses_what_would_fail_later(cloud, run, plan):
    function, _ = deploy_pair(cloud)
    nowhere = run(*_start(cloud, function, "99", plan))
    assert nowhere.exit_code == 1
    assert "version 99" in nowhere.output
    assert "history cannot be read" in nowhere.output
    same = run(*_start(cloud, function, "1", plan))
    assert "both version 1" in same.output
    cloud.client("lambda").add_permission(
        FunctionName=function, StatementId="x", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    unpermitted = run(*_start(cloud, function, "2", plan))
    assert "its alias live may not" in unpermitted.output
    plan.write_text(PLAN.replace("smoke: false", 'smoke: {requests: 1, payload: "{}"}'))
    crashing, version = deploy_pair(cloud, FAIL="1.0")
    smoked = run(*_start(cloud, crashing, version, plan))
    assert "smoke test 1 of 1" in smoked.output
    assert weights(cloud, crashing) == {"1": 1.0}
