"""Building a deployment package."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replay.errors import DeployError, InputError
from replay.package.bytecode import compile_tree, find_interpreter
from replay.package.sdk import trim
from replay.package.spec import PackageSpec, read_spec
from replay.package.wheels import COMPILED_SUFFIXES, fetch_wheels, wheel_files
from simulator.files import written_beside

SUPPORTED_PYTHONS: Final = ("3.11", "3.12", "3.13")
"""Lambda's managed runtimes that aws provider 5.100 knows and this project tests."""
MAX_ZIP_BYTES: Final = 50 * 1024**2
MAX_UNZIPPED_BYTES: Final = 250 * 1024**2
"""Lambda's limits for a zip that is uploaded directly, and for its contents with layers:
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""
_MODE: Final = 0o100644 << 16
_MODE_OF_SCRIPTS: Final = 0o100755 << 16


@dataclass(frozen=True)
class Package:
    """A deployment package on disk."""

    function: str
    path: Path
    sha256: str
    """Hexadecimal."""
    base64sha256: str
    """As Lambda's ``CodeSha256`` and Terraform's ``source_code_hash`` write it."""
    size_bytes: int
    handler: str
    python: str
    """``"3.12"``; the runtime is ``python3.12``."""
    has_bytecode: bool
    """False where no interpreter of ``python`` was at hand: it runs, but each cold start compiles it again."""


def target_python() -> str:
    """Give the Python version to package for: the running one, or the newest that Lambda has below it."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return running if running in SUPPORTED_PYTHONS else SUPPORTED_PYTHONS[-1]


def build_package(function: str, *, project: Path, out_dir: Path, python: str | None = None) -> Package:
    """Build ``functions/<function>`` of ``project`` into ``out_dir/<function>.zip``.

    Parameters
    ----------
    function
        Folder name under ``functions/``.
    project
        The checkout.
    out_dir
        Where the zip goes. Downloads are kept between builds in ``build/wheels`` of the checkout.
    python
        Target version, one of :data:`SUPPORTED_PYTHONS`; by default :func:`target_python`.

    Raises
    ------
    InputError
        No such function, a wrong ``package.toml`` or ``python``.
    DeployError
        Dependencies cannot be had, are not pure Python, do not compile, or are too large for Lambda.
    """
    python = python or target_python()
    if python not in SUPPORTED_PYTHONS:
        raise InputError(f"python={python!r} is not one of {', '.join(SUPPORTED_PYTHONS)}")
    spec = read_spec(project, function)
    files = _collect(spec, project, project / "build" / "wheels", python)
    interpreter = find_interpreter(python)
    if interpreter is not None:
        files = _with_bytecode(files, interpreter)
    _check_size(function, sum(map(len, files.values())), MAX_UNZIPPED_BYTES, "unzipped")
    content = _zip(files)
    _check_size(function, len(content), MAX_ZIP_BYTES, "zipped")
    path = out_dir / f"{function}.zip"
    with written_beside(path) as beside:
        beside.write_bytes(content)
    digest = hashlib.sha256(content).digest()
    return Package(
        function=function,
        path=path,
        sha256=digest.hex(),
        base64sha256=base64.b64encode(digest).decode(),
        size_bytes=len(content),
        handler=spec.handler,
        python=python,
        has_bytecode=interpreter is not None,
    )


def _collect(spec: PackageSpec, project: Path, cache: Path, python: str) -> dict[str, bytes]:
    """Give path → content of all that is not bytecode."""
    files: dict[str, bytes] = {}
    for source in spec.sources:
        for path in _source_files(project, source):
            files[path.relative_to(project).as_posix()] = path.read_bytes()
    for wheel in fetch_wheels(spec.requirements, cache, python):
        for name, content in wheel_files(wheel):
            kept = trim(name, content, spec.sdk_services)
            if kept is None:
                continue
            if name in files:
                raise DeployError(f"{wheel.name}: its file {name} is in the package already")
            files[name] = kept
    # Lambda Web Adapter starts a script of the package; everything else is a function in a module.
    script = spec.handler.endswith(".sh")
    module = spec.handler if script else spec.handler.rpartition(".")[0].replace(".", "/") + ".py"
    if module not in files:
        raise InputError(f"{spec.folder / 'package.toml'}: handler={spec.handler!r}, but no {module} is packaged")
    return files


def _source_files(project: Path, source: str) -> list[Path]:
    root = project / source
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise InputError(f"{root}: no such file or folder; correct `sources` in package.toml")
    compiled = next((path for path in sorted(root.rglob("*")) if path.suffix in COMPILED_SUFFIXES), None)
    if compiled is not None:
        raise DeployError(f"{compiled}: a compiled file; only pure Python can be packaged")
    # Only modules: what lies beside them (requirements, notes, editors' leftovers) must not change the digest.
    return [path for path in root.rglob("*.py") if "__pycache__" not in path.parts]


def _with_bytecode(files: Mapping[str, bytes], interpreter: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="tailcast-package-") as folder:
        root = Path(folder)
        for name, content in files.items():
            if name.endswith(".py"):
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        compile_tree(root, interpreter)
        compiled = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.pyc")}
    return {**files, **compiled}


def _zip(files: Mapping[str, bytes]) -> bytes:
    """Give a zip whose bytes depend on ``files`` alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, wherever it is built: the mode below is Unix's
            entry.external_attr = _MODE_OF_SCRIPTS if name.endswith(".sh") else _MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=6)
    return buffer.getvalue()


def _check_size(function: str, size: int, limit: int, what: str) -> None:
    if size > limit:
        raise DeployError(
            f"function {function!r}: {size / 1024**2:.1f} MiB {what} is over Lambda's limit of {limit // 1024**2} MiB; "
            "take dependencies out of its requirements.txt"
        )
