"""``platform.yaml``: a platform as a person writes it down, laid over the defaults or over a given one.

A key is a field of :class:`~simulator.platform.Platform` or of what it holds. Durations are written with their unit
under the field's name without it (``timeout: 30s``, ``refusal: 20ms``), or as a number under its full name
(``timeout_s: 30``)::

    account_concurrency: 500
    keep_alive: 8m
    versions:
      baseline:
        provisioned: 2
        timeout: 20s
        model: {quota: haiku, max_tokens: 512, retries: {mode: standard, max_attempts: 2}}
      optimized:
        provisioned_changes: [{at: 10m, provisioned: 5}]
    quotas:
      haiku: {requests_per_minute: 200, tokens_per_minute: 100000, output_burndown: 5}
    client: {timeout: 25s, max_attempts: 3, retry_on: [throttled], budget: {capacity: 50}}

A forecast counts ``at`` from its first step.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from simulator.errors import ParameterError
from simulator.model_policy import ModelQuota
from simulator.platform import Platform, VersionSettings

Made = TypeVar("Made")

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def read_platform(path: str | Path, base: Platform | None = None) -> Platform:
    """Read a platform from the YAML file at ``path``.

    Parameters
    ----------
    path
        The file. Fields that it does not name keep the value of ``base``, also inside a version.
    base
        What it is laid over; None for AWS's defaults. Versions are matched by name; a file that names others than the
        base's replaces them.

    Raises
    ------
    ParameterError
        The file cannot be read or is not YAML; a field that there is not; a value of the wrong kind, outside its range
        or in contradiction to another. The message names file, field and value.
    """
    source = Path(path)
    try:
        document = yaml.load(source.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ParameterError(f"{source}: {where}{error.problem or 'not YAML'}") from error
    except OSError as error:
        raise ParameterError(f"{source}: cannot read the platform ({error.strerror})") from error
    except (ValueError, yaml.YAMLError) as error:  # no UTF-8, or a date that there is not
        raise ParameterError(f"{source}: the platform is not YAML ({str(error).splitlines()[0]})") from error
    return platform_of(document, base, origin=str(source))


def platform_of(document: Any, base: Platform | None = None, *, origin: str = "platform") -> Platform:
    """Build a platform from what YAML or JSON holds, as :func:`read_platform`. Raises ParameterError."""
    base = Platform() if base is None else base
    try:
        values = _mapping(document, "")
        taken: dict[str, Any] = {}
        if "versions" in values:
            taken["versions"] = _versions(values.pop("versions"), base)
        if "quotas" in values:
            quotas = _mapping(values.pop("quotas"), "quotas")
            taken["quotas"] = {
                **base.quotas,
                **{
                    name: _over(base.quotas.get(name, ModelQuota()), one, f"quotas.{name}")
                    for name, one in quotas.items()
                },
            }
        if "client" in values:
            taken["client"] = _over(base.client, values.pop("client"), "client", named=True)
        taken |= _read(Platform, values, "", also=("versions", "quotas", "client"))
        return replace(base, **taken)
    except ParameterError as error:
        raise ParameterError(f"{origin}: {error}") from error


def _versions(value: Any, base: Platform) -> dict[str, VersionSettings]:
    versions = _mapping(value, "versions")
    known = base.versions if set(versions) <= set(base.versions) else {}
    read = {
        name: _over(known.get(name, VersionSettings()), {} if one is None else one, f"versions.{name}")
        for name, one in versions.items()
    }
    # In the base's order: the first version is the alias's main one.
    return {**known, **read}


def _over(base: Made, value: Any, place: str, *, named: bool = False) -> Made:
    """Lay a mapping over a settings object. ``named``: the object's own messages say where they are."""
    taken = _read(type(base), _mapping(value, place), place)
    made: Made = _built(lambda: replace(base, **taken), "" if named else place)  # type: ignore[type-var]  # any dataclass of the platform
    return made


def _read(kind: type[Any], values: Mapping[str, Any], place: str, also: tuple[str, ...] = ()) -> dict[str, Any]:
    hints = get_type_hints(kind)
    known = {each.name for each in fields(kind)}
    taken: dict[str, Any] = {}
    for key, value in values.items():
        at = f"{place}.{key}" if place else key
        if key in known and key not in also:
            name, read = key, _value(hints[key], value, at)
        elif (with_unit := _with_unit(key, known)) is not None:
            name, read = with_unit, None if value is None else _duration(value, with_unit, at)
            if read is None and NoneType not in get_args(hints[name]):
                raise ParameterError(f"{at}: None is not a duration; write it like 500ms, 30s or 10m")
        else:
            listed = sorted({re.sub(r"_m?s$", "", name) for name in known})
            raise ParameterError(f"{at}: unknown field; known are {', '.join(listed)}")
        if name in taken:
            raise ParameterError(f"{at}: given twice, with its unit and without; keep one")
        taken[name] = read
    return taken


def _with_unit(key: str, known: set[str]) -> str | None:
    return next((f"{key}{unit}" for unit in ("_s", "_ms") if f"{key}{unit}" in known), None)


def _value(hint: Any, value: Any, place: str) -> Any:
    """Read ``value`` as what a field's type says."""
    if get_origin(hint) in (Union, UnionType):
        if value is None:
            return None
        hint = next(one for one in get_args(hint) if one is not NoneType)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ParameterError(f"{place}: {value!r} is not a list")
        return tuple(_value(get_args(hint)[0], one, f"{place}[{index}]") for index, one in enumerate(value))
    if is_dataclass(hint):
        kind: Any = hint
        taken = _read(kind, _mapping(value, place), place)
        return _built(lambda: kind(**taken), place)
    if get_origin(hint) is Literal:
        # YAML reads a bare off as false.
        text = "off" if value is False else value
        if text not in get_args(hint):
            raise ParameterError(f"{place}: {value!r} is none of {', '.join(get_args(hint))}")
        return text
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, str) and value:
        return value
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[hint]
    raise ParameterError(f"{place}: {value!r} is not {wanted}")


def _duration(value: Any, name: str, place: str) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ParameterError(f"{place}: {value!r} is not a duration; write it like 500ms, 30s or 10m")
    seconds = float(match[1]) * _UNIT_S[match[2]]
    return seconds * 1000.0 if name.endswith("_ms") else seconds


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ParameterError(f"{place or 'the file'}: {value!r} is not a mapping of fields")
    return dict(value)


def _built(make: Any, place: str) -> Any:
    try:
        return make()
    except ParameterError as error:
        raise ParameterError(f"{place}: {error}" if place else str(error)) from error
    except TypeError as error:
        # The only one that is left: a field without default is missing.
        missing = re.findall(r"'(\w+)'", str(error).partition("missing")[2])
        raise ParameterError(f"{place}.{re.sub(r'_m?s$', '', missing[0]) if missing else error}: missing") from error


class _UniqueKeys(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice; YAML forbids it, PyYAML takes the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
