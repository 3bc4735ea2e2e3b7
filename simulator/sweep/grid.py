"""The grid of a sweep: axes of settings, and one scenario for each combination of their values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from simulator.errors import ParameterError

MAX_SCENARIOS: Final = 100_000
"""More than this is a mistyped range rather than a question."""
_MAX_VALUES: Final = 10_000


@dataclass(frozen=True)
class Scenario:
    """One combination of settings; None leaves a setting as the platform or the recording has it.

    Parameters
    ----------
    weight
        Share of the requests that goes to the candidate, 0 to 1.
    scale
        Times the load.
    provisioned_baseline, provisioned_optimized
        Environments of provisioned concurrency of each version.
    memory_mb
        Memory of the candidate, in MB.
    timeout_s
        Time-out of both versions, in seconds.
    keep_alive_s
        How long an idle environment lives, in seconds.
    """

    weight: float = 1.0
    scale: float = 1.0
    provisioned_baseline: int | None = None
    provisioned_optimized: int | None = None
    memory_mb: int | None = None
    timeout_s: float | None = None
    keep_alive_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the settings as JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Axis:
    """One setting and the values that it takes.

    Parameters
    ----------
    name
        As the command line calls it: ``pc``, ``weight``.
    fields
        The scenario's fields that it sets; several where one option sets both versions.
    values
        Distinct, in the order given.
    """

    name: str
    fields: tuple[str, ...]
    values: tuple[float, ...]


FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "scale": ("scale",),
    "keep-alive": ("keep_alive_s",),
    "memory": ("memory_mb",),
    "weight": ("weight",),
    "pc": ("provisioned_baseline", "provisioned_optimized"),
    "pc-baseline": ("provisioned_baseline",),
    "pc-optimized": ("provisioned_optimized",),
    "timeout": ("timeout_s",),
}
"""Axis → the scenario's fields that it sets. Scenarios that differ only in what comes last share their draws, so the
axes that change the draws come first."""
_WHOLE: Final = frozenset({"memory", "pc", "pc-baseline", "pc-optimized"})
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "weight": (0.0, 1.0),
    "memory": (128, 10_240),
    "timeout": (0.001, 900.0),
    "scale": (1e-6, 1e6),
    "keep-alive": (0.001, 1e7),
}


def parse_axis(name: str, text: str) -> Axis:
    """Read the values of an axis: ``0.05,0.1``, ``0:20`` (both ends), ``0:20:5`` (by steps), or several of these.

    A weight may be a percentage: ``5%,10%``.

    Raises
    ------
    ParameterError
        Something that is no number or range, lies outside what the setting can be, or is no whole number where it
        has to be.
    """
    values: list[float] = []
    for part in text.split(","):
        values += _values(name, part.strip())
        if len(values) > _MAX_VALUES:
            raise ParameterError(f"--{name} {text!r}: more than {_MAX_VALUES:,} values; give a step, as in 0:1000:100")
    low, high = _RANGES.get(name, (0.0, math.inf))
    for value in values:
        if not low <= value <= high:
            limits = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
            hint = "; write 5% or 0.05" if name == "weight" else ""
            raise ParameterError(f"--{name} {text!r}: {value:g} is outside {limits}{hint}")
        if name in _WHOLE and value != int(value):
            raise ParameterError(f"--{name} {text!r}: {value:g} is no whole number")
    kept = tuple(dict.fromkeys(int(value) if name in _WHOLE else value for value in values))
    return Axis(name, FIELDS[name], kept)


def scenarios_of(axes: Sequence[Axis]) -> tuple[Scenario, ...]:
    """Give every combination, those that can share their draws next to each other.

    Raises
    ------
    ParameterError
        Two axes that set the same, or more than :data:`MAX_SCENARIOS` combinations.
    """
    order = list(FIELDS)
    axes = sorted(axes, key=lambda axis: order.index(axis.name))
    setters: dict[str, str] = {}
    for axis in axes:
        for field in axis.fields:
            if field in setters:
                raise ParameterError(f"--{setters[field]} and --{axis.name} both set {field}; leave one out")
            setters[field] = axis.name
    count = math.prod(len(axis.values) for axis in axes)
    if count > MAX_SCENARIOS:
        counts = " × ".join(f"{len(axis.values)} of --{axis.name}" for axis in axes)
        raise ParameterError(f"{count:,} scenarios ({counts}) are more than {MAX_SCENARIOS:,}; give fewer values")
    found = []
    for values in itertools.product(*(axis.values for axis in axes)):
        settings: dict[str, Any] = {}
        for axis, value in zip(axes, values, strict=True):
            settings |= dict.fromkeys(axis.fields, value)
        found.append(Scenario(**settings))
    return tuple(found)


def _values(name: str, part: str) -> list[float]:
    pieces = part.split(":")
    if not 1 <= len(pieces) <= 3:
        raise ParameterError(f"--{name}: {part!r} is no range; write FROM:TO or FROM:TO:STEP")
    numbers = [_number(name, piece) for piece in pieces]
    if len(numbers) == 1:
        return numbers
    first, last = numbers[:2]
    step = numbers[2] if len(numbers) == 3 else 1.0
    if step <= 0.0 or last < first:
        raise ParameterError(
            f"--{name}: the range {part!r} is empty; write FROM:TO:STEP with TO from FROM on, STEP > 0"
        )
    # A last value that misses the end by rounding alone belongs to the range: 0:0.3:0.1 has four values.
    count = math.floor((last - first) / step + 1e-9) + 1
    if count > _MAX_VALUES:
        raise ParameterError(f"--{name}: the range {part!r} has {count:,} values; give a larger step")
    return [round(first + index * step, 12) for index in range(count)]


def _number(name: str, text: str) -> float:
    percent = name == "weight" and text.endswith("%")
    try:
        value = float(text.removesuffix("%") if percent else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ParameterError(f"--{name}: {text!r} is no number; give values such as 1,2,4 or a range such as 0:20")
    return value / 100.0 if percent else value
