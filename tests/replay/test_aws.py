"""Clients of AWS: what fails is one line, and what it advises helps."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class _Page(BaseHTTPRequestHandler):
    """A web server that knows nothing of AWS."""

    def do_GET(self) -> None:
        body = b"<!DOCTYPE html><html><body>Welcome</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def no_aws() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "command",
    [
        ["shift", "--function", "f", "--weight", "10%"],
        ["prune", "--function", "f"],
        ["key", "list", "--table", "t"],
        ["key", "create", "acme", "--table", "t"],
        ["dashboard", "show", "--function", "f"],
        ["record", "--function", "f", "--start", "-1h", "--out", "OUT"],
        ["canary", "status", "--function", "f"],
        ["canary", "abort", "--function", "f", "--to-version", "1"],
    ],
)
def test_an_endpoint_that_is_no_aws_is_one_line(
    command: list[str], no_aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.chdir(tmp_path)
    out = [str(tmp_path / "seen.parquet") if each == "OUT" else each for each in command]
    done = CliRunner().invoke(main, [*out, "--endpoint-url", no_aws, "--region", "us-east-1"])
    assert done.exit_code == 4, done.output
    assert f"{no_aws}: answers with a web page, not as AWS does" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
