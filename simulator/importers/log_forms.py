r"""The lines of a Lambda log in exactly the form in which Lambda and tailcast's function write them.

One expression a form matches a whole line and captures all its fields at once: one pass over the line instead of one a
field, which is what a log of gigabytes needs. A line that differs in anything (another time zone, a field more, another
order, an escaped quote) matches none of them and is read by the general expressions of
:mod:`~simulator.importers.report_lines` and :mod:`~simulator.importers.function_records`. So these forms are narrow on
purpose: what they match, the general expressions would read as the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

# Two rules keep an expression within what the regex engine captures in one pass (three times as fast as without): the
# next character always decides between branches ({"t is outside of the optional part), and classes are of ASCII only.
_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_WORD: Final = r"[A-Za-z0-9_.-]+"
_TEXT: Final = r"[ !#-\[\]-~]*"
_CLOCK: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
_STREAM: Final = r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[A-Za-z0-9_.-]*\[[A-Za-z0-9$]+\][0-9a-zA-Z]+"
_BEFORE: Final = rf"(?P<clock>{_CLOCK})(?:Z|\+00:00) (?:(?P<stream>{_STREAM}) )?"


@dataclass(frozen=True)
class Form:
    """A form of a line: a literal that every such line holds, and the expression that reads all of it."""

    literal: str
    """Found first, since it costs a tenth of the expression."""
    pattern: str
    """Its groups are columns, all text."""

    def read(self, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Split the lines that hold the literal into those read (``row`` and the groups) and the others, as they were.

        Parameters
        ----------
        lines
            With the columns ``row`` and ``line``.
        """
        groups = lines["line"].str.extract_groups(self.pattern)
        fields = groups.struct.unnest()
        # A form's first group of an obligatory field tells whether the line matched.
        matched = fields["request_id"].is_not_null()
        read = fields.with_columns(lines["row"]).filter(matched)
        return read, lines.filter(~matched)


def _json_event(kind: str, record: str) -> str:
    head = rf'\{{"time": ?"(?P<event_clock>{_CLOCK})Z", ?"type": ?"platform\.{kind}", ?"record": ?'
    return rf"^(?:{_BEFORE})?{head}\{{{record}\}}\}}$"


def _json_number(group: str, name: str) -> str:
    return rf'"{name}": ?(?P<{group}>{_NUMBER})'


def _record_field(name: str, value: str) -> str:
    return rf'"{name}": ?(?:null|{value})'


def _record_text(name: str) -> str:
    return _record_field(name, rf'"(?P<{name}>{_TEXT})"')


def _record_number(name: str) -> str:
    return _record_field(name, rf"(?P<{name}>{_NUMBER})")


TEXT_REPORT: Final = Form(
    "REPORT RequestId: ",
    rf"^(?:{_BEFORE})?REPORT RequestId: (?P<request_id>{_WORD})\tDuration: (?P<duration_ms>{_NUMBER}) ms\t"
    rf"Billed Duration: (?P<billed_ms>{_NUMBER}) ms\tMemory Size: (?P<memory_mb>{_NUMBER}) MB\t"
    rf"Max Memory Used: (?P<max_memory_mb>{_NUMBER}) MB\t?(?:Init Duration: (?P<init_ms>{_NUMBER}) ms\t?)?$",
)
JSON_REPORT: Final = Form(
    "platform.report",
    _json_event(
        "report",
        rf'"requestId": ?"(?P<request_id>{_WORD})", ?"metrics": ?\{{'
        + _json_number("duration_ms", "durationMs")
        + ", ?"
        + _json_number("billed_ms", "billedDurationMs")
        + ", ?"
        + _json_number("memory_mb", "memorySizeMB")
        + ", ?"
        + _json_number("max_memory_mb", "maxMemoryUsedMB")
        + "(?:, ?"
        + _json_number("init_ms", "initDurationMs")
        + rf')?\}}, ?"status": ?"(?P<status>{_TEXT})"',
    ),
)
TEXT_START: Final = Form(
    "START RequestId: ",
    rf"^(?:{_BEFORE})?START RequestId: (?P<request_id>{_WORD})(?: Version: (?P<start_version>[A-Za-z0-9_.$-]+))?$",
)
JSON_START: Final = Form(
    "platform.start",
    _json_event(
        "start", rf'"requestId": ?"(?P<request_id>{_WORD})", ?"version": ?"(?P<start_version>[A-Za-z0-9_.$-]+)"'
    ),
)
RECORD: Final = Form(
    "tailcast",
    # Before it at most a time and a stream, and the envelope of Lambda's JSON log format.
    r"^[ -!#-z|~\t]*"
    rf'\{{"t(?:imestamp": ?"{_TEXT}", ?"level": ?"{_TEXT}", ?"(?:requestId": ?"{_TEXT}", ?")?message": ?\{{"t)?'
    r'ailcast": ?"inference", ?'
    + ", ?".join(
        (
            rf'"request_id": ?"(?P<request_id>{_TEXT})"',
            _record_field("function", rf'"{_TEXT}"'),
            *(_record_text(name) for name in ("variant", "model", "version", "environment_id")),
            _record_field("cold", "(?P<cold>true|false)"),
            _record_text("initialization_type"),
            _record_text("status"),
            _record_field("http_status", _NUMBER),
            _record_field("total_ms", _NUMBER),
            _record_number("inference_ms"),
            _record_field("model_attempts", _NUMBER),
            *(
                _record_number(name)
                for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
            ),
        )
    )
    + "[,}]",
)
