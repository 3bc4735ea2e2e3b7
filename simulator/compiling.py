"""Functions compiled by numba and kept on disk for the next process.

:class:`Compiled` is for single functions, whose file numba itself watches for changes. Packages of them (the engine,
the log scanner) carry a fingerprint of their files in the key of what is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def kept(function: Function) -> Function:
    """Let numba compile a function at its first call, with Python's rules for division off, and keep the result.

    Numba keeps it beside its source, in the user's cache folder, or where ``NUMBA_CACHE_DIR`` says; where none of them
    is writable it is compiled in each process.
    """
    # Imported here: half a second that only who compiles needs.
    import numba

    try:
        return cast(Function, numba.njit(error_model="numpy", nogil=True, cache=True)(function))
    except RuntimeError:  # no folder to keep it in
        return cast(Function, numba.njit(error_model="numpy", nogil=True)(function))


class Compiled:
    """A function of arrays and numbers, compiled at the first call: numba is imported only then, in half a second.

    Parameters
    ----------
    function
        A module's own, in what numba understands of Python.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._kernel: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        if self._kernel is None:
            self._kernel = kept(self._function)
        return self._kernel(*arguments)
