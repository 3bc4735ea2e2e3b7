"""Fetching Terraform: nothing runs that was not checked."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import platform
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import fetch_terraform
from scripts.fetch_terraform import VERSION, FetchError, fetch, this_platform


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A release on loopback: a zip with a binary that prints its version."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("LICENSE.txt", "BUSL")
        archive.writestr("terraform", "#!/bin/sh\necho v-of-the-test\n")
    folder = tmp_path / "releases" / VERSION
    folder.mkdir(parents=True)
    (folder / f"terraform_{VERSION}_{this_platform()}.zip").write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    monkeypatch.setitem(fetch_terraform.SHA256, this_platform(), digest)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "releases")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_the_checked_binary_is_installed_and_runs(releases: str, tmp_path: Path) -> None:
    path = fetch(tmp_path / "bin", releases)
    assert os.access(path, os.X_OK)
    result = subprocess.run([str(path)], capture_output=True, text=True, check=True)
    assert result.stdout == "v-of-the-test\n"
    assert list((tmp_path / "bin").iterdir()) == [path]


def test_another_digest_installs_nothing(releases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fetch_terraform.SHA256, this_platform(), "0" * 64)
    with pytest.raises(FetchError, match=r"is not the pinned 0000.*nothing was installed"):
        fetch(tmp_path / "bin", releases)
    assert not (tmp_path / "bin").exists()


def test_no_way_to_the_releases_says_what_to_do(tmp_path: Path, unused_tcp_port: int) -> None:
    with pytest.raises(FetchError, match=r"cannot download.*refused.*put a terraform .* on PATH by hand"):
        fetch(tmp_path / "bin", f"http://127.0.0.1:{unused_tcp_port}")


@pytest.mark.parametrize("releases", ["mirror", "http://localhost:port"])
def test_an_address_that_is_none_is_one_line(
    releases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fetch_terraform.py", "--into", str(tmp_path), "--releases", releases])
    assert fetch_terraform.main() == 4
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot download {releases}/")
    assert said.count("\n") == 1


def test_a_platform_without_a_pin_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "mips")
    with pytest.raises(FetchError, match=r"no Terraform is pinned for .*_mips; install"):
        this_platform()


def test_the_pins_are_whole_digests() -> None:
    assert set(fetch_terraform.SHA256) == {"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"}
    assert all(len(digest) == 64 and int(digest, 16) for digest in fetch_terraform.SHA256.values())
    assert len(set(fetch_terraform.SHA256.values())) == 4
