"""Download the pinned Terraform into a folder, and check it before it is ever run. Standard library only.

The Makefile calls it where no terraform is on PATH:  python scripts/fetch_terraform.py --into build/bin
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import io
import os
import platform
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

VERSION = "1.11.4"
SHA256 = {
    "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
    "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
    "darwin_amd64": "a56d5002b9f7647291faccc3dd1a70350e60fb61e4c45037629508b8fdc2575b",
    "darwin_arm64": "867e0808fa971217043e25b7a792b10720c79b1546f8a68479b74f138be73e18",
}
"""Platform → SHA-256 of the release's zip, from terraform_1.11.4_SHA256SUMS."""
RELEASES = "https://releases.hashicorp.com/terraform"
TIMEOUT_S = 60
MAX_BYTES = 200 * 1024**2


class FetchError(Exception):
    """Why there is no Terraform now, and what to do: one line."""


def this_platform() -> str:
    """Give this machine as the releases name it. Raises FetchError where none is pinned for it."""
    machine = platform.machine().lower()
    name = f"{sys.platform}_{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"
    if name not in SHA256:
        raise FetchError(
            f"no Terraform is pinned for {name}; install {VERSION} or newer from "
            "https://developer.hashicorp.com/terraform/install"
        )
    return name


def download(url: str) -> bytes:
    """Give what lies at ``url``. Raises FetchError."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310  (a fixed https address)
            content: bytes = response.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:  # the latter: no address at all
        reason = getattr(error, "reason", error)
        raise FetchError(
            f"cannot download {url} ({reason}); put a terraform {VERSION} or newer on PATH by hand, "
            "or give a mirror of the releases with --releases"
        ) from None
    if len(content) > MAX_BYTES:
        raise FetchError(f"{url} is larger than {MAX_BYTES // 1024**2} MiB: not a Terraform release")
    return content


def fetch(into: Path, releases: str = RELEASES) -> Path:
    """Install the pinned Terraform into ``into`` and give its path. Raises FetchError."""
    name = this_platform()
    url = f"{releases}/{VERSION}/terraform_{VERSION}_{name}.zip"
    content = download(url)
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[name]:
        raise FetchError(f"{url}: SHA-256 {digest} is not the pinned {SHA256[name]}; nothing was installed")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        binary = archive.read("terraform")
    into.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=into, prefix=".terraform.")
    with os.fdopen(handle, "wb") as file:
        file.write(binary)
    Path(beside).chmod(0o755)
    return Path(beside).rename(into / "terraform")


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=f"Download Terraform {VERSION} and check its SHA-256.")
    parser.add_argument("--into", type=Path, default=Path("build/bin"), help="folder of the binary (build/bin)")
    parser.add_argument("--releases", default=RELEASES, help=f"where releases lie ({RELEASES})")
    arguments = parser.parse_args()
    try:
        path = fetch(arguments.into, arguments.releases.rstrip("/"))
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    print(f"Terraform {VERSION}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
