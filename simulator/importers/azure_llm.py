"""Azure's LLM inference traces: when requests came, and how many tokens went in and out.

https://github.com/Azure/AzurePublicDataset (AzureLLMInferenceTrace_conv, _code; CC-BY-4.0). They hold no latency.
"""

from __future__ import annotations

from pathlib import Path

from simulator.importers.base import ImportOptions, finish, read_text_table
from simulator.trace import Trace, TraceMetadata


def read(path: Path, options: ImportOptions) -> Trace:
    """Read a trace. See :func:`simulator.importers.import_trace`."""
    table = read_text_table(path)
    table.require(("TIMESTAMP", "ContextTokens", "GeneratedTokens"), "an Azure LLM inference trace")
    columns = {"input_tokens": table.whole("ContextTokens"), "output_tokens": table.whole("GeneratedTokens")}
    notes = {"attribution": "Azure Public Dataset, Microsoft (Splitwise, ISCA 2024), CC-BY-4.0"}
    return finish(
        columns,
        origin=str(path),
        options=options,
        arrival_us=table.time_us("TIMESTAMP"),
        metadata=TraceMetadata(notes=notes),
    )
