"""Typed reading of environment variables: each reader names the variable, its value and its range when it refuses."""

from __future__ import annotations

from collections.abc import Mapping

from functions.common.errors import ConfigurationError


def text(environment: Mapping[str, str], name: str, default: str | None = None) -> str:
    """Read a text; without a ``default`` it must be there and not blank. Raises ConfigurationError."""
    value = environment.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise ConfigurationError(f"environment variable {name} is missing or blank; set it in the function's settings")
    return default


def whole(environment: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    """Read a whole number of [``low``, ``high``]. Raises ConfigurationError."""
    raw = environment.get(name, "").strip()
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ConfigurationError(f"environment variable {name}={raw!r} is not a whole number") from None
    if not low <= value <= high:
        raise ConfigurationError(f"environment variable {name}={raw!r} is outside [{low}, {high}]")
    return value


def number(
    environment: Mapping[str, str], name: str, default: float | None, *, low: float, high: float
) -> float | None:
    """Read a number of [``low``, ``high``]; NaN lies outside. Raises ConfigurationError."""
    raw = environment.get(name, "").strip()
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        raise ConfigurationError(f"environment variable {name}={raw!r} is not a number") from None
    if not low <= value <= high:
        raise ConfigurationError(f"environment variable {name}={raw!r} is outside [{low}, {high}]")
    return value
