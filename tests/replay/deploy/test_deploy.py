"""Real deployments, by real Terraform, to a local cloud: a release, a promotion, the next release."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replay.cloud import CloudConfig, LocalCloud
from replay.deploy import Deployment, DeployRequest, deploy, destroy, promote
from replay.deploy.pins import PINS_FILE, VARIABLES_FILE
from replay.deploy.state import FolderState
from replay.errors import CloudError, DeployError, InputError
from tests.terraform_provider import provider_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cloud(project: Path) -> Iterator[LocalCloud]:
    with LocalCloud(CloudConfig()) as running, provider_for(running, project):
        yield running


@pytest.fixture(scope="module")
def request_(cloud: LocalCloud, project: Path, tmp_path_factory: pytest.TempPathFactory) -> DeployRequest:
    folder = tmp_path_factory.mktemp("state")
    return DeployRequest("dev", "baseline", project, folder, endpoint_url=cloud.endpoint_url)


def provisioned(cloud: LocalCloud, function: str) -> dict[str, str]:
    """Give version → status of provisioned concurrency, as the cloud itself says."""
    configs = cloud.client("lambda").list_provisioned_concurrency_configs(FunctionName=function)
    return {
        config["FunctionArn"].rpartition(":")[2]: config["Status"]
        for config in configs["ProvisionedConcurrencyConfigs"]
    }


def aliases(cloud: LocalCloud, function: str) -> dict[str, str]:
    listed = cloud.client("lambda").list_aliases(FunctionName=function)["Aliases"]
    return {alias["Name"]: alias["FunctionVersion"] for alias in listed}


def route_live(cloud: LocalCloud, function: str, version: str, weights: dict[str, float]) -> None:
    cloud.client("lambda").update_alias(
        FunctionName=function,
        Name="live",
        FunctionVersion=version,
        RoutingConfig={"AdditionalVersionWeights": weights},
    )


def scaled(cloud: LocalCloud) -> dict[str, tuple[int, int, list[str], list[str]]]:
    """Give resource → least, most, policies and schedules, as the cloud itself says."""
    client = cloud.client("application-autoscaling")
    policies = client.describe_scaling_policies(ServiceNamespace="lambda")["ScalingPolicies"]
    actions = client.describe_scheduled_actions(ServiceNamespace="lambda")["ScheduledActions"]
    return {
        target["ResourceId"]: (
            target["MinCapacity"],
            target["MaxCapacity"],
            [p["PolicyName"].rpartition("-")[2] for p in policies if p["ResourceId"] == target["ResourceId"]],
            [a["ScheduledActionName"].rpartition("-")[2] for a in actions if a["ResourceId"] == target["ResourceId"]],
        )
        for target in client.describe_scalable_targets(ServiceNamespace="lambda")["ScalableTargets"]
    }


def throttled(deployment: Deployment, path: str) -> bool:
    """Say whether some of 8 requests at once get 429: a burst of 3 (one more in 10 s) lets no 8 through, 10 does."""

    def status(_: int) -> int:
        request = urllib.request.Request(f"{deployment.api_endpoint}/{path}", data=b"{}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        return 429 in pool.map(status, range(8))


class LiveWatch:
    """Looks at ``live`` again and again while deployments happen: the version it names must be there."""

    def __init__(self, cloud: LocalCloud, function: str) -> None:
        self._client, self._function = cloud.client("lambda"), function
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seen: list[str] = []
        self.faults: list[str] = []

    def __enter__(self) -> LiveWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            try:
                version = self._client.get_alias(FunctionName=self._function, Name="live")["FunctionVersion"]
                self._client.get_function(FunctionName=self._function, Qualifier=version)
            except Exception as error:
                self.faults.append(str(error))
            else:
                self.seen.append(version)


def ask(deployment: Deployment, prompt: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{deployment.api_endpoint}/genai",
        data=json.dumps({"prompt": prompt}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        body: dict[str, Any] = json.loads(response.read())
    return body


def test_the_life_of_a_rollout(cloud: LocalCloud, request_: DeployRequest) -> None:
    """One story, since each of its steps takes seconds and needs the one before."""
    progress: list[str] = []
    variables = {
        "provisioned_autoscaling": {
            "baseline": {
                "max": 4,
                "schedules": {"morning": {"schedule": "cron(0 8 ? * MON-FRI *)", "min": 2, "max": 6}},
            }
        },
        "tracing_mode": "Active",
        "route_throttles": {"POST /ai": {"rate_rps": 0.1, "burst": 3}},
        "reserved_concurrency": 50,
    }
    baseline = replace(request_, progress=progress.append, variables=variables)
    optimized = replace(baseline, variant="optimized")

    # The first release: version 1 serves, and is ready.
    first = deploy(baseline)
    function = first.function_name
    assert first.changed
    assert first.versions == {"baseline": "1"}
    assert aliases(cloud, function) == {"baseline": "1", "live": "1"}
    assert provisioned(cloud, function) == {"1": "READY"}
    assert ask(first, "hello")["model"].startswith("us.anthropic.claude-haiku")
    assert any(line.startswith("created module.inference.aws_lambda_function.this") for line in progress)
    assert scaled(cloud) == {f"function:{function}:1": (1, 4, ["utilization"], ["morning"])}
    configuration = cloud.client("lambda").get_function(FunctionName=function)
    assert configuration["Configuration"]["TracingConfig"]["Mode"] == "Active"
    assert configuration["Concurrency"]["ReservedConcurrentExecutions"] == 50
    assert throttled(first, "ai")
    assert not throttled(first, "genai")

    # The candidate beside it: nothing of the baseline moves, and no traffic either.
    with LiveWatch(cloud, function) as live_watch:
        second = deploy(optimized)
    assert live_watch.faults == []
    assert set(live_watch.seen) == {"1"}
    assert second.versions == {"baseline": "1", "optimized": "2"}
    assert aliases(cloud, function) == {"baseline": "1", "optimized": "2", "live": "1"}
    assert provisioned(cloud, function) == {"1": "READY", "2": "READY"}
    invoked = cloud.client("lambda").invoke(FunctionName=function, Qualifier="optimized", Payload=b'{"prompt": "hi"}')
    assert invoked["ExecutedVersion"] == "2"
    assert json.loads(json.loads(invoked["Payload"].read())["body"])["model"] == "us.amazon.nova-lite-v1:0"

    # Again, with nothing changed: nothing changes, whichever variant was the last, and whatever autoscaling has done.
    cloud.client("lambda").put_provisioned_concurrency_config(
        FunctionName=function, Qualifier="1", ProvisionedConcurrentExecutions=3
    )
    cloud.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="lambda",
        ResourceId=f"function:{function}:1",
        ScalableDimension="lambda:function:ProvisionedConcurrency",
        MinCapacity=2,
        MaxCapacity=6,
    )
    for again in (optimized, baseline):
        repeated = deploy(again)
        assert not repeated.changed
        assert repeated.versions == second.versions
    assert len(cloud.client("lambda").list_versions_by_function(FunctionName=function)["Versions"]) == 3

    # A function beside, whose package changed, waits for an apply, and that is said.
    kept = request_.state_dir / VARIABLES_FILE
    applied = kept.read_text()
    kept.write_text(applied.replace(json.loads(applied)["authorizer_package"]["base64sha256"], "another"))
    assert not deploy(baseline).changed
    assert progress[-1] == "authorizer changed; tailcast deploy --variant optimized brings it"
    kept.write_text(applied)

    # Promotion halfway through the shift: the version that still gets traffic keeps its environments.
    route_live(cloud, function, "1", {"2": 0.5})
    promoted = promote(baseline)
    assert promoted.versions == {"baseline": "2", "optimized": "2"}
    assert provisioned(cloud, function) == {"1": "READY", "2": "READY"}
    live = cloud.client("lambda").get_alias(FunctionName=function, Name="live")
    assert (live["FunctionVersion"], live["RoutingConfig"]["AdditionalVersionWeights"]) == ("1", {"2": 0.5})

    # After the shift, promoting again releases it.
    route_live(cloud, function, "2", {})
    assert promote(baseline).changed
    assert provisioned(cloud, function) == {"2": "READY"}
    assert not promote(baseline).changed

    # The next release: version 3 comes, version 2 serves on untouched.
    next_release = replace(
        optimized,
        variables={
            **variables,
            "variants": {
                "baseline": {"model_id": "us.amazon.nova-lite-v1:0"},
                "optimized": {"model_id": "us.amazon.nova-lite-v1:0", "max_tokens": 64, "memory_mb": 512},
            },
        },
    )
    third = deploy(next_release)
    assert third.versions == {"baseline": "2", "optimized": "3"}
    assert aliases(cloud, function) == {"baseline": "2", "optimized": "3", "live": "2"}
    assert provisioned(cloud, function) == {"2": "READY", "3": "READY"}
    assert ask(third, "hello")["response"]

    # The end: nothing is left, and the folder may be used anew.
    assert destroy(baseline) > 10
    assert cloud.client("lambda").list_functions()["Functions"] == []
    assert cloud.client("apigatewayv2").get_apis()["Items"] == []
    assert scaled(cloud) == {}
    assert cloud.client("logs").describe_log_groups()["logGroups"] == []
    assert cloud.client("iam").list_roles()["Roles"] == []
    assert destroy(baseline) == 0


def test_a_deployment_that_was_killed_is_finished_by_the_next(
    cloud: LocalCloud, request_: DeployRequest, tmp_path: Path
) -> None:
    """Killed between the two applies, at the worst moment: the version is published, and pinned nowhere."""
    request = replace(request_, state_dir=tmp_path, variables={"name": "killed"})
    script = (
        "import os, sys, pathlib\n"
        "from replay.deploy import DeployRequest, deploy\n"
        "def progress(line):\n"
        "    if line.startswith('published'): os.kill(os.getpid(), 9)\n"
        f"deploy(DeployRequest('dev', 'baseline', pathlib.Path({str(request.project)!r}),"
        f" pathlib.Path({str(tmp_path)!r}), endpoint_url={cloud.endpoint_url!r},"
        " variables={'name': 'killed'}, progress=progress))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=request.project, timeout=120, check=False)
    assert killed.returncode == -9
    assert provisioned(cloud, "killed-dev-inference") == {}
    finished = deploy(request)
    assert finished.versions == {"baseline": "1"}
    assert provisioned(cloud, finished.function_name) == {"1": "READY"}

    # Somebody deletes the function behind our back: the next deployment starts anew instead of failing on old pins.
    cloud.client("lambda").delete_function(FunctionName=finished.function_name)
    lines: list[str] = []
    anew = deploy(replace(request, progress=lines.append))
    assert any("is gone from" in line for line in lines)
    assert anew.versions == {"baseline": "1"}
    assert provisioned(cloud, anew.function_name) == {"1": "READY"}

    # A plan that is declined changes nothing.
    asked: list[str] = []

    def decline(summary: str) -> bool:
        asked.append(summary)
        return False

    pins = (tmp_path / PINS_FILE).read_text()
    with pytest.raises(DeployError, match="declined; nothing was changed"):
        deploy(replace(request, variables={"name": "killed", "timeout_s": 20}, confirm=decline))
    assert "update module.inference.aws_lambda_function.this" in asked[0]
    assert asked[0].endswith("and then pins the published version as baseline")
    assert (tmp_path / PINS_FILE).read_text() == pins
    assert cloud.client("lambda").get_function(FunctionName=anew.function_name)["Configuration"]["Timeout"] == 29

    # And one that is confirmed is applied as it was shown.
    confirmed = deploy(replace(request, variables={"name": "killed", "timeout_s": 20}, confirm=lambda _: True))
    assert confirmed.versions == {"baseline": "2"}
    # live still routes to version 1, so that one keeps its environments.
    assert provisioned(cloud, anew.function_name) == {"1": "READY", "2": "READY"}
    pinned = FolderState(tmp_path).read(PINS_FILE)
    assert pinned is not None
    assert pinned["pins"]["baseline"]["version"] == "2"


def test_two_deployments_run_side_by_side_and_leave_the_checkout_alone(
    cloud: LocalCloud, request_: DeployRequest, tmp_path: Path
) -> None:
    root = request_.root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    tailcast = [sys.executable, "-c", "from replay.cli import main; main()"]
    command = [*tailcast, "deploy", "--variant", "baseline", "--yes", "--json"]
    processes = [
        subprocess.Popen(
            [
                *command,
                *("--endpoint-url", cloud.endpoint_url, "--project", str(request_.project)),
                *("--state-dir", str(tmp_path / name), "--var", f"name={name}"),
                *("--var", 'provisioned_concurrency={"baseline": 0, "optimized": 0}'),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("left", "right")
    ]
    for name, process in zip(("left", "right"), processes, strict=True):
        stdout, stderr = process.communicate(timeout=180)
        assert process.returncode == 0, stderr
        deployment = json.loads(stdout)
        assert deployment["function_name"] == f"{name}-dev-inference"
        assert deployment["provisioned_versions"] == {}
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_two_deployments_in_one_state_folder_do_not_meet(request_: DeployRequest, tmp_path: Path) -> None:
    script = (
        "import fcntl, pathlib, time\n"
        f"handle = pathlib.Path({str(tmp_path / 'deploy.lock')!r}).open('a')\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DeployError, match="another deployment works here"):
            deploy(replace(request_, state_dir=tmp_path))
        holder.kill()


def test_an_endpoint_where_nothing_listens_is_one_line_with_a_hint(
    project: Path, tmp_path: Path, unused_tcp_port: int
) -> None:
    request = DeployRequest("dev", "baseline", project, tmp_path, endpoint_url=f"http://127.0.0.1:{unused_tcp_port}")
    started = time.monotonic()
    with pytest.raises(CloudError, match=r"nothing answers there.*is the local cloud up") as caught:
        deploy(request)
    assert "\n" not in str(caught.value)
    # The provider would ask nine times.
    assert time.monotonic() - started < 5


def test_a_value_that_terraform_refuses_is_one_line_that_names_it(request_: DeployRequest, tmp_path: Path) -> None:
    request = replace(request_, state_dir=tmp_path, variables={"timeout_s": 60})
    with pytest.raises(DeployError, match=r"timeout_s must lie between 3 and 29") as caught:
        deploy(request)
    assert "\n" not in str(caught.value)


def test_the_candidate_needs_a_baseline(request_: DeployRequest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no baseline yet"):
        deploy(replace(request_, variant="optimized", state_dir=tmp_path))
