"""What one request measured, and a whole run: written as Parquet, CSV and JSON, read back, turned into traces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from replay.bench.arms import Arm, varying_fields
from replay.bench.targets import Target
from replay.errors import InputError
from simulator.files import write_text, written_beside
from simulator.trace import Trace, TraceMetadata, make_trace, write_trace

Phase = Literal["first", "warmup", "measured"]
"""``first``: the first request to a target, set apart because models that idled start slower. ``warmup``: made to open
a connection or to fill the prompt cache. ``measured``: what the figures are of."""

FORMAT: Final = 1
_FUNCTION_COLUMNS: Final = ("version", "cold", "init_ms", "duration_ms", "billed_ms", "memory_mb", "max_memory_mb")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
RUN_FILE: Final = "run.json"
MEASUREMENTS_FILE: Final = "measurements.parquet"


@dataclass(frozen=True)
class Measurement:
    """One request. Times in milliseconds; those without another start count from the intended start of the request."""

    sequence: int
    target: str
    arm: str
    load: str
    phase: Phase
    intended_s: float
    """Intended start, seconds since the run's start."""
    dispatch_delay_ms: float
    """How much later than intended the request left: the benchmark's own lateness, part of every latency below."""
    sdk_ms: float | None = None
    """What boto3 took to build and sign the request, before the intended start: part of no latency."""
    connection: str = ""
    """``reused``, ``cold`` (as the arm wants), or ``opened``: one had to be opened although the arm wants it reused."""
    tcp_ms: float | None = None
    """Opening TCP, one round trip; null where the connection was reused."""
    connect_ms: float | None = None
    """Opening TCP and TLS."""
    headers_ms: float | None = None
    reasoning_ttft_ms: float | None = None
    """First reasoning delta."""
    ttft_ms: float | None = None
    """First delta of the answer's text."""
    total_ms: float | None = None
    """Last event of the stream."""
    inter_token_ms: tuple[float, ...] = ()
    """Gaps between deltas of the answer."""
    server_ms: float | None = None
    """``metrics.latencyMs``, as the service says."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    attempts: int = 1
    status: str = "ok"
    """One of :data:`simulator.trace.STATUSES`."""
    error: str | None = None
    stop_reason: str | None = None
    cost_usd: float | None = None
    region: str | None = None
    """Which region served it, where that is visible."""
    request_id: str | None = None
    version: str | None = None
    """Of a function's alias, from here to ``inference_ms``: the version that ran, and what its log says."""
    cold: bool | None = None
    init_ms: float | None = None
    duration_ms: float | None = None
    billed_ms: float | None = None
    memory_mb: int | None = None
    max_memory_mb: int | None = None
    inference_ms: float | None = None
    planned_ttft_ms: float | None = None
    """What a local Bedrock had planned: the truth that this measurement can be held against."""
    planned_total_ms: float | None = None

    @property
    def cell(self) -> tuple[str, str, str]:
        """Target, arm and load: the unit of which figures are made."""
        return self.target, self.arm, self.load


_TYPES: Final[Mapping[str, pl.DataType]] = {
    "sequence": pl.Int64(),
    "attempts": pl.Int64(),
    "memory_mb": pl.Int64(),
    "max_memory_mb": pl.Int64(),
    "cold": pl.Boolean(),
    **{f"{kind}_tokens": pl.Int64() for kind in ("input", "output", "cache_read", "cache_write")},
    **{
        name: pl.String()
        for name in (
            "target",
            "arm",
            "load",
            "phase",
            "connection",
            "status",
            "error",
            "stop_reason",
            "region",
            "request_id",
            "version",
        )
    },
    "inter_token_ms": pl.List(pl.Float64()),
}
SCHEMA: Final[Mapping[str, pl.DataType]] = {f.name: _TYPES.get(f.name, pl.Float64()) for f in fields(Measurement)}


@dataclass(frozen=True)
class Run:
    """A benchmark run: what was to be measured, what was, and what was not."""

    started_at: str
    """ISO 8601, UTC."""
    targets: tuple[Target, ...]
    arms: Mapping[str, Arm]
    """Label → arm."""
    loads: tuple[str, ...]
    """The lightest first."""
    seed: int
    planned: int
    """Requests that were planned, warm-ups left out."""
    measurements: tuple[Measurement, ...] = field(repr=False)
    ended: str = "complete"
    """``complete``, or why it ended early."""
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else made this run what it is."""

    def frame(self) -> pl.DataFrame:
        """Give the measurements as a table."""
        return pl.DataFrame([asdict(m) for m in self.measurements], schema=dict(SCHEMA))

    def measured(self) -> list[Measurement]:
        """Give what the figures are of."""
        return [m for m in self.measurements if m.phase == "measured"]

    def spent_usd(self) -> float | None:
        """Give what the answered requests cost; None where a price is not known."""
        costs = [m.cost_usd for m in self.measurements if m.status == "ok"]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def label(self, cell: tuple[str, str, str]) -> str:
        """Name a cell by what tells it from the run's other cells."""
        target, arm, load = cell
        parts = (
            target if len(self.targets) > 1 or (len(self.arms) == 1 and len(self.loads) == 1) else "",
            arm if len(self.arms) > 1 else "",
            load if len(self.loads) > 1 else "",
        )
        return " · ".join(part for part in parts if part)

    def target_named(self, label: str) -> Target:
        """Give a target by its label."""
        return next(target for target in self.targets if target.label == label)


def write_run(run: Run, folder: Path) -> None:
    """Write ``run.json``, ``measurements.parquet``, ``measurements.csv`` and a trace per cell into ``folder``."""
    frame = run.frame()
    with written_beside(folder / MEASUREMENTS_FILE) as beside:
        frame.write_parquet(beside)
    gaps = pl.col("inter_token_ms").cast(pl.List(pl.String())).list.join(" ")
    write_text(folder / "measurements.csv", frame.with_columns(gaps).write_csv(float_precision=3))
    document = {
        "format": FORMAT,
        "started_at": run.started_at,
        "targets": [asdict(target) for target in run.targets],
        "arms": {label: asdict(arm) for label, arm in run.arms.items()},
        "loads": list(run.loads),
        "seed": run.seed,
        "planned": run.planned,
        "ended": run.ended,
        "warnings": list(run.warnings),
        "settings": dict(run.settings),
    }
    write_text(folder / RUN_FILE, json.dumps(document, indent=2) + "\n")
    for name, trace in traces(run).items():
        write_trace(trace, folder / "traces" / f"{name}.parquet")


def read_run(folder: Path) -> Run:
    """Read what :func:`write_run` wrote.

    Raises
    ------
    InputError
        The folder holds no run, or one of another format.
    """
    path = folder / RUN_FILE if folder.is_dir() else folder
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        frame = pl.read_parquet(path.parent / MEASUREMENTS_FILE)
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no benchmark run here ({Path(str(error.filename)).name} is missing)") from error
    except (ValueError, OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{folder}: not a readable benchmark run ({str(error).splitlines()[0]})") from error
    if document.get("format") != FORMAT or list(frame.columns) != list(SCHEMA):
        raise InputError(f"{folder}: a run of format {document.get('format')!r}, not {FORMAT}; measure again")
    measurements = tuple(
        Measurement(**{**row, "inter_token_ms": tuple(row["inter_token_ms"] or ())})
        for row in frame.iter_rows(named=True)
    )
    return Run(
        started_at=document["started_at"],
        targets=tuple(Target(**values) for values in document["targets"]),
        arms={label: Arm(**values) for label, values in document["arms"].items()},
        loads=tuple(document["loads"]),
        seed=document["seed"],
        planned=document["planned"],
        measurements=measurements,
        ended=document["ended"],
        warnings=tuple(document["warnings"]),
        settings=document["settings"],
    )


def run_of(text: str, runs: Path = Path("runs")) -> Path:
    """Give the folder that ``text`` names: itself, or the last run of a day (UTC), such as ``2026-01-31``, in ``runs``.

    Raises
    ------
    InputError
        No run was made that day.
    """
    if not _DATE.fullmatch(text) or Path(text).exists():
        return Path(text)
    found: list[tuple[str, Path]] = []
    for path in runs.glob(f"*/{RUN_FILE}"):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            started_at = document["started_at"] if "arms" in document else ""
        except (OSError, ValueError, LookupError, TypeError):
            continue  # of another kind, or broken: not what is looked for
        if started_at.startswith(text):
            found.append((started_at, path.parent))
    if not found:
        raise InputError(f"{text}: no benchmark run of that day in {runs}; name the run's folder")
    return max(found)[1]


def traces(run: Run) -> dict[str, Trace]:
    """Give one trace per cell, named for a file; what was measured only.

    ``client_ms`` counts from the intended start. ``inference_ms`` is the model call alone: of a model, the whole call
    from its dispatch; of a function, what its log says. A model's stream has no ``duration_ms``
    (:func:`simulator.candidate.as_candidate`).
    """
    cells: dict[tuple[str, str, str], list[Measurement]] = {}
    for measurement in run.measured():
        cells.setdefault(measurement.cell, []).append(measurement)
    found: dict[str, Trace] = {}
    for (target, arm, load), rows in cells.items():
        model = run.target_named(target)
        metadata = TraceMetadata(
            source="bench",
            recorded_at=run.started_at,
            region=model.region,
            models={target: model.price_model or model.model_id},
            notes={"arm": arm, "load": load},
        )
        name = unused = file_name(target, arm, load)
        # Labels that differ in other characters alone would lie over each other.
        number = 2
        while unused in found:
            unused, number = f"{name}-{number}", number + 1
        found[unused] = make_trace(_trace_frame(rows, is_model=model.kind == "bedrock"), metadata, origin=target)
    return found


def file_name(*parts: str) -> str:
    """Make a file's name of labels: letters, digits, dots and dashes."""
    text = "_".join(part for part in parts if part and part != "standard")
    return "".join(c if c.isalnum() or c in ".-_" else "-" for c in text)


def arm_labels(arms: Sequence[Arm]) -> dict[str, Arm]:
    """Label the arms by what differs between them."""
    names = varying_fields(arms)
    return {arm.label(names): arm for arm in arms}


def _trace_frame(rows: Sequence[Measurement], *, is_model: bool) -> pl.DataFrame:
    ordered = sorted(rows, key=lambda m: m.intended_s)

    def inference_ms(m: Measurement) -> float | None:
        if m.duration_ms is not None or m.total_ms is None or not is_model:
            return m.inference_ms
        return max(m.total_ms - m.dispatch_delay_ms, 0.0)

    columns: dict[str, list[Any]] = {
        "arrival_s": [m.intended_s for m in ordered],
        "variant": [m.target for m in ordered],
        "client_ms": [m.total_ms for m in ordered],
        "inference_ms": [inference_ms(m) for m in ordered],
        **{name: [getattr(m, name) for m in ordered] for name in _FUNCTION_COLUMNS},
        "ttft_ms": [m.ttft_ms for m in ordered],
        "input_tokens": [m.input_tokens for m in ordered],
        "output_tokens": [m.output_tokens for m in ordered],
        "cache_read_tokens": [m.cache_read_tokens for m in ordered],
        "cache_write_tokens": [m.cache_write_tokens for m in ordered],
        "attempts": [m.attempts for m in ordered],
        "status": [m.status for m in ordered],
        "request_id": [m.request_id for m in ordered],
    }
    kinds = {"variant": pl.String, "status": pl.String, "request_id": pl.String, "version": pl.String}
    return pl.DataFrame(columns, schema_overrides=kinds, strict=False)
