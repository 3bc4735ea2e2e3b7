"""Finding Terraform."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from replay.errors import DeployError

MINIMUM_VERSION: Final = (1, 11)
"""What terraform/ asks for (``required_version``)."""


def find_terraform(project: Path) -> Path:
    """Give the Terraform to use: ``build/bin/terraform`` of the checkout (put there by the Makefile), or that of PATH.

    Raises
    ------
    DeployError
        There is none, it does not run, or it is too old; the message says how to get one.
    """
    fetched = project / "build" / "bin" / "terraform"
    found = str(fetched) if os.access(fetched, os.X_OK) else shutil.which("terraform")
    if found is None:
        raise DeployError(
            "terraform is not on PATH; run `python scripts/fetch_terraform.py`, "
            "or install 1.11 or newer from https://developer.hashicorp.com/terraform/install"
        )
    version = _version(found)
    if version < MINIMUM_VERSION:
        raise DeployError(
            f"{found} is Terraform {'.'.join(map(str, version))}; 1.11 or newer is needed "
            "(run `python scripts/fetch_terraform.py`)"
        )
    return Path(found)


@cache
def _version(binary: str) -> tuple[int, ...]:
    try:
        result = subprocess.run(
            [binary, "version", "-json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "CHECKPOINT_DISABLE": "1"},
        )
        # A warning about the CLI configuration may stand before the JSON.
        document = json.loads(result.stdout[result.stdout.index("{") :])
        return tuple(int(part) for part in document["terraform_version"].split("-")[0].split("."))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise DeployError(f"{binary}: cannot tell its version ({type(error).__name__}: {error})") from None
