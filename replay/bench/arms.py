"""The conditions under which a model is measured: one arm is one combination, a cell one arm of one target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, Final, Literal, get_args

from replay.errors import InputError

ConnectionKind = Literal["reused", "cold"]
CacheUse = Literal["off", "write", "read", "below"]
Latency = Literal["standard", "optimized"]
Tier = Literal["default", "priority", "flex", "reserved"]


@dataclass(frozen=True)
class Arm:
    """One combination of conditions.

    Raises
    ------
    InputError
        A value that is none of a field's, or a number of tokens below 1.
    """

    connection: ConnectionKind = "reused"
    """``cold``: every request opens its connection; ``reused``: none does."""
    cache: CacheUse = "off"
    """``off``: no cache point. ``write``: one, after a prefix never sent before. ``read``: one, after a prefix that a
    warm-up request wrote. ``below``: one, after a prefix shorter than the model's minimum."""
    latency: Latency = "standard"
    tier: Tier = "default"
    input_tokens: int = 672
    """Length of the prompt, by the rule of four characters a token; what the model counts is recorded."""
    output_tokens: int = 40
    """``maxTokens``, and what the prompt asks for."""

    def __post_init__(self) -> None:
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise InputError(f"arm: {name} {getattr(self, name)!r} is not one of {', '.join(get_args(kind))}")
        for name in ("input_tokens", "output_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"arm: {name} {getattr(self, name)!r} must be at least 1")

    def label(self, varying: Sequence[str]) -> str:
        """Name the arm by the fields that differ between arms."""
        return ", ".join(f"{_SHORT[name]}={getattr(self, name)}" for name in varying) or "standard"


_CHOICES: Final[Mapping[str, Any]] = {
    "connection": ConnectionKind,
    "cache": CacheUse,
    "latency": Latency,
    "tier": Tier,
}
_SHORT: Final[Mapping[str, str]] = {
    **{name: name for name in _CHOICES},
    "input_tokens": "input",
    "output_tokens": "output",
}
_FIELDS: Final = {short: name for name, short in _SHORT.items()}


def factorial(**levels: Sequence[Any]) -> list[Arm]:
    """Combine every level of every factor; a factor that is left out stays at its default.

    Examples
    --------
    >>> [arm.label(["connection", "cache"]) for arm in factorial(connection=["cold", "reused"], cache=["off"])]
    ['connection=cold, cache=off', 'connection=reused, cache=off']
    """
    names = [name for name, values in levels.items() if values]
    return [Arm(**dict(zip(names, values, strict=True))) for values in product(*(levels[name] for name in names))]


def parse_arm(text: str) -> Arm:
    """Read an arm as ``connection=cold,cache=read,input=1100``; what is left out stays at its default.

    Raises
    ------
    InputError
        An unknown key, or a value that does not fit it.
    """
    values: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = part.partition("=")
        name = _FIELDS.get(key.strip())
        if not equals or name is None:
            raise InputError(f"arm {text!r}: {part!r} is not KEY=VALUE with a KEY of {', '.join(_FIELDS)}")
        value = value.strip()
        if name.endswith("_tokens") and not value.isdecimal():
            raise InputError(f"arm {text!r}: {key} {value!r} must be a whole number")
        values[name] = int(value) if name.endswith("_tokens") else value
    return Arm(**values)


def varying_fields(arms: Sequence[Arm]) -> list[str]:
    """Name the fields in which the arms differ, in the order of :class:`Arm`."""
    return [f.name for f in fields(Arm) if len({getattr(arm, f.name) for arm in arms}) > 1]


def unique(arms: Sequence[Arm]) -> list[Arm]:
    """Give each arm once, in order."""
    return list(dict.fromkeys(arms))
