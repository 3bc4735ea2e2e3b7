"""How commands take a trace: a file, or an address in object storage such as ``s3://bucket/key``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from simulator.candidate import ready_candidate
from simulator.cli.world import the_world
from simulator.trace import SCHEMA, Trace, read_trace
from simulator.trace_scan import is_remote, scan_trace


class TraceSource(click.Path):
    """A parameter that is a file's path, or an address that stays as it is (a path would lose a slash of it)."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give a ``str`` for an address and a ``Path`` for a file."""
        return value if is_remote(value) else super().convert(value, param, ctx)


def load(source: str | Path, columns: Sequence[str] | None = None) -> Trace:
    """Read the trace at ``source``, of object storage or of a file; of ``columns`` only, where they are given."""
    if not is_remote(source) and columns is None:
        return read_trace(source)
    return scan_trace(source, storage_options=_storage_options() if is_remote(source) else None).collect(columns)


def load_pair(options: Mapping[str, Any]) -> tuple[Trace, Trace]:
    """Read ``--baseline`` and ``--candidate``; a benchmark of a model alone is put into the baseline's surroundings."""
    # Request ids are most of a trace's bytes, and no model is fitted to them: storage is not asked for them.
    fitted = [name for name in SCHEMA if name != "request_id"]
    baseline, candidate = (
        load(options[name], fitted if is_remote(options[name]) else None) for name in ("baseline", "candidate")
    )
    ready = ready_candidate(candidate, baseline)
    if ready is not candidate:
        click.echo(
            f"{options['candidate']}: a benchmark of a model alone; handler overhead and way to the caller are the "
            "baseline's",
            err=True,
        )
    return baseline, ready


def _storage_options() -> Mapping[str, str] | None:
    world = the_world()
    return None if world is None else world.storage_options()
