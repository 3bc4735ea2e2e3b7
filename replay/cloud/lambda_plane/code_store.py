"""Deployed code on disk: each package unpacked once, write-protected, and the runtime client beside it."""

from __future__ import annotations

import asyncio
import compileall
import importlib.util
import io
import os
import shlex
import shutil
import stat
import time
import zipfile
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

from replay.cloud.lambda_plane.forking import interpreter
from replay.errors import LocalCloudError

MAX_UNPACKED_BYTES: Final = 262_144_000
"""250 MB (Lambda quotas, "Deployment package size", unzipped)."""

RUNTIME_MODULES: Final = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
"""AWS's runtime client and what it imports."""


class CodePackageError(Exception):
    """A deployment package that cannot be unpacked; ``str()`` says why."""


class CodeStore:
    """Folders of unpacked code, by package; belongs to one event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unpacking: dict[str, asyncio.Task[Path]] = {}

    async def unpacked(self, code_sha256: str, code_zip: bytes) -> Path:
        """Give the folder of a package, unpacking it the first time.

        Raises
        ------
        CodePackageError
            Not a zip, an entry that would leave the folder, or more than 250 MB.
        """
        task = self._unpacking.get(code_sha256)
        if task is None:
            target = self._folder / sha256(code_sha256.encode()).hexdigest()[:32]
            task = asyncio.create_task(asyncio.to_thread(unpack, code_zip, target))
            self._unpacking[code_sha256] = task
        return await asyncio.shield(task)  # a caller that gives up must not take the others' code away


def unpack(code_zip: bytes, target: Path) -> Path:
    """Unpack ``code_zip`` into ``target``, which must not exist, and write-protect it.

    Modification times are kept, so that bytecode in the package which is validated by time stays valid.

    Raises
    ------
    CodePackageError
        See :meth:`CodeStore.unpacked`.
    """
    # What zipfile and its decompressors raise at damaged bytes is no closed list.
    try:
        archive = zipfile.ZipFile(io.BytesIO(code_zip))
    except Exception as error:
        raise CodePackageError(f"Could not unzip uploaded file: {error}") from error
    with archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > MAX_UNPACKED_BYTES:
            raise CodePackageError(f"Unzipped size must be smaller than {MAX_UNPACKED_BYTES} bytes, it is {size}")
        beside = target.with_name(f"{target.name}.partial")
        beside.mkdir(parents=True)
        try:
            for entry in entries:
                _unpack_entry(archive, entry, beside)
        except CodePackageError:
            raise
        except Exception as error:
            raise CodePackageError(f"Could not unzip uploaded file: {error}") from error
    for folder, _, _ in os.walk(beside, topdown=False):
        Path(folder).chmod(0o555)
    return beside.rename(target)


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or (name.parts and ":" in name.parts[0]):
        raise CodePackageError(f"Could not unzip uploaded file: entry {entry.filename!r} leaves the package")
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode):
        raise CodePackageError(f"Could not unzip uploaded file: entry {entry.filename!r} is a symbolic link")
    path = root.joinpath(*name.parts)
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, path.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    when = time.mktime((*entry.date_time, 0, 0, -1))
    os.utime(path, (when, when))
    path.chmod(0o555 if mode & stat.S_IXUSR else 0o444)


def install_runtime(folder: Path) -> Path:
    """Copy AWS's runtime client, and nothing else that is installed here, into ``folder``, with bytecode.

    Beside it, a folder ``bin`` gets the interpreter.

    Raises
    ------
    LocalCloudError
        It is not installed, or not usable on this platform.
    """
    folder.mkdir(parents=True)
    for name in RUNTIME_MODULES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise LocalCloudError(
                f"local cloud: module {name!r} of AWS's runtime client is not installed; "
                "run `pip install 'tailcast[cloud]'` (awslambdaric has wheels for Linux)"
            )
        origin = Path(found.origin)
        if origin.name == "__init__.py":
            shutil.copytree(
                origin.parent, folder / name, ignore=shutil.ignore_patterns("__pycache__", "tests", "*.c", "*.pyi")
            )
        else:
            shutil.copy2(origin, folder / origin.name)
    compileall.compile_dir(folder, quiet=2)
    _install_interpreter(folder.with_name("bin"))
    return folder


def _install_interpreter(folder: Path) -> None:
    """Put the interpreter on the functions' path by the names that Lambda's runtimes have in ``/var/lang/bin``."""
    folder.mkdir(exist_ok=True)
    for name in ("python3", "python"):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(interpreter()[0])} "$@"\n')
        script.chmod(0o555)
