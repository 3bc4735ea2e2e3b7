"""Clients of AWS: what fails is one line, and what it advises helps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from replay.aws import make_client
from replay.canary.live_alias import quick_client
from replay.cli import main
from replay.errors import InputError


@pytest.mark.parametrize("make", [make_client, quick_client])
def test_the_variable_that_is_to_be_set_is_one_that_the_sdk_reads(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(InputError, match="region") as caught:
        make("lambda", region=None, endpoint_url=None)
    named = re.search(r"set ([A-Z_]+)", str(caught.value))
    assert named is not None
    monkeypatch.setenv(named[1], "eu-west-1")
    assert make("lambda", region=None, endpoint_url=None).meta.region_name == "eu-west-1"


@pytest.mark.parametrize(
    "command", [["prune", "--function", "f"], ["drive", "lambda:f", "--rate", "9", "--duration", "9"]]
)
def test_a_program_for_credentials_that_fails_is_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "credentials"
    failing.write_text("#!/bin/sh\necho no sign-in >&2\necho sign in first >&2\nexit 1\n")
    failing.chmod(0o755)
    (tmp_path / "config").write_text(f"[default]\nregion = us-east-1\ncredential_process = {failing}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    out = ["--out", str(tmp_path / "seen.parquet")] if command[0] == "drive" else []
    done = CliRunner().invoke(main, [*command, *out])
    assert done.exit_code == 4, done.output
    assert done.stderr.count("\n") == 1
    assert "no AWS credentials to be had" in done.stderr
    assert "no sign-in sign in first" in done.stderr
