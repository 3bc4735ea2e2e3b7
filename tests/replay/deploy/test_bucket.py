"""A team's state in a bucket of the local cloud: one deployment at a time, and nobody's pins are lost."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from replay.cli import main
from replay.cloud import LocalCloud
from replay.deploy.bucket import LOCK_FILE, BucketState
from replay.deploy.pins import PINS_FILE, Pins, to_document
from replay.deploy.state import STATE_FILE, FolderState
from replay.deploy.target import Target
from replay.errors import CloudError, DeployError


@pytest.fixture
def bucket(local_cloud: LocalCloud) -> str:
    name = f"state-{uuid4().hex[:12]}"
    local_cloud.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def state(local_cloud: LocalCloud, bucket: str) -> BucketState:
    return BucketState(local_cloud.client("s3"), bucket, "team/dev")


@pytest.fixture
def other(local_cloud: LocalCloud, bucket: str) -> BucketState:
    """The same place, seen by somebody else."""
    return BucketState(local_cloud.client("s3"), bucket, "team/dev")


def tailcast(cloud: LocalCloud, bucket: str, folder: Path, *arguments: str) -> Result:
    where = ["--endpoint-url", cloud.endpoint_url, "--state-bucket", bucket, "--state-dir", str(folder), "--yes"]
    return CliRunner().invoke(main, ["deploy", "--env", "dev", "--state-prefix", "team", *where, *arguments])


def test_documents_are_read_back_and_removed(state: BucketState, other: BucketState) -> None:
    assert state.read(PINS_FILE) is None
    state.write(PINS_FILE, {"a": 1})
    assert other.read(PINS_FILE) == {"a": 1}
    other.write(PINS_FILE, {"a": 2})
    other.remove(PINS_FILE)
    other.remove(PINS_FILE)
    assert state.read(PINS_FILE) is None
    assert state.outputs() == {}


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten(state: BucketState, other: BucketState) -> None:
    state.write(PINS_FILE, {"version": 1})
    assert other.read(PINS_FILE) == {"version": 1}
    state.write(PINS_FILE, {"version": 2})
    with pytest.raises(DeployError, match=r"pins\.json: somebody else wrote it meanwhile.*run the deployment again"):
        other.write(PINS_FILE, {"version": 3})
    # Nor is one made beside a first one, or brought back to life.
    newcomer = BucketState(state._client, state.bucket, "team/dev")
    newcomer._read[PINS_FILE] = None
    with pytest.raises(DeployError, match="somebody else wrote it"):
        newcomer.write(PINS_FILE, {"version": 4})
    state.remove(PINS_FILE)
    with pytest.raises(DeployError, match="somebody else wrote it"):
        other.write(PINS_FILE, {"version": 5})


def test_a_write_that_arrived_without_its_answer_is_no_conflict(state: BucketState, other: BucketState) -> None:
    state.write(PINS_FILE, {"version": 1})
    assert other.read(PINS_FILE) == {"version": 1}
    state.write(PINS_FILE, {"version": 2})
    other.write(PINS_FILE, {"version": 2})
    other.write(PINS_FILE, {"version": 3})
    assert state.read(PINS_FILE) == {"version": 3}


def test_of_many_at_once_one_gets_the_lock(local_cloud: LocalCloud, bucket: str) -> None:
    """The conditional write must hold under real concurrency, or two deployments interleave."""
    client, contenders = local_cloud.client("s3"), 8
    others_are_refused = threading.Event()
    refused: list[str] = []

    def attempt(number: int) -> bool:
        try:
            with BucketState(client, bucket, "team/dev").hold(f"attempt {number}"):
                assert others_are_refused.wait(60)
                return True
        except DeployError as error:
            refused.append(str(error))
            if len(refused) == contenders - 1:
                others_are_refused.set()
            return False

    with ThreadPoolExecutor(contenders) as pool:
        held = [number for number, got in enumerate(pool.map(attempt, range(contenders))) if got]
    assert len(held) == 1
    assert all(f"(attempt {held[0]})" in line and "--force-unlock " in line for line in refused)


def test_a_lock_is_given_back_however_the_block_ends(state: BucketState, other: BucketState) -> None:
    with pytest.raises(KeyboardInterrupt), state.hold("first"):
        raise KeyboardInterrupt
    with other.hold("second"):
        pass
    assert other.read(LOCK_FILE) is None


def test_a_lock_that_was_taken_over_by_force_is_not_given_back_by_its_former_holder(
    state: BucketState, other: BucketState
) -> None:
    with state.hold("first"):
        lock: Any = other.read(LOCK_FILE)
        other.force_unlock(lock["id"])
        with other.hold("second"):
            state._release(lock["id"])
            held = other.read(LOCK_FILE)
            assert held is not None
            assert held["doing"] == "second"


def test_what_a_killed_deployment_left_locked_is_named_and_released(
    local_cloud: LocalCloud, bucket: str, tmp_path: Path
) -> None:
    script = (
        "import boto3, time\n"
        "from replay.deploy.bucket import BucketState\n"
        "from replay.deploy.target import Target\n"
        f"client = Target({local_cloud.endpoint_url!r}).client('s3', 'us-east-1')\n"
        f"with BucketState(client, {bucket!r}, 'team/dev').hold('deploy optimized'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGKILL)
    local_cloud.client("s3").put_object(
        Bucket=bucket,
        Key=f"team/dev/{STATE_FILE}.tflock",
        Body=json.dumps({"ID": "tf-1", "Who": "ada@laptop", "Created": "2026-11-25T10:00:00Z"}).encode(),
    )

    refused = tailcast(local_cloud, bucket, tmp_path, "--variant", "baseline")
    assert refused.exit_code == 4
    assert refused.stderr.count("\n") == 1
    assert "locked since 20" in refused.stderr
    assert "(deploy optimized)" in refused.stderr
    lock_id = re.search(r"--force-unlock (\S+)", refused.stderr)
    assert lock_id is not None

    wrong = tailcast(local_cloud, bucket, tmp_path, "--force-unlock", "no-such-lock")
    assert wrong.exit_code == 2
    assert "Terraform of ada@laptop holds tf-1" in wrong.stderr
    released = tailcast(local_cloud, bucket, tmp_path, "--force-unlock", lock_id[1])
    assert released.exit_code == 0, released.stderr
    assert "released Terraform's lock tf-1 of ada@laptop and the deployment's lock" in released.stdout
    again = tailcast(local_cloud, bucket, tmp_path, "--force-unlock", lock_id[1])
    assert "nothing is locked" in again.stderr


def test_a_deployment_that_is_told_to_stop_gives_its_lock_back(local_cloud: LocalCloud, state: BucketState) -> None:
    script = (
        "import time\n"
        "from replay.cli.interrupts import signals_interrupt\n"
        "from replay.deploy.bucket import BucketState\n"
        "from replay.deploy.target import Target\n"
        f"client = Target({local_cloud.endpoint_url!r}).client('s3', 'us-east-1')\n"
        f"with signals_interrupt(), BucketState(client, {state.bucket!r}, 'team/dev').hold('deploy baseline'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert state.read(LOCK_FILE) is not None
        holder.terminate()
        holder.wait(60)
    assert state.read(LOCK_FILE) is None


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--promote"], 2, "no candidate to promote"),
        (["--migrate-state"], 2, "no terraform.tfstate to bring to s3://"),
        (["--force-unlock", "x", "--promote"], 2, "--force-unlock does nothing else"),
        (["--promote", "--state-bucket", "no-such-bucket-here"], 2, "does not exist; make it first"),
        (["--promote", "--state-bucket", "Not_A_Bucket"], 2, "is no name of an S3 bucket"),
        (["--promote", "--state-prefix", "/a"], 2, "state prefix '/a' must be"),
    ],
)
def test_mistakes_are_one_line(
    local_cloud: LocalCloud, bucket: str, tmp_path: Path, arguments: list[str], code: int, line: str
) -> None:
    result = tailcast(local_cloud, bucket, tmp_path, *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1), result.stderr
    assert line in result.stderr


def test_a_folder_with_a_state_of_its_own_is_not_passed_over(
    local_cloud: LocalCloud, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / STATE_FILE).write_text("{}")
    result = tailcast(local_cloud, bucket, tmp_path, "--variant", "baseline")
    assert (result.exit_code, "with --migrate-state first" in result.stderr) == (2, True)


def test_a_state_of_another_cloud_is_not_brought(local_cloud: LocalCloud, state: BucketState, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text("{}")
    FolderState(tmp_path).write(PINS_FILE, to_document(Pins("AWS")))
    result = tailcast(local_cloud, state.bucket, tmp_path, "--migrate-state")
    assert (result.exit_code, "holds the state of AWS, not of http" in result.stderr) == (2, True)
    assert (tmp_path / STATE_FILE).exists()
    assert not state.holds(b"{}")


def test_without_a_bucket_there_is_nothing_to_release(project: Path, tmp_path: Path) -> None:
    arguments = ["deploy", "--force-unlock", "x", "--state-dir", str(tmp_path), "--project", str(project)]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, "--state-bucket is missing" in result.stderr) == (2, True)


def test_another_state_is_not_overwritten(state: BucketState) -> None:
    state.bring(b"{}")
    state.bring(b"{}")
    with pytest.raises(DeployError, match="a state is here already; nothing was changed"):
        state.bring(b'{"serial": 2}')


def test_a_bucket_that_does_not_answer_is_a_failure_of_the_cloud(free_port: int) -> None:
    client = Target(f"http://127.0.0.1:{free_port}").client("s3", "us-east-1")
    with pytest.raises(CloudError, match="state bucket acme"):
        BucketState(client, "acme", "dev").region()
