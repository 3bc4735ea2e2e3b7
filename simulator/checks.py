"""Checks that the settings' constructors share: one line each, with the field's name and the value found there."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from simulator.errors import ParameterError

MOST: Final = 1e12
"""More than anybody means. Seconds beyond it do not fit into the engine's clock, 64 bits of microseconds."""


def above(name: str, value: float) -> None:
    """Refuse what is not a number above 0, or larger than :data:`MOST`. Raises ParameterError."""
    if not 0 < value < math.inf:
        raise ParameterError(f"{name}={value!r} must be above 0")
    _not_too_large(name, value)


def at_least(name: str, value: float, least: float) -> None:
    """Refuse what is not a number of ``least`` or more, or larger than :data:`MOST`. Raises ParameterError."""
    if not least <= value < math.inf:
        raise ParameterError(f"{name}={value!r} must be {least} or more")
    _not_too_large(name, value)


def one_of(name: str, value: str, known: Collection[str]) -> None:
    """Refuse what is none of ``known``. Raises ParameterError."""
    if value not in known:
        raise ParameterError(f"{name}={value!r} is none of {', '.join(known)}")


def _not_too_large(name: str, value: float) -> None:
    if value > MOST:
        raise ParameterError(f"{name}={value!r} must be {MOST:g} or less")
