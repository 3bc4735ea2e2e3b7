"""Memory by its address in compiled code: an array as an argument costs more than what is done with it here.

Nobody checks a place: callers hold it between the ends of the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


def inner(function: Function) -> Function:
    """Make a function that compiled code calls."""
    return cast(Function, numba.njit(error_model="numpy", nogil=True)(function))


@intrinsic
def _byte(_typing: Any, address: Any, place: Any) -> Any:  # noqa: ARG001  (numba reads their names)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        base, offset = arguments
        pointer = builder.inttoptr(builder.add(base, offset), context.get_value_type(types.uint8).as_pointer())
        return builder.zext(builder.load(pointer), context.get_value_type(types.int64))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _eight_bytes(_typing: Any, address: Any, place: Any) -> Any:  # noqa: ARG001  (numba reads their names)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        base, offset = arguments
        pointer = builder.inttoptr(builder.add(base, offset), context.get_value_type(types.int64).as_pointer())
        return builder.load(pointer, align=1)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _copy(_typing: Any, to: Any, address: Any, count: Any) -> Any:  # noqa: ARG001  (numba reads their names)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        target, source, size = arguments
        pointer = context.get_value_type(types.uint8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(target, pointer), builder.inttoptr(source, pointer), size, 1)  # type: ignore[no-untyped-call]  # numba is untyped
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def _put_byte(_typing: Any, address: Any, place: Any, value: Any) -> Any:  # noqa: ARG001  (numba reads their names)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        base, offset, number = arguments
        kind = context.get_value_type(types.uint8)
        pointer = builder.inttoptr(builder.add(base, offset), kind.as_pointer())
        builder.store(builder.trunc(number, kind), pointer)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


byte: Final = cast("Callable[[int, int], int]", _byte)
"""Give the byte at a place from an address on."""
eight_bytes: Final = cast("Callable[[int, int], int]", _eight_bytes)
"""Give the eight bytes from there on as one number."""
put_byte: Final = cast("Callable[[int, int, int], None]", _put_byte)
"""Write a byte there."""
copy: Final = cast("Callable[[int, int, int], None]", _copy)
"""Copy to an address, from another, so many bytes."""
