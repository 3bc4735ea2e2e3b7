"""What processors can do with bits and numba has no name for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba.core import types
from numba.extending import intrinsic


@intrinsic
def _bit_length(_typing: Any, value: Any) -> Any:  # noqa: ARG001  (numba reads their names)
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        (number,) = arguments
        zeros = builder.ctlz(number, context.get_constant(types.boolean, 0))
        return builder.sub(context.get_constant(types.int64, 64), zeros)

    return types.int64(types.int64), generate


bit_length = cast(Callable[[int], int], _bit_length)
"""Give how many bits a number of 0 or more takes, as :meth:`int.bit_length` does, in one instruction."""
