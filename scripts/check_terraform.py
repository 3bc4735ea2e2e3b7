"""``terraform fmt -check``, ``validate`` and ``test`` for every module and environment; what ``make test`` runs.

Nothing is written into terraform/: each folder gets a data folder under build/. Modules have no lock file of their own
(a lock belongs to a root), so they borrow that of the dev environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from replay.errors import ReplayError
from replay.terraform.binary import find_terraform
from replay.terraform.providers import configuration_for

PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 600


def folders() -> list[Path]:
    """Give every environment and module."""
    return sorted(path.parent for path in (PROJECT / "terraform").glob("*/*/main.tf"))


def check(binary: Path, environment: dict[str, str], copy: Path, folder: Path) -> None:
    """Validate and test one folder of the copy. Raises CalledProcessError where Terraform finds fault."""
    name = "-".join(folder.relative_to(PROJECT / "terraform").parts)
    inside = {**environment, "TF_DATA_DIR": str(PROJECT / "build" / "terraform-check" / name)}
    where = copy / folder.relative_to(PROJECT / "terraform")
    lock = where / ".terraform.lock.hcl"
    if not lock.exists():
        shutil.copy(PROJECT / "terraform" / "environments" / "dev" / ".terraform.lock.hcl", lock)
    commands = [["init", "-backend=false", "-input=false", "-lockfile=readonly"]]
    # Testing validates as well, so only what has no test needs it said; each command starts the provider, for 3 s.
    commands.append(["test"] if any(where.glob("tests/*.tftest.hcl")) else ["validate"])
    if folder.parent.name == "environments":
        commands.insert(1, ["validate"])
    for command in commands:
        subprocess.run(
            [str(binary), *command, "-no-color"],
            cwd=where,
            env=inside,
            check=True,
            timeout=TIMEOUT_S,
            capture_output=command[0] in ("init", "validate"),
            text=True,
        )


def main() -> int:
    """Run all checks; stop at the first fault."""
    try:
        binary = find_terraform(PROJECT)
        configuration = configuration_for(PROJECT, PROJECT / "build" / "terraform-check" / "terraform.rc")
    except ReplayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    environment = {
        **os.environ,
        "TF_CLI_CONFIG_FILE": str(configuration),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        # No test reaches a cloud: providers are mocked. These make one that would reach it fail at once.
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        with tempfile.TemporaryDirectory(prefix="tailcast-terraform-") as scratch:
            copy = Path(scratch) / "terraform"
            shutil.copytree(PROJECT / "terraform", copy, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*"))
            subprocess.run(
                [str(binary), "fmt", "-check", "-diff", "-recursive", str(copy)],
                env=environment,
                check=True,
                timeout=TIMEOUT_S,
            )
            for folder in folders():
                print(f"-- {folder.relative_to(PROJECT)}", flush=True)
                check(binary, environment, copy, folder)
    except subprocess.CalledProcessError as error:
        print(f"{error.stdout or ''}{error.stderr or ''}", file=sys.stderr)
        print(f"error: terraform {error.cmd[1]} found fault (see above)", file=sys.stderr)
        return 1
    except subprocess.TimeoutExpired as error:
        print(f"error: terraform {error.cmd[1]} took more than {TIMEOUT_S} s", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
