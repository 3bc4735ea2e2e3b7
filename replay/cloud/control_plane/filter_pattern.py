"""CloudWatch Logs filter patterns: terms, and the common part of the JSON syntax.

Supported (user guide, "Filter pattern syntax"): terms that must all occur (``ERROR timeout``), exact phrases
(``"task timed out"``), any of several (``?ERROR ?WARN``), excluded ones (``-DEBUG``), and JSON selectors joined by
``&&`` or ``||`` (``{ $.level = "ERROR" && $.latency_ms > 100 }``). Regular expressions and the space-delimited syntax
(``[ip, user, ...]``) are refused.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable
from typing import Any, Final

from moto.logs.exceptions import InvalidParameterException

Matcher = Callable[[str], bool]

_TERM: Final = re.compile(r'\s*(?P<sign>[?-]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<word>[^\s"]+))')
_CONDITION: Final = re.compile(
    r"""\s*(?P<open>\()?\s*\$(?P<path>(?:\.[\w@-]+|\[\d+\])+)\s*
        (?:(?P<op>=|!=|<=|>=|<|>)\s*(?:"(?P<text>[^"]*)"|(?P<bare>[^\s()&|]+))
          |(?P<is>IS\s+(?:TRUE|FALSE|NULL)|EXISTS|NOT\s+EXISTS))\s*(?P<close>\))?\s*""",
    re.VERBOSE,
)
_MISSING: Final = object()


def compile_pattern(pattern: str | None) -> Matcher:
    """Give a function that says whether a message matches.

    Raises
    ------
    InvalidParameterException
        The pattern is not one that this local cloud understands; better than matching everything or nothing.
    """
    text = (pattern or "").strip()
    if not text:
        return lambda _: True
    if text.startswith("{"):
        return _json_matcher(text)
    if text.startswith(("[", "%")):
        raise _unsupported(text)
    return _term_matcher(text)


def _term_matcher(text: str) -> Matcher:
    required: list[str] = []
    optional: list[str] = []
    excluded: list[str] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise _unsupported(text)
        position = match.end()
        term = match["word"] if match["phrase"] is None else re.sub(r"\\(.)", r"\1", match["phrase"])
        {"": required, "?": optional, "-": excluded}[match["sign"]].append(term)
    if required:
        # "If you combine ? with other terms, the ? terms are ignored" (user guide).
        optional = []

    def matches(message: str) -> bool:
        return (
            all(term in message for term in required)
            and (not optional or any(term in message for term in optional))
            and not any(term in message for term in excluded)
        )

    return matches


def _json_matcher(text: str) -> Matcher:
    inner = text[1:-1].strip() if text.endswith("}") else ""
    conditions: list[Callable[[Any], bool]] = []
    joints: list[str] = []
    position = 0
    while True:
        match = _CONDITION.match(inner, position)
        # A condition may stand in brackets of its own; groups of several are not supported.
        if match is None or bool(match["open"]) != bool(match["close"]):
            raise _unsupported(text)
        conditions.append(_condition(match))
        position = match.end()
        if position == len(inner):
            break
        joint = inner[position : position + 2]
        if joint not in ("&&", "||"):
            raise _unsupported(text)
        joints.append(joint)
        position += 2
    if len(set(joints)) > 1:
        raise _unsupported(text)
    combine = any if joints[:1] == ["||"] else all

    def matches(message: str) -> bool:
        if not message.lstrip().startswith("{"):
            return False
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return combine(condition(document) for condition in conditions)

    return matches


def _condition(match: re.Match[str]) -> Callable[[Any], bool]:
    path = [part[0] or int(part[1]) for part in re.findall(r"\.([\w@-]+)|\[(\d+)\]", match["path"])]
    if match["is"]:
        kind = re.sub(r"\s+", " ", match["is"])
        test: dict[str, Callable[[Any], bool]] = {
            "IS TRUE": lambda value: value is True,
            "IS FALSE": lambda value: value is False,
            "IS NULL": lambda value: value is None,
            "EXISTS": lambda value: value is not _MISSING,
            "NOT EXISTS": lambda value: value is _MISSING,
        }
        check = test[kind]
        return lambda document: check(_lookup(document, path))
    operator, wanted = match["op"], match["text"] if match["text"] is not None else match["bare"]
    number = _number(wanted) if match["text"] is None else None
    if operator not in ("=", "!=") and number is None:
        raise _unsupported(match[0].strip())
    return lambda document: _compare(_lookup(document, path), operator, wanted, number)


def _compare(value: Any, operator: str, wanted: str, number: float | None) -> bool:
    if value is _MISSING:
        return False
    if number is not None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        results = {
            "=": value == number,
            "!=": value != number,
            "<": value < number,
            ">": value > number,
            "<=": value <= number,
            ">=": value >= number,
        }
        return results[operator]
    text = value if isinstance(value, str) else json.dumps(value)
    # Only * is a wildcard here, so fnmatch's others are taken literally.
    same = fnmatch.fnmatchcase(text, wanted.replace("[", "[[]").replace("?", "[?]"))
    return same if operator == "=" else not same


def _lookup(document: Any, path: list[str | int]) -> Any:
    for part in path:
        if isinstance(part, int):
            if not isinstance(document, list) or part >= len(document):
                return _MISSING
        elif not isinstance(document, dict) or part not in document:
            return _MISSING
        document = document[part]
    return document


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unsupported(text: str) -> InvalidParameterException:
    return InvalidParameterException(f"Invalid filter pattern, or one the local cloud does not know: {text}")
