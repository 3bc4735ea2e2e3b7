"""Checks that the settings' constructors share: one line each, with the field's name and the value found there."""

from __future__ import annotations

import math
from collections.abc import Collection

from simulator.errors import ParameterError


def above(name: str, value: float, bound: float = 0) -> None:
    """Refuse what is not a number above ``bound``. Raises ParameterError."""
    if not (math.isfinite(value) and value > bound):
        raise ParameterError(f"{name}={value!r} must be above {bound}")


def at_least(name: str, value: float, least: float) -> None:
    """Refuse what is not a number of ``least`` or more. Raises ParameterError."""
    if not (math.isfinite(value) and value >= least):
        raise ParameterError(f"{name}={value!r} must be {least} or more")


def one_of(name: str, value: str, known: Collection[str]) -> None:
    """Refuse what is none of ``known``. Raises ParameterError."""
    if value not in known:
        raise ParameterError(f"{name}={value!r} is none of {', '.join(known)}")
