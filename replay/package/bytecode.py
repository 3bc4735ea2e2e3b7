"""Bytecode for the target Python, the same bytes at every build.

It is compiled by a fresh interpreter with a fixed hash seed, file by file in sorted order: what ``marshal`` writes
depends on which objects happen to be shared in the process. The files are of the *unchecked-hash* kind (PEP 552), which
the import system takes without a look at the source's time stamp.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from replay.errors import DeployError

COMPILE_TIMEOUT_S: Final = 300.0
_SCRIPT: Final = """
import importlib.util, pathlib, py_compile, sys
root = pathlib.Path(sys.argv[1])
for source in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
    name = source.relative_to(root).as_posix()
    py_compile.compile(
        str(source), cfile=importlib.util.cache_from_source(str(source), optimization=""), dfile="/var/task/" + name,
        doraise=True, optimize=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
"""


def find_interpreter(python: str) -> str | None:
    """Give an interpreter of version ``python`` (``"3.12"``), None where there is none."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{python}")
    if found is None:
        return None
    # A version manager's shim may stand for an interpreter that is not there.
    works = subprocess.run([found, "-S", "-c", "pass"], capture_output=True, timeout=30, check=False)
    return found if works.returncode == 0 else None


def compile_tree(root: Path, interpreter: str) -> None:
    """Compile every module under ``root`` into its ``__pycache__``. Raises DeployError on a syntax error."""
    environment = {
        name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "TEMP", "TMPDIR")
    }
    try:
        result = subprocess.run(
            [interpreter, "-S", "-s", "-c", _SCRIPT, str(root)],
            env={**environment, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeployError(f"{root}: compiling to bytecode took more than {COMPILE_TIMEOUT_S:.0f} s") from None
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise DeployError(f"cannot compile the package: {' '.join(line.strip() for line in lines[-3:])}")
