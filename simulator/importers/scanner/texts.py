"""The texts that a log's lines are made of, and which bytes may stand where.

Compiled code is told a text, or a class of bytes, by its number: an array as an argument costs more than comparing it.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

# A record's keys in the order in which the function writes them, what their values are (t: text, n: number, b: truth),
# and whether they are kept. The first one cannot be null.
RECORD_KEYS: Final = (
    ("request_id", "t", True),
    ("function", "t", False),
    ("variant", "t", True),
    ("model", "t", True),
    ("version", "t", True),
    ("environment_id", "t", True),
    ("cold", "b", True),
    ("initialization_type", "t", True),
    ("status", "t", True),
    ("http_status", "n", False),
    ("total_ms", "n", False),
    ("inference_ms", "n", True),
    ("model_attempts", "n", False),
    ("input_tokens", "n", True),
    ("output_tokens", "n", True),
    ("cache_read_tokens", "n", True),
    ("cache_write_tokens", "n", True),
)

_texts: list[str] = []
_classes: list[NDArray[np.bool_]] = []


def _text(text: str) -> int:
    _texts.append(text)
    return len(_texts) - 1


def _first(*texts: str) -> int:
    """Give the number of the first of several texts; the others follow."""
    numbers = [_text(text) for text in texts]
    return numbers[0]


def _class(pattern: str) -> int:
    _classes.append(np.array([re.fullmatch(pattern, chr(code)) is not None for code in range(256)]))
    return len(_classes) - 1


KEYS: Final = _first(*(f'"{name}":' for name, _, _ in RECORD_KEYS))
KEY_KINDS: Final = np.frombuffer("".join(kind for _, kind, _ in RECORD_KEYS).encode(), dtype=np.uint8)
KEY_KEPT: Final = np.array([kept for _, _, kept in RECORD_KEYS])
PIECES: Final = _first("\tDuration: ", " ms\tBilled Duration: ", " ms\tMemory Size: ", " MB\tMax Memory Used: ")
"""What stands before each number of a text REPORT, and what ends the one before."""
METRICS: Final = _first(
    '{"durationMs":', '"billedDurationMs":', '"memorySizeMB":', '"maxMemoryUsedMB":', '"initDurationMs":'
)

L_REPORT_ID: Final = _text("REPORT RequestId: ")
L_START_ID: Final = _text("START RequestId: ")
L_END_ID: Final = _text("END RequestId: ")
L_VERSION: Final = _text(" Version: ")
L_INIT: Final = _text("Init Duration: ")
L_MS: Final = _text(" ms")
L_MB: Final = _text(" MB")
L_NULL: Final = _text("null")
L_TRUE: Final = _text("true")
L_FALSE: Final = _text("false")
L_TAILCAST: Final = _text('{"tailcast":')
L_INFERENCE: Final = _text('"inference"')
L_TIME: Final = _text('{"time":')
L_TYPE: Final = _text('"type":')
L_INNER: Final = _text('"record":')
L_NAME: Final = _text("platform.")
L_OURS: Final = _text("tailcast")
L_PLATFORM: Final = _text('"platform.')
L_JSON_REPORT: Final = _text('report"')
L_JSON_START: Final = _text('start"')
L_JSON_VERSION: Final = _text('"version":')
L_METRICS_KEY: Final = _text('"metrics":')
L_JSON_STATUS: Final = _text('"status":')
L_TIMESTAMP: Final = _text('{"timestamp":')
L_LEVEL: Final = _text('"level":')
L_REQUEST: Final = _text('"requestId":')
L_MESSAGE: Final = _text('"message":')

DIGIT: Final = _class("[0-9]")
WORD: Final = _class("[A-Za-z0-9_.-]")
ALNUM: Final = _class("[A-Za-z0-9]")
VERSION: Final = _class("[A-Za-z0-9_.$-]")
TEXT: Final = _class(r"[ !#-\[\]-~]")
BEFORE: Final = _class(r"[ -!#-z|~\t]")

BYTES: Final = np.frombuffer("".join(_texts).encode(), dtype=np.uint8)
"""All texts, one after the other; text ``n`` from ``EDGES[n]`` to ``EDGES[n + 1]``."""
EDGES: Final = np.cumsum([0, *(len(text) for text in _texts)])
ALLOWED: Final = np.concatenate(_classes)
"""Whether a byte belongs to class ``n``, at ``256 * n + byte``."""
