"""``terraform fmt -check``, ``validate`` and ``test`` for every module and environment; what ``make test`` runs.

Nothing is written into terraform/: each folder gets a data folder under build/. One provider process serves all
commands: ``terraform init`` of the dev environment, whose lock file the others equal (tests/terraform), installs it and
checks its hash.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from replay.errors import ReplayError
from replay.terraform.binary import find_terraform
from replay.terraform.providers import configuration_for
from replay.terraform.shared_provider import REATTACH, install_provider, shared_provider

PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 600
AT_ONCE = 2


def folders() -> list[Path]:
    """Give every environment and module, those with the longest tests first."""
    found = (path.parent for path in (PROJECT / "terraform").glob("*/*/main.tf"))
    return sorted(found, key=lambda path: (-sum(test.stat().st_size for test in path.glob("tests/*.hcl")), path))


def check(binary: Path, environment: dict[str, str], copy: Path, folder: Path) -> str:
    """Validate and test one folder of the copy; give what Terraform said.

    Raises CalledProcessError where Terraform finds fault.
    """
    name = "-".join(folder.relative_to(PROJECT / "terraform").parts)
    inside = {**environment, "TF_DATA_DIR": str(PROJECT / "build" / "terraform-check" / name)}
    where = copy / folder.relative_to(PROJECT / "terraform")

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(binary), *command, "-no-color"],
            cwd=where,
            env=inside,
            check=True,
            timeout=TIMEOUT_S,
            capture_output=True,
            text=True,
        )
        return done.stdout

    run("init", "-backend=false", "-input=false")
    # A test validates what it runs; an environment's validation covers every module, whatever its tfvars switch on.
    has_tests = any(where.glob("tests/*.tftest.hcl"))
    said = run("validate") if folder.name == "dev" or not has_tests else ""
    return run("test") if has_tests else said


def check_all(binary: Path, environment: dict[str, str], wanted: Sequence[Path]) -> None:
    """Check all ``wanted`` folders, two at a time. Raises the first fault, once all are done."""
    with tempfile.TemporaryDirectory(prefix="tailcast-terraform-") as scratch:
        copy = Path(scratch) / "terraform"
        shutil.copytree(PROJECT / "terraform", copy, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*"))
        subprocess.run(
            [str(binary), "fmt", "-check", "-diff", "-recursive", str(copy)],
            env=environment,
            check=True,
            timeout=TIMEOUT_S,
        )
        with (
            shared_provider(install_provider(PROJECT), environment) as address,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            inside = {**environment, REATTACH: address}
            running = {folder: pool.submit(check, binary, inside, copy, folder) for folder in wanted}
            for folder, checked in running.items():
                said = checked.result().strip().splitlines()
                print(f"-- {folder.relative_to(PROJECT)}: {said[-1] if said else 'ok'}", flush=True)


def main() -> int:
    """Run the checks of the folders that are named, or all."""
    parser = argparse.ArgumentParser(description="terraform fmt, validate and test, as `make test` runs them.")
    parser.add_argument("folder", nargs="*", help="such as modules/http_api; without any, all are checked")
    names = parser.parse_args().folder
    known = {str(folder.relative_to(PROJECT / "terraform")): folder for folder in folders()}
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"{unknown[0]}: no folder of terraform/ with code; there are {', '.join(sorted(known))}")
    wanted = [known[name] for name in names] or folders()
    try:
        binary = find_terraform(PROJECT)
        configuration = configuration_for(PROJECT, PROJECT / "build" / "terraform-check" / "terraform.rc")
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
        check_all(binary, environment, wanted)
    except ReplayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
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
