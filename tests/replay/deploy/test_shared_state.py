"""A team's deployments by real Terraform, its state in a bucket of the local cloud: S3 backend, lock files, pins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from replay.cloud import CloudConfig, LocalCloud
from replay.deploy import DeployRequest, deploy, describe, destroy, migrate, promote
from replay.errors import DeployError, InputError
from tests.terraform_provider import provider_for

pytestmark = pytest.mark.slow

BUCKET = "acme-terraform"


@pytest.fixture
def cloud(project: Path, tmp_path: Path) -> Iterator[LocalCloud]:
    # Ada's root, as far as the way from there to her packages is concerned.
    root = tmp_path / "ada" / "provider" / "environments" / "dev"
    root.mkdir(parents=True)
    with LocalCloud(CloudConfig()) as running, provider_for(running, project, root):
        running.client("s3").create_bucket(Bucket=BUCKET)
        yield running


def keys(cloud: LocalCloud) -> list[str]:
    return sorted(item["Key"] for item in cloud.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", []))


def test_a_team_shares_one_state(cloud: LocalCloud, project: Path, tmp_path: Path) -> None:
    """One story: a state is brought to the bucket, and from then on two machines deploy by turns."""
    alone = DeployRequest(
        "dev",
        "baseline",
        project,
        tmp_path / "ada",
        endpoint_url=cloud.endpoint_url,
        variables={"name": "team", "provisioned_concurrency": {"baseline": 0, "optimized": 0}},
    )
    first = deploy(alone)
    ada = replace(alone, state_bucket=BUCKET)
    grace = replace(ada, state_dir=tmp_path / "grace")

    # A state that lies in the folder is not passed over, but brought along; then the folder's own is no more.
    with pytest.raises(InputError, match="with --migrate-state first"):
        deploy(ada)
    assert migrate(ada) == f"s3://{BUCKET}/tailcast/dev"
    assert not (tmp_path / "ada" / "terraform.tfstate").exists()
    assert describe(grace).versions == first.versions == {"baseline": "1"}

    # While one deploys, the other is told who does; both applies and the pin between them lie within one lock.
    published, told = threading.Event(), threading.Event()

    def wait_halfway(line: str) -> None:
        if line.startswith("published"):
            published.set()
            assert told.wait(120)

    with ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(deploy, replace(ada, variant="optimized", progress=wait_halfway))
        try:
            while not published.wait(0.1):
                assert not deploying.done(), deploying.exception()
            with pytest.raises(DeployError, match=r"locked since .* \(deploy optimized\); wait for it") as refused:
                promote(grace)
            assert "\n" not in str(refused.value)
            assert "tailcast/dev/deploy.lock" in keys(cloud)
        finally:
            told.set()
        second = deploying.result(300)
    assert second.versions == {"baseline": "1", "optimized": "2"}

    # The other machine, which has neither packages nor pins of its own, goes on from there.
    assert promote(grace).versions == {"baseline": "2", "optimized": "2"}
    # And on it nothing is to be done, though its packages lie elsewhere.
    assert not deploy(replace(grace, variant="optimized")).changed
    assert keys(cloud) == [f"tailcast/dev/{name}" for name in ("deploy.tfvars.json", "pins.json", "terraform.tfstate")]

    assert destroy(ada) > 10
    assert cloud.client("lambda").list_functions()["Functions"] == []
    assert keys(cloud) == ["tailcast/dev/terraform.tfstate"]
    assert list((project / "terraform").rglob("backend_override.tf")) == []
