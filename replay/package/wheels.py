"""Dependencies: hashed wheels from the package index, read as what they are, zips of pure Python."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from replay.errors import DeployError

DOWNLOAD_TIMEOUT_S: Final = 300.0
COMPILED_SUFFIXES: Final = (".so", ".pyd", ".dylib", ".dll")


def fetch_wheels(requirements: Path, cache: Path, python: str) -> list[Path]:
    """Give the wheels of ``requirements``, downloaded at most once per content.

    Parameters
    ----------
    requirements
        Exact versions with hashes; pip refuses anything else.
    cache
        Folder that keeps downloads, one folder a content of ``requirements``.
    python
        Version that the wheels must support: ``"3.12"``.

    Raises
    ------
    DeployError
        pip is missing, cannot reach its index, finds no pure-Python wheel, or a hash differs.
    """
    text = requirements.read_bytes()
    if not re.search(rb"^\s*[^#\s]", text, flags=re.MULTILINE):
        return []
    key = hashlib.sha256(python.encode() + b"\0" + text).hexdigest()[:16]
    folder = cache / key
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=cache))
        try:
            _download(requirements, beside, python)
            try:
                beside.rename(folder)
            except OSError:  # another build was faster: its folder holds the same wheels
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return sorted(folder.glob("*.whl"))


def _download(requirements: Path, folder: Path, python: str) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--python-version", python, "--implementation", "py", "--abi", "none", "--platform", "any"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False, env={**os.environ}
        )
    except subprocess.TimeoutExpired:
        raise DeployError(f"{requirements}: pip did not download it within {DOWNLOAD_TIMEOUT_S:.0f} s") from None
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or result.stderr.splitlines()
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with {result.returncode}"
        raise DeployError(
            f"{requirements}: cannot download its wheels: {reason} (check the package index that pip is set to)"
        )


def wheel_files(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Give path and content of what ``wheel`` installs, without the installer's own bookkeeping.

    Raises
    ------
    DeployError
        The wheel is not pure Python: such a package would run on one platform only.
    """
    if not wheel.name.endswith("-none-any.whl"):
        raise DeployError(f"{wheel.name}: a wheel for one platform; only pure-Python wheels (none-any) can be packaged")
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = _installed_path(entry.filename)
            if path is None or entry.is_dir():
                continue
            if path.endswith(COMPILED_SUFFIXES):
                raise DeployError(f"{wheel.name}: holds the compiled file {path}; only pure Python can be packaged")
            yield path, archive.read(entry)


def _installed_path(name: str) -> str | None:
    """Map a wheel's member to its place on ``sys.path``; None for what the function has no use for."""
    top, _, rest = name.partition("/")
    if top.endswith(".data"):
        kind, _, inner = rest.partition("/")
        return inner if kind in ("purelib", "platlib") else None
    if top.endswith(".dist-info"):
        # The licences stay with what they license; METADATA is what importlib.metadata reads.
        return name if rest == "METADATA" or "LICEN" in rest.upper() or "NOTICE" in rest.upper() else None
    return name
