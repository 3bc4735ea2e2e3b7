"""Importers: one file a format, each turning a foreign recording into a trace.

Each module has ``read(path, options) -> Trace`` and raises :class:`~simulator.errors.TraceError` with file, row, column
and value where the recording is not what it should be.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from simulator.errors import ParameterError
from simulator.importers.base import ImportOptions
from simulator.trace import Trace, TraceMetadata, write_trace


@dataclass(frozen=True)
class Format:
    """A format that can be imported."""

    module: str
    about: str
    """One line for ``--help``."""
    options: frozenset[str] = frozenset()
    """Names of the :class:`ImportOptions` that only some formats take, and this one does."""


FORMATS: Final[Mapping[str, Format]] = {
    "report-log": Format(
        "report_log",
        "text log of a Lambda function: lines as `aws logs tail` prints them, or an export to S3",
        frozenset({"spacing_s"}),
    ),
    "insights-csv": Format("insights_csv", "CSV export of CloudWatch Logs Insights over REPORT lines"),
    "json-log": Format(
        "json_log",
        "JSON log events: `aws logs filter-log-events`, a subscription's payload, or one event a line",
        frozenset({"spacing_s"}),
    ),
    "pacslab": Format("pacslab", "runs of the pacslab serverless performance modeling data set"),
    "llmperf": Format("llmperf", "individual responses of ray-project/llmperf, JSON or CSV", frozenset({"clients"})),
    "llmeter": Format("llmeter", "responses of awslabs/llmeter, JSON lines or CSV", frozenset({"clients"})),
    "azure-llm": Format("azure_llm", "Azure LLM inference traces: arrivals and token counts"),
    "lambda-perf": Format("lambda_perf", "INIT durations of maxday/lambda-perf"),
    "xray": Format("xray", "X-Ray cold starts: function, timestamp, total, setup, initialization, execution"),
    "mooncake": Format("mooncake", "Mooncake traces, JSON lines: timestamp, input_length, output_length"),
    "csv": Format(
        "csv_table", "any CSV with a header; say what means what with --map", frozenset({"mapping", "spacing_s"})
    ),
}
"""Name of the format → how it is imported."""

_SPECIAL: Final = {"mapping": "--map", "spacing_s": "--spacing", "clients": "--clients"}


def import_trace(path: str | Path, format_name: str, options: ImportOptions | None = None) -> Trace:
    """Turn the recording at ``path`` into a trace.

    Parameters
    ----------
    path
        The recording.
    format_name
        A key of :data:`FORMATS`.
    options
        What the recording itself does not say.

    Raises
    ------
    ParameterError
        An unknown format, or an option that it does not take.
    TraceError
        The recording is not what it should be.
    """
    chosen = _checked(format_name, options or ImportOptions())
    module = importlib.import_module(f"simulator.importers.{FORMATS[format_name].module}")
    trace: Trace = module.read(Path(path), chosen)
    return replace(trace, metadata=_told(trace.metadata, chosen, format_name))


def import_to_file(path: str | Path, format_name: str, out: str | Path, options: ImportOptions | None = None) -> Path:
    """Turn the recording at ``path`` into the trace file ``out``: the same as :func:`import_trace`, then written.

    A text log of any size is imported in bounded memory (see :mod:`~simulator.importers.log_spill`); other formats, and
    logs without times, are held in memory as a whole. Raises as :func:`import_trace` does.
    """
    chosen = _checked(format_name, options or ImportOptions())
    target = Path(out)
    if format_name == "report-log" and chosen.spacing_s is None:
        from simulator.importers import log_spill

        if log_spill.needs_spill(Path(path)):
            said = _told(TraceMetadata(), chosen, format_name)
            log_spill.import_to_file(Path(path), chosen, target, said, log_spill.PART_BYTES)
            return target
    return write_trace(import_trace(path, format_name, chosen), target)


def _checked(format_name: str, chosen: ImportOptions) -> ImportOptions:
    """Raise a :class:`ParameterError` for an unknown format, or an option that it does not take."""
    if format_name not in FORMATS:
        raise ParameterError(f"format {format_name!r} is not one of {', '.join(FORMATS)}")
    form = FORMATS[format_name]
    for name, flag in _SPECIAL.items():
        if getattr(chosen, name) and name not in form.options:
            takers = ", ".join(each for each, other in FORMATS.items() if name in other.options)
            raise ParameterError(f"{flag} does not apply to format {format_name!r}; it is for {takers}")
    return chosen


def _told(metadata: TraceMetadata, options: ImportOptions, format_name: str) -> TraceMetadata:
    """Lay what the caller says over what the recording says."""
    return replace(
        metadata,
        source=format_name,
        function=options.function or metadata.function,
        region=options.region or metadata.region,
        models={**metadata.models, **options.models},
    )
