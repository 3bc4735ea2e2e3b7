"""A rule that no test has seen refuse anything may refuse nothing."""

from __future__ import annotations

import re
from pathlib import Path

VARIABLE = re.compile(r'^variable "(\w+)" \{\n(.*?)^\}', re.DOTALL | re.MULTILINE)
EXPECTED = re.compile(r"expect_failures = \[(.*?)\]", re.DOTALL)


def unproved(variables: Path, tests: list[Path]) -> set[str]:
    """Give the variables with a validation that no ``expect_failures`` names."""
    validated = {m[1] for m in VARIABLE.finditer(variables.read_text()) if "validation {" in m[2]}
    refused = {
        name
        for path in tests
        for listed in EXPECTED.findall(path.read_text())
        for name in re.findall(r"var\.(\w+)", listed)
    }
    assert validated
    return validated - refused


def test_every_validation_of_a_module_has_refused_something(project: Path) -> None:
    for folder in sorted(path.parent for path in (project / "terraform" / "modules").glob("*/main.tf")):
        missing = unproved(folder / "variables.tf", sorted(folder.glob("tests/*.tftest.hcl")))
        assert not missing, f"{folder.name}: no test sees {', '.join(sorted(missing))} refused"


def test_every_validation_of_an_environment_has_refused_something(project: Path) -> None:
    # One set of variables (test_environments.py), so one environment's test is enough.
    folder = project / "terraform" / "environments"
    missing = unproved(folder / "dev" / "variables.tf", sorted(folder.glob("*/tests/*.tftest.hcl")))
    assert not missing, f"no test sees {', '.join(sorted(missing))} refused"
