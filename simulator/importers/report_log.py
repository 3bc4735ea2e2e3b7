"""A Lambda function's log as text, one event a line.

Lines as ``aws logs tail`` prints them (time, stream, message), as an export to S3 holds them (time, message; also
gzipped), or bare messages. REPORT lines in either log format are read, with the START lines and the function's own
records around them; everything else is passed over. The file is read in blocks, by expressions, not line by line.
"""

from __future__ import annotations

from pathlib import Path

from simulator.importers.base import ImportOptions, check_file
from simulator.importers.lambda_events import no_report, trace_of_tables
from simulator.importers.log_blocks import read_blocks
from simulator.importers.log_tables import together
from simulator.trace import Trace


def read(path: Path, options: ImportOptions) -> Trace:
    """Read a log. See :func:`simulator.importers.import_trace`."""
    check_file(path)
    blocks = list(read_blocks(path))
    if not blocks:
        raise no_report(str(path))
    return trace_of_tables(together(blocks), options, str(path))
