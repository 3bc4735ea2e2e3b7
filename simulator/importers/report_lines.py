r"""Lambda's REPORT of an invocation, as a text line or as a JSON event: one by one, or a column of them at once.

Text, one line with tabs between the fields (AWS Lambda developer guide, "Using CloudWatch Logs with Lambda")::

    REPORT RequestId: 8f50… Duration: 619.03 ms Billed Duration: 1115 ms Memory Size: 1023 MB Max Memory Used: 84 MB
    Init Duration: 495.16 ms Restore Duration: … ms Billed Restore Duration: … ms Status: timeout Error Type: …
    XRAY TraceId: …

JSON, where the function's log format is JSON (telemetry API, ``platform.report``)::

    {"time": "…Z", "type": "platform.report", "record": {"requestId": "8f50…", "status": "success",
     "metrics": {"durationMs": 619.03, "billedDurationMs": 1115, "initDurationMs": 495.16, "memorySizeMB": 1023,
                 "maxMemoryUsedMB": 84}}}

One table of regular expressions (:data:`_FIELDS`) serves both ways of reading, so that they cannot disagree. The
expressions of the JSON form match the document's text without parsing it: ten times as fast, and safe, since AWS writes
these events and none of their texts comes from a user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import polars as pl

_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"


@dataclass(frozen=True)
class _Field:
    text: str
    json: str
    kind: type[pl.DataType]


def _milliseconds(text: str, json: str) -> _Field:
    return _Field(rf"{text}: {_NUMBER} ms", rf'"{json}"[ \t]*:[ \t]*{_NUMBER}', pl.Float64)


def _megabytes(text: str, json: str) -> _Field:
    return _Field(rf"{text}: {_NUMBER} MB", rf'"{json}"[ \t]*:[ \t]*{_NUMBER}', pl.Float64)


def _word(text: str, json: str) -> _Field:
    return _Field(rf"{text}: ([A-Za-z0-9_.-]+)", rf'"{json}"[ \t]*:[ \t]*"([^"]*)"', pl.String)


# Classes are spelt out, since Python and Polars (Rust) disagree on what of Unicode \d, \w and \s hold. "Duration" ends
# four of the names: what stands before it must be the request id, "Billed", "Init" or "Restore".
_FIELDS: Final = {
    "request_id": _word(r"REPORT RequestId", "requestId"),
    "duration_ms": _milliseconds(r"REPORT RequestId: [^ \t]+[ \t]+Duration", "durationMs"),
    "billed_ms": _milliseconds(r"Billed Duration", "billedDurationMs"),
    "memory_mb": _megabytes(r"Memory Size", "memorySizeMB"),
    "max_memory_mb": _megabytes(r"Max Memory Used", "maxMemoryUsedMB"),
    "init_ms": _milliseconds(r"Init Duration", "initDurationMs"),
    "restore_ms": _milliseconds(r"[^d][ \t]Restore Duration", "restoreDurationMs"),
    "billed_restore_ms": _milliseconds(r"Billed Restore Duration", "billedRestoreDurationMs"),
    "status": _word(r"Status", "status"),
    "error_type": _word(r"Error Type", "errorType"),
}
_NAMES: Final = tuple(_FIELDS)
_IS_JSON_REPORT: Final = r'"type"[ \t]*:[ \t]*"platform\.report"'
_IS_TEXT_REPORT: Final = r"(?:^|[^A-Za-z0-9_])REPORT RequestId: "


@dataclass(frozen=True)
class Report:
    """What Lambda reports of one invocation. What a line does not say is None."""

    request_id: str
    duration_ms: float
    billed_ms: float | None
    memory_mb: int | None
    max_memory_mb: int | None
    init_ms: float | None
    """INIT, where this invocation started the environment (and not SnapStart or provisioned concurrency)."""
    restore_ms: float | None
    """SnapStart's restore."""
    billed_restore_ms: float | None
    status: str
    """``ok``, ``timeout`` or ``error``, as in a trace."""
    error_type: str | None

    @property
    def cold(self) -> bool:
        """The caller waited for an environment to start: an INIT or a restore is reported."""
        return self.init_ms is not None or self.restore_ms is not None


def parse_report(line: str) -> Report | None:
    r"""Read one REPORT line or ``platform.report`` event; None where ``line`` is something else.

    Anything may stand before the text ``REPORT`` (the time and the stream that log tools print). A report cut off
    before its duration counts as something else.

    Examples
    --------
    >>> parse_report("REPORT RequestId: 8f50\tDuration: 3.14 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB")
    ... # doctest: +ELLIPSIS
    Report(request_id='8f50', duration_ms=3.14, billed_ms=4.0, memory_mb=128, ...
    >>> parse_report("START RequestId: 8f50 Version: 3") is None
    True
    """
    if re.search(_IS_TEXT_REPORT, line):
        values = {name: _found(field.text, line) for name, field in _FIELDS.items()}
    elif re.search(_IS_JSON_REPORT, line):
        values = {name: _found(field.json, line) for name, field in _FIELDS.items()}
    else:
        return None
    request_id, duration_ms = values["request_id"], values["duration_ms"]
    if request_id is None or duration_ms is None:
        return None
    return Report(
        request_id=request_id,
        duration_ms=float(duration_ms),
        billed_ms=_float(values["billed_ms"]),
        memory_mb=_whole(values["memory_mb"]),
        max_memory_mb=_whole(values["max_memory_mb"]),
        init_ms=_float(values["init_ms"]),
        restore_ms=_float(values["restore_ms"]),
        billed_restore_ms=_float(values["billed_restore_ms"]),
        status=_STATUS.get(values["status"] or "success", "error"),
        error_type=values["error_type"],
    )


# Text reports name a status only where it is not success; JSON ones always do (telemetry API: success, error,
# failure, timeout).
_STATUS: Final = {"success": "ok", "timeout": "timeout"}


REPORT_SCHEMA: Final[dict[str, pl.DataType]] = {
    name: pl.Int64() if name in ("memory_mb", "max_memory_mb") else field.kind() for name, field in _FIELDS.items()
}
"""Columns that :func:`report_columns` gives."""


def status_of(status: pl.Expr) -> pl.Expr:
    """Turn Lambda's word for how an invocation ended (null: none said) into a trace's."""
    return status.fill_null("success").replace_strict(_STATUS, default="error", return_dtype=pl.String)


def is_report(line: pl.Expr) -> pl.Expr:
    """Give true for the lines of a column that :func:`parse_report` would read."""
    return line.str.contains(_IS_TEXT_REPORT) | line.str.contains(_IS_JSON_REPORT)


def report_columns(line: pl.Expr) -> list[pl.Expr]:
    """Give the expressions that read a column of reports: one of each field of :class:`Report`, under its name.

    For lines that :func:`is_report` let through; a line that lacks request id or duration has null there and should be
    dropped. Megabytes come as whole numbers, times as floats.
    """
    is_text = line.str.contains(_IS_TEXT_REPORT)
    columns = []
    for name, field in _FIELDS.items():
        found = pl.when(is_text).then(line.str.extract(field.text, 1)).otherwise(line.str.extract(field.json, 1))
        if name == "status":
            found = status_of(found)
        elif name in ("memory_mb", "max_memory_mb"):
            found = found.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
        elif field.kind is pl.Float64:
            found = found.cast(pl.Float64, strict=False)
        columns.append(found.alias(name))
    return columns


def _found(pattern: str, line: str) -> str | None:
    match = re.search(pattern, line)
    return match.group(1) if match else None


def _float(text: str | None) -> float | None:
    return None if text is None else float(text)


def _whole(text: str | None) -> int | None:
    return None if text is None else int(float(text))
