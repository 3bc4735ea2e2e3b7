"""The environments are one configuration with three sets of values."""

from __future__ import annotations

from pathlib import Path

import pytest

FILES = ("main.tf", "variables.tf", "outputs.tf", "providers.tf", "versions.tf", ".terraform.lock.hcl")


@pytest.mark.parametrize("name", FILES)
def test_environments_differ_in_their_tfvars_only(project: Path, name: str) -> None:
    folder = project / "terraform" / "environments"
    texts = {path.parent.name: path.read_text() for path in folder.glob(f"*/{name}")}
    assert set(texts) == {"dev", "staging", "prod"}
    assert len(set(texts.values())) == 1, f"{name} differs; what differs between environments belongs into tfvars"


def test_every_variable_has_a_type_and_a_description(project: Path) -> None:
    checked = 0
    for path in sorted((project / "terraform").glob("*/*/variables.tf")):
        for block in path.read_text().split('\nvariable "')[0:]:
            if "description" not in block and "type" not in block:
                continue
            assert "\n  description = " in block, f"{path}: {block.splitlines()[0]}"
            assert "\n  type" in block, f"{path}: {block.splitlines()[0]}"
            checked += 1
    assert checked > 80


def test_only_dev_is_open(project: Path) -> None:
    for path in (project / "terraform" / "environments").glob("*/terraform.tfvars"):
        is_open = 'mode = "none"' in path.read_text()
        assert is_open == (path.parent.name == "dev"), path
