"""How functions are compiled: without liberties in arithmetic, and kept on disk for the next process.

Where it is kept: :func:`simulator.compiling.kept`. Numba asks only the file of the entry function whether it has
changed; an entry here carries the :data:`FINGERPRINT` of the whole package in its key, so that a change in any of its
files compiles anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

from simulator.compiling import kept

Function = TypeVar("Function", bound=Callable[..., Any])


def _fingerprint() -> str:
    digest, package = hashlib.sha256(), Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


FINGERPRINT: Final = _fingerprint()


def part(function: Function) -> Function:
    """Make a function that entries call; it becomes part of them."""
    return cast(Function, numba.njit(error_model="numpy", nogil=True, forceinline=True)(function))


def shared(function: Function) -> Function:
    """Make a function that is called from several places or seldom, and not copied into each of them."""
    return cast(Function, numba.njit(error_model="numpy", nogil=True)(function))


def entry(function: Function) -> Function:
    """Make a function that Python calls; it must use a ``fingerprint`` from a scope around it."""
    if "fingerprint" not in function.__code__.co_freevars:
        raise TypeError(f"{function.__qualname__} does not use the fingerprint: its cache would go stale unseen")
    return kept(function)
