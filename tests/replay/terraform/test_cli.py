"""When a workspace is initialised anew: with a Terraform that only links a provider, as the real one does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from replay.terraform import TerraformCli, Workspace

TERRAFORM = """#!/bin/sh
if [ "$1" = version ]; then
    echo '{"terraform_version": "1.11.4"}'
else
    mkdir -p "$PLUGINS" "$TF_DATA_DIR/providers/registry/hashicorp/aws/5.100.0"
    ln -sfn "$PLUGINS" "$TF_DATA_DIR/providers/registry/hashicorp/aws/5.100.0/linux_amd64"
fi
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "terraform" / "environments" / "dev"
    called = tmp_path / "terraform" / "modules" / "streaming"
    for folder in (root, called):
        folder.mkdir(parents=True)
        (folder / "main.tf").write_text("# nothing yet\n")
    binary = tmp_path / "build" / "bin" / "terraform"
    binary.parent.mkdir(parents=True)
    binary.write_text(TERRAFORM)
    binary.chmod(0o755)
    plugins = tmp_path / "build" / "terraform-plugins" / "aws"
    return Workspace(tmp_path, root, tmp_path / "state", {"PLUGINS": str(plugins)})


def initialised(workspace: Workspace) -> bool:
    return TerraformCli(workspace, lambda _line: None).init()


def test_a_workspace_is_initialised_once(workspace: Workspace) -> None:
    assert [initialised(workspace) for _ in range(3)] == [True, False, False]


def test_providers_that_were_cleaned_away_are_installed_again(workspace: Workspace) -> None:
    initialised(workspace)
    shutil.rmtree(workspace.project / "build" / "terraform-plugins")
    assert [initialised(workspace) for _ in range(2)] == [True, False]


def test_a_module_that_calls_another_since_is_installed(workspace: Workspace) -> None:
    initialised(workspace)
    called = workspace.project / "terraform" / "modules" / "streaming" / "main.tf"
    called.write_text('module "function" {\n  source = "../function"\n}\n')
    assert [initialised(workspace) for _ in range(2)] == [True, False]
