"""Filter patterns: what matches, and what is refused."""

from __future__ import annotations

import pytest
from moto.logs.exceptions import InvalidParameterException

from replay.cloud.control_plane.filter_pattern import compile_pattern

RECORD = '{"level": "ERROR", "ms": 120.5, "ok": false, "user": {"id": 7}, "tags": ["a", "b"], "none": null}'


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        (None, "anything", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("a b", "b then a", True),
        ("a b", "only a", False),
        ('"timed out"', "Task timed out after", True),
        ('"timed out"', "timed it out", False),
        (r'"say \"hi\""', 'say "hi" now', True),
        ("?x ?y", "has y", True),
        ("?x ?y", "has z", False),
        ("must ?x", "must be", True),
        ("ERROR -DEBUG", "ERROR DEBUG", False),
        ("ERROR -DEBUG", "ERROR", True),
        ('{ $.level = "ERROR" }', RECORD, True),
        ('{ $.level = "ERR*" }', RECORD, True),
        ('{ $.level = "[E]RROR" }', RECORD, False),
        ('{ $.level != "ERROR" }', RECORD, False),
        ("{ $.ms > 120 }", RECORD, True),
        ("{ $.ms >= 120.5 && $.ms <= 120.5 }", RECORD, True),
        ("{ $.ms < 100 || $.user.id = 7 }", RECORD, True),
        ("{ ($.ms < 100) || ($.user.id = 8) }", RECORD, False),
        ('{ $.tags[1] = "b" }', RECORD, True),
        ('{ $.tags[2] = "b" }', RECORD, False),
        ("{ $.ok IS FALSE }", RECORD, True),
        ("{ $.none IS NULL }", RECORD, True),
        ("{ $.absent NOT EXISTS }", RECORD, True),
        ("{ $.absent EXISTS }", RECORD, False),
        ("{ $.absent != 3 }", RECORD, False),
        ('{ $.level = "ERROR" }', "not JSON", False),
        ('{ $.level = "ERROR" }', "{broken", False),
    ],
)
def test_patterns(pattern: str | None, message: str, matches: bool) -> None:
    assert compile_pattern(pattern)(message) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        "[ip, user]",
        "%regex%",
        "{ }",
        "{ $.a }",
        "{ $.a = 1",
        '{ $.a > "x" }',
        "{ $.a = 1 && $.b = 2 || $.c = 3 }",
        "{ ($.a = 1 && $.b = 2) }",
    ],
)
def test_what_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameterException):
        compile_pattern(pattern)
