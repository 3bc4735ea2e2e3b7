"""One provider process for many Terraform commands: what makes checks and tests quick.

Terraform starts its provider anew several times a command, and hashes its 700 MB before each: with AWS's provider that
is most of the time of a small plan. Started once in its debug mode, the provider serves every command that finds its
address in ``TF_REATTACH_PROVIDERS`` (https://developer.hashicorp.com/terraform/plugin/debugging).

It is not for deployments to an account: Terraform checks no hash of a provider that it did not start. Here the binary
is one that ``terraform init`` has just held against the lock file. All commands share the process's credentials and
endpoint: those of its own environment.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from replay.errors import DeployError
from replay.terraform.binary import find_terraform
from replay.terraform.providers import configuration_for

REATTACH: Final = "TF_REATTACH_PROVIDERS"
_INIT_TIMEOUT_S: Final = 600.0
_START_TIMEOUT_S: Final = 120.0
_ANNOUNCED: Final = re.compile(rf"{REATTACH}='(?P<value>.*)'")


def install_provider(project: Path) -> Path:
    """Install the provider as the dev environment's lock file says, hash and all; give its binary.

    Raises
    ------
    DeployError
        Terraform is missing, or ``terraform init`` failed.
    """
    folder = project / "build" / "terraform-provider"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        environment = {
            **os.environ,
            "TF_CLI_CONFIG_FILE": str(configuration_for(project, folder / "terraform.rc")),
            "TF_DATA_DIR": str(folder / "data"),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }
        environment.pop(REATTACH, None)
        command = ["init", "-backend=false", "-input=false", "-lockfile=readonly", "-no-color"]
        try:
            done = subprocess.run(
                [str(find_terraform(project)), *command],
                cwd=project / "terraform" / "environments" / "dev",
                env=environment,
                capture_output=True,
                text=True,
                timeout=_INIT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeployError(f"terraform init: not done after {_INIT_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise DeployError(f"terraform init: {' '.join(done.stderr.split())[-600:]}")
    found = sorted((folder / "data" / "providers").glob("*/hashicorp/aws/*/*/terraform-provider-aws*"))
    if not found:
        raise DeployError(f"{folder / 'data'}: terraform init left no provider there")
    return found[-1]


@contextmanager
def shared_provider(binary: Path, environment: Mapping[str, str], folder: Path | None = None) -> Iterator[str]:
    """Run the provider until the block ends; yield the value of ``TF_REATTACH_PROVIDERS`` that leads to it.

    Parameters
    ----------
    binary
        The provider.
    environment
        Its whole environment, with credentials and endpoint.
    folder
        What relative paths begin from; a provider of Terraform's own begins from the root module. None: this process's.

    Raises
    ------
    DeployError
        It does not start.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [str(binary), "-debug"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            deadline = time.monotonic() + _START_TIMEOUT_S
            while True:
                said.seek(0)
                text = said.read()
                if announced := _ANNOUNCED.search(text):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise DeployError(f"{binary.name} does not start: {' '.join(text.split())[-300:] or 'no word'}")
                time.sleep(0.05)
            yield announced["value"]
        finally:
            process.kill()
            process.wait()
