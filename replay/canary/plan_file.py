"""Read a plan from YAML; every mistake becomes one line with file, field, value and what to write instead.

::

    name: nova-lite
    preset: careful            # optional: a built-in plan, whose fields the file's own replace
    steps:
      - {weight: 10%, at_least: 5m, at_most: 2h, requests_per_arm: 300}
      - {weight: 100%, at_least: 5m, at_most: 30m}
    objectives:
      - {metric: error_rate, tolerance: 0%, margin: 100%, max: 2%}
      - {metric: p99, tolerance: 10%, margin: 40%}
    inconclusive: pause        # wait | pause | rollback
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import yaml

from replay.canary.plan import (
    RATES,
    Advance,
    Compare,
    Gate,
    Inconclusive,
    Notify,
    ObjectiveSpec,
    OnCrash,
    Plan,
    Smoke,
    Source,
    Step,
    objective,
)
from replay.canary.presets import PRESETS, preset
from replay.errors import InputError

_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)\s*")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PERCENT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_MONEY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:usd)?\s*", re.IGNORECASE)

Reader = Callable[[Any], Any]
Made = TypeVar("Made")


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML lets the last of two equal keys win, silently; a plan must not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                break  # the base class says so, with its place
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_plan(source: str | Path) -> Plan:
    """Read a plan file, or give the built-in plan of that name.

    Raises
    ------
    InputError
        No such file or built-in plan, not YAML, an unknown or missing field, or a value outside its range.
    """
    built_in = preset(str(source))
    if built_in is not None:
        return built_in
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path}: no such plan file, and no built-in plan of that name ({', '.join(PRESETS)})")
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InputError(f"{path}: {where}{error.problem or 'not YAML'}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    return plan_from_document(document, origin=str(path), default_name=path.stem)


def plan_from_document(document: Any, *, origin: str = "plan", default_name: str = "plan") -> Plan:
    """Build a plan from what YAML (or JSON) holds. Raises InputError as :func:`read_plan`."""
    values = _mapping(document, f"{origin}: the plan")
    base = None
    if "preset" in values:
        base = preset(str(values.pop("preset")))
        if base is None:
            raise InputError(
                f"{origin}: preset: no built-in plan {document['preset']!r}; there are {', '.join(PRESETS)}"
            )
    taken = _read(values, _PLAN, origin, "")
    taken.setdefault("name", default_name)
    if base is not None:
        return _built(lambda: replace(base, **taken), origin, "")
    for needed in ("steps", "objectives"):
        if needed not in taken:
            raise InputError(f"{origin}: {needed}: missing; give it, or name a preset ({', '.join(PRESETS)})")
    return _built(lambda: Plan(**taken), origin, "")


def plan_to_document(plan: Plan) -> dict[str, Any]:
    """Give the plan as JSON types that :func:`plan_from_document` reads back, for the journal."""
    document: dict[str, Any] = {}
    for each in fields(plan):
        value = getattr(plan, each.name)
        name = each.name.removesuffix("_s")
        if each.name in ("steps", "objectives", "gates", "notify"):
            document[name] = [_flat(item) for item in value]
        elif each.name == "smoke":
            document[name] = False if value is None else _flat(value)
        elif each.name == "alarms":
            document[name] = list(value)
        elif value is not None:
            document[name] = f"{value!r}s" if each.name.endswith("_s") else value
    return document


def _flat(item: Any) -> dict[str, Any]:
    values = {each.name: getattr(item, each.name) for each in fields(item)}
    return {
        name.removesuffix("_s"): f"{value!r}s" if name.endswith("_s") else value
        for name, value in values.items()
        if value is not None
    }


# ---- fields ----------------------------------------------------------------------------------------------------------


def duration_s(value: Any) -> float:
    """Read ``10s``, ``5m``, ``1.5h`` as seconds; a bare number is refused, since nobody can tell its unit."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InputError(f"{value!r} is not a duration; write it like 30s, 10m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def share_of_one(value: Any) -> float:
    """Read ``10%`` or ``0.1``."""
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
        return float(match[1]) / 100
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise InputError(f"{value!r} is not a share; write it like 10% or 0.1")


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise InputError(f"{value!r} is not a number")


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise InputError(f"{value!r} is not a whole number")


def _text(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise InputError(f"{value!r} is not a text")


def _one_of(names: tuple[str, ...]) -> Reader:
    def read(value: Any) -> str:
        if value not in names:
            raise InputError(f"{value!r} is none of {', '.join(names)}")
        return str(value)

    return read


def _list_of(kind: Callable[..., Any], table: Mapping[str, tuple[str, Reader]] | None = None) -> Reader:
    """Give a reader of lists of ``kind``, each from its fields or from one value; an error names the item."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise InputError(f"{value!r} is not a list")
        items = []
        for index, item in enumerate(value):
            try:
                items.append(kind(item) if table is None else _record(kind, table, item))
            except InputError as error:
                raise InputError(f"[{index}]{_joint(str(error))}{error}") from error
        return tuple(items)

    return read


def _joint(message: str) -> str:
    # Errors of a record start with their field's name, others with the value: "steps[0].weight: …" or "alarms[0]: …".
    return "." if re.match(r"[a-z_]+: ", message) else ": "


def _record(kind: Callable[..., Made], table: Mapping[str, tuple[str, Reader]], value: Any) -> Made:
    return _built(lambda: kind(**_read(_mapping(value, "the item"), table, "", "")), "", "")


def _objective(value: Any) -> ObjectiveSpec:
    values = _read(_mapping(value, "the objective"), _OBJECTIVE, "", "")
    if "metric" not in values:
        raise InputError("metric: missing; name what the objective is about")
    limit = values.pop("max", None)
    metric = str(values.pop("metric"))
    return objective(metric, max=None if limit is None else _limit(metric, limit), **values)


def _limit(metric: str, value: Any) -> float:
    try:
        if metric in RATES:
            return share_of_one(value)
        if metric.rpartition("_")[2].startswith("p"):
            return _number(value) if not isinstance(value, str) else duration_s(value) * 1000
        if isinstance(value, str) and (match := _MONEY.fullmatch(value)):
            return float(match[1])
        return _number(value)
    except InputError as error:
        raise InputError(f"max: {error}") from error


def _smoke(value: Any) -> Smoke | None:
    if value is False:
        return None
    return Smoke() if value is True else _record(Smoke, _SMOKE, value)


_STEP: Final[Mapping[str, tuple[str, Reader]]] = {
    "weight": ("weight", share_of_one),
    "at_least": ("at_least_s", duration_s),
    "at_most": ("at_most_s", duration_s),
    "requests_per_arm": ("requests_per_arm", _whole),
}
_OBJECTIVE: Final[Mapping[str, tuple[str, Reader]]] = {
    "metric": ("metric", _text),
    "max": ("max", lambda value: value),
    "tolerance": ("tolerance", share_of_one),
    "margin": ("margin", share_of_one),
    "negligible": ("negligible", share_of_one),
    "share": ("share", _number),
    "compare": ("compare", _one_of(get_args(Compare))),
}
_GATE: Final[Mapping[str, tuple[str, Reader]]] = {
    "name": ("name", _text),
    "command": ("command", _text),
    "url": ("url", _text),
    "timeout": ("timeout_s", duration_s),
}
_SMOKE: Final[Mapping[str, tuple[str, Reader]]] = {
    "requests": ("requests", _whole),
    "payload": ("payload", _text),
    "timeout": ("timeout_s", duration_s),
}
_NOTIFY: Final[Mapping[str, tuple[str, Reader]]] = {"sns": ("sns", _text), "webhook": ("webhook", _text)}
_PLAN: Final[Mapping[str, tuple[str, Reader]]] = {
    "name": ("name", _text),
    "steps": ("steps", _list_of(Step, _STEP)),
    "objectives": ("objectives", _list_of(_objective)),
    "alpha": ("alpha", share_of_one),
    "beta": ("beta", share_of_one),
    "look_every": ("look_every_s", duration_s),
    "inconclusive": ("inconclusive", _one_of(get_args(Inconclusive))),
    "on_crash": ("on_crash", _one_of(get_args(OnCrash))),
    "advance": ("advance", _one_of(get_args(Advance))),
    "history": ("history_s", duration_s),
    "source": ("source", _one_of(get_args(Source))),
    "alarms": ("alarms", _list_of(_text)),
    "smoke": ("smoke", _smoke),
    "gates": ("gates", _list_of(Gate, _GATE)),
    "notify": ("notify", _list_of(Notify, _NOTIFY)),
    "drain": ("drain_s", duration_s),
    "lease": ("lease_s", duration_s),
    "patience": ("patience_s", duration_s),
}


def _read(values: Mapping[str, Any], table: Mapping[str, tuple[str, Reader]], origin: str, path: str) -> dict[str, Any]:
    start = f"{origin}: " if origin else ""
    taken: dict[str, Any] = {}
    for key, value in values.items():
        if key not in table:
            raise InputError(f"{start}{path}{key}: unknown field; known are {', '.join(table)}")
        name, reader = table[key]
        try:
            taken[name] = reader(value)
        except InputError as error:
            inner = str(error)
            joint = "" if inner.startswith("[") else ("." if _joint(inner) == "." else ": ")
            raise InputError(f"{start}{path}{key}{joint}{inner}") from error
    return taken


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{what} is {value!r}, not a mapping of fields")
    return dict(value)


def _built(make: Callable[[], Made], origin: str, path: str) -> Made:
    start = f"{origin}: " if origin else ""
    try:
        return make()
    except InputError as error:
        raise InputError(f"{start}{path}{error}") from error
    except TypeError as error:
        missing = re.findall(r"'(\w+?)(?:_s)?'", str(error).partition("missing")[2])
        raise InputError(f"{start}{path}{missing[0] if missing else error}: missing") from error
