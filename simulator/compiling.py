"""Single functions compiled by numba when they are first called, and kept on disk for the next process.

The engine has a package of them (``simulator/engine/compiled/jit.py``); these stand alone, so that numba sees itself
whether the file of one has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
            self._kernel = self._compile()
        return self._kernel(*arguments)

    def _compile(self) -> Callable[..., Any]:
        import numba

        try:
            kernel: Callable[..., Any] = numba.njit(error_model="numpy", nogil=True, cache=True)(self._function)
        except RuntimeError:  # no folder to keep it in
            kernel = numba.njit(error_model="numpy", nogil=True)(self._function)
        return kernel
