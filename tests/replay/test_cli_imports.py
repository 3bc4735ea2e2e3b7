"""What asking for help costs: no library that only the commands need is imported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from replay.cli import COMMANDS, main

HEAVY = ("aiohttp", "boto3", "botocore", "moto", "numba", "numpy", "polars", "rich", "scipy", "simpy", "yaml")

PROGRAM = """
import json, sys
from replay.cli import main
main(sys.argv[1:], standalone_mode=False)
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    assert "Usage:" in done.stdout
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("group", ["", "trace", "cloud", "canary", "bench", "key"])
def test_help_imports_no_library_that_only_commands_need(group: str) -> None:
    found = imported_by(*([group] if group else []), "--help")
    assert "click" in found
    assert found.isdisjoint(HEAVY)


def test_completing_a_name_imports_no_command() -> None:
    with main.make_context("tailcast", [], resilient_parsing=True) as ctx:
        offered = {item.value for item in main.shell_complete(ctx, "d")}
        assert offered == {name for name in COMMANDS if name.startswith("d")}
        assert {item.value for item in main.shell_complete(ctx, "--h")} == {"--help"}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_each_command_of_the_list_is_there(name: str) -> None:
    told = CliRunner().invoke(main, [name, "--help"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith(f"Usage: main {name}")
