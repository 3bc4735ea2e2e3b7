"""A rollout of what Terraform deployed: it applies in the middle, promotes by its pins, and has nothing left to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from replay.canary.journal import DynamoJournal
from replay.canary.state import fold
from replay.cloud import CloudConfig, LocalCloud
from replay.deploy import DeployRequest, Variant, deploy, describe
from replay.deploy.target import Target
from replay.terraform import TerraformCli, Workspace
from tests.replay.canary.support import Load, weights
from tests.terraform_provider import provider_for

PLAN = """
name: with terraform
look_every: 1s
history: 60s
drain: 2s
steps:
  - {weight: 40%, at_least: 20s, at_most: 200s, requests_per_arm: 20}
  - {weight: 100%, at_least: 4s, at_most: 60s, requests_per_arm: 20}
objectives:
  - {metric: error_rate, tolerance: 0%, margin: 900%, negligible: 20%}
  - {metric: p50, tolerance: 30%, margin: 150%}
"""


def _request(cloud: LocalCloud, project: Path, folder: Path, variant: Variant) -> DeployRequest:
    return DeployRequest(
        env="dev", variant=variant, project=project, state_dir=folder, endpoint_url=cloud.endpoint_url,
        variables={"provisioned_concurrency": {"baseline": 1, "optimized": 1}},
    )  # fmt: skip


@pytest.mark.slow
def test_promotion_leaves_terraform_with_nothing_to_do(project, tmp_path):
    state = tmp_path / "state"
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    config = CloudConfig(keep_alive_s=120, seed=7, init="replayed")
    with LocalCloud(config) as cloud, provider_for(cloud, project):
        deploy(_request(cloud, project, state, "baseline"))
        deployed = deploy(_request(cloud, project, state, "optimized"))
        function, old, new = deployed.function_name, deployed.versions["baseline"], deployed.versions["optimized"]
        assert set(deployed.provisioned_versions) == {old, new}
        with Load(cloud, function, rate_rps=12, threads=10) as load:
            load.wait_for(100)
            process = subprocess.Popen(
                [
                    sys.executable, "-c", "from replay.cli import main; main()", "canary", "start", "--env", "dev",
                    "--state-dir", str(state), "--endpoint-url", cloud.endpoint_url, "--plan", str(plan),
                    "--records", str(tmp_path / "records"), "--no-forecast", "--json",
                ],
                cwd=project, env={**os.environ, **cloud.environment()}, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            applied: list[Any] = []

            def apply_in_the_middle() -> None:
                while weights(cloud, function) == {old: 1.0} and process.poll() is None:
                    threading.Event().wait(0.2)
                applied.append(deploy(_request(cloud, project, state, "optimized")))

            thread = threading.Thread(target=apply_in_the_middle)
            thread.start()
            try:
                stdout, _ = process.communicate(timeout=200)
            finally:
                process.kill()
                thread.join()
        document = json.loads(stdout)
        assert document["outcome"] == "promoted", document
        # Terraform applied in the middle found nothing to change: the weights are none of its business.
        assert applied[0].changed is False
        # The journal is the environment's own table; nobody made another one beside it.
        assert deployed.journal_table == "tailcast-dev-canary"
        journal = DynamoJournal(cloud.client("dynamodb"), f"{function}:live", deployed.journal_table)
        assert fold(journal.lines(journal.rollouts()[-1])).outcome == "promoted"
        assert cloud.client("dynamodb").list_tables()["TableNames"].count("tailcast-canary") == 0
        assert load.unserved == []
        assert weights(cloud, function) == {new: 1.0}
        after = describe(_request(cloud, project, state, "baseline"))
        assert after.versions["baseline"] == new
        assert set(after.provisioned_versions) == {new}
        target = Target(cloud.endpoint_url)
        root = project / "terraform" / "environments" / "dev"
        terraform = TerraformCli(
            Workspace(project.resolve(), root.resolve(), state.resolve(), target.environment()), lambda _: None
        )
        planned = terraform.plan(state / "deploy.tfvars.json", state / "check.tfplan")
        assert not planned.changes, str(planned)
