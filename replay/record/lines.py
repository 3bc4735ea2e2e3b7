"""What one log line says: START, REPORT, or the function's own record of a request. Anything else says nothing.

The function's record is one JSON object with the key ``tailcast``. It is found bare, inside the envelope that Lambda's
JSON log format wraps around what a function logs (``{"timestamp": …, "level": …, "message": …}``), and with the
``_aws`` key of an embedded metric.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulator.importers.function_records import read_record
from simulator.importers.report_lines import Report, parse_report
from simulator.trace import STATUSES

_START: Final = re.compile(r"^START RequestId: (\S+) Version: (\S+)")
_START_EVENT: Final = re.compile(r'"type"\s*:\s*"platform\.start"')
_RECORD_KEY: Final = '"tailcast"'
_QUOTED_RECORD_KEY: Final = r"\"tailcast\""
"""The record as a text inside the envelope's ``message``."""
_VERSION_IN_STREAM: Final = re.compile(r"\[([^\]]+)\]")


@dataclass(frozen=True)
class Start:
    """An invocation began in an environment that was ready."""

    request_id: str
    version: str | None


@dataclass(frozen=True)
class FunctionRecord:
    """What the function says about one request. What it does not say is None."""

    request_id: str
    variant: str | None
    model: str | None
    version: str | None
    cold: bool | None
    """First request of its environment."""
    provisioned: bool | None
    inference_ms: float | None
    ttft_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    status: str | None


def read_line(message: str) -> Start | Report | FunctionRecord | None:
    """Say what ``message`` means; None where it means nothing to a trace."""
    if message.startswith("START "):
        match = _START.match(message)
        return Start(match[1], match[2]) if match else None
    if message.startswith("REPORT "):
        return parse_report(message)
    if not message.startswith("{"):
        return None
    if _RECORD_KEY in message or _QUOTED_RECORD_KEY in message:
        return _function_record(message)
    if _START_EVENT.search(message):
        return _start_event(message)
    return parse_report(message)


def version_in_stream(stream: str) -> str | None:
    """Give the version that a log stream's name carries: ``2026/11/21/[7]0123…`` → ``7``."""
    match = _VERSION_IN_STREAM.search(stream)
    return match[1] if match else None


def _start_event(message: str) -> Start | None:
    document = _object(message)
    record = document.get("record") if document else None
    if not isinstance(record, Mapping):
        return None
    request_id = _text(record.get("requestId"))
    return Start(request_id, _text(record.get("version"))) if request_id else None


def _function_record(message: str) -> FunctionRecord | None:
    found = read_record(message)
    if found is None or found["request_id"] is None:
        return None
    kind, status = found["initialization_type"], found["status"]
    return FunctionRecord(
        request_id=found["request_id"],
        variant=found["variant"],
        model=found["model"],
        version=found["version"],
        cold=found["cold"],
        provisioned=None if kind is None else kind == "provisioned-concurrency",
        inference_ms=found["inference_ms"],
        ttft_ms=found["ttft_ms"],
        input_tokens=found["input_tokens"],
        output_tokens=found["output_tokens"],
        cache_read_tokens=found["cache_read_tokens"],
        cache_write_tokens=found["cache_write_tokens"],
        status=status if status in STATUSES else None,
    )


def _object(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
