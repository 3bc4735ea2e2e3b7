"""The Terraform that a deployment runs on a shared state: the checkout's, with another backend.

The roots under ``terraform/environments`` name the local backend. For a state in a bucket they are copied beside the
deployment's other files, with Terraform's own means of changing a block from outside, an override file
(https://developer.hashicorp.com/terraform/language/files/override). So the checkout stays as it is, and the path of a
package, which Terraform keeps in the state, is the same on every member's machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

OVERRIDE_FILE: Final = "backend_override.tf"
_LEFT_OUT: Final = shutil.ignore_patterns(".terraform", "*.tfstate*", "tests")


def with_s3_backend(project: Path, env: str, folder: Path) -> Path:
    """Copy modules and the root of ``env`` into ``folder``; give the copied root, whose backend is S3.

    Parameters
    ----------
    project
        The checkout.
    env
        Folder of terraform/environments.
    folder
        The deployment's; what an earlier deployment copied there is replaced.
    """
    target = folder / "configuration"
    shutil.rmtree(target, ignore_errors=True)
    for part in ("modules", f"environments/{env}"):
        shutil.copytree(project / "terraform" / part, target / part, ignore=_LEFT_OUT)
    root = target / "environments" / env
    (root / OVERRIDE_FILE).write_text('terraform {\n  backend "s3" {}\n}\n', encoding="utf-8")
    return root
