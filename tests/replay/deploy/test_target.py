"""The cloud that is deployed to."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner

from replay.cli import main


@pytest.mark.parametrize(
    ("environment", "arguments", "line"),
    [
        ({"AWS_PROFILE": "nobody"}, [], "The config profile (nobody) could not be found"),
        ({}, ["--region", "us east"], "'us east' doesn't match a supported format"),
    ],
)
def test_a_profile_and_a_region_that_are_none_are_one_line(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the profile of whoever came first
    where = ["--state-dir", str(tmp_path), "--project", str(project), "--state-bucket", "acme-terraform"]
    result = CliRunner().invoke(main, ["deploy", "--variant", "baseline", *where, *arguments], env=environment)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
    assert line in result.stderr
