"""The commands of ``tailcast trace``: look into recorded traces, make them of other recordings, reshape them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
import polars as pl

from simulator.cli.sources import TraceSource, load
from simulator.cli.texts import TEXTS
from simulator.cli.trace_show import print_summary
from simulator.errors import ParameterError
from simulator.importers import FORMATS, import_to_file
from simulator.importers.base import ImportOptions
from simulator.reshape import ALIGNMENTS, Alignment, cut, merge, sample
from simulator.summary import MEASURES, summarise
from simulator.trace import Trace, TraceMetadata, write_trace
from simulator.trace_scan import scan_trace

_FILE = click.Path(path_type=Path)
_TRACE = TraceSource()
_FORMAT_LIST = "\n".join(f"  {name:<13} {each.about}" for name, each in FORMATS.items())
_out = click.option("-o", "--out", type=_FILE, required=True, help="The Parquet file to write.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("show")
@click.argument("file", type=_TRACE)
@click.option("--variant", help="Only the requests of this variant.")
@click.option(
    "--measure",
    type=click.Choice(list(MEASURES)),
    help="Which latency to show. Default: the first recorded of client, execution, handler, inference, first token.",
)
@_json
def show(file: str | Path, variant: str | None, measure: str | None, as_json: bool) -> None:
    r"""Show what a trace holds: figures with intervals, warm and cold, how requests ended, and when.

    The intervals (95 %) come from order statistics and take requests as independent; where successive latencies are
    alike, the output says that they are too narrow. A sample too small for an interval names the size that would do.

    \b
    Examples:
      tailcast trace show runs/last/baseline.parquet
      tailcast trace show recorded.parquet --measure execution_ms
    """
    shown = of_variant(load(file), variant, str(file))
    summary = summarise(shown, measure=measure)
    if as_json:
        document = {"file": str(file), "metadata": asdict(shown.metadata), **summary.to_json()}
        click.echo(json.dumps(document, indent=2))
        return
    print_summary(str(file), shown, summary)


@click.command("import", epilog=f"\b\nFormats:\n{_FORMAT_LIST}")
@click.argument("file", type=_FILE)
@click.option(
    "--format", "format_name", type=click.Choice(list(FORMATS)), required=True, help="What FILE is; see below."
)
@click.option("-o", "--out", type=_FILE, help="The Parquet file to write. Default: FILE with the suffix .parquet.")
@click.option("--variant", help="Variant of the rows that do not name their own.")
@click.option(
    "--model", "models", type=TEXTS, multiple=True, metavar="VARIANT=ID", help="The model that a variant called."
)
@click.option("--function", help="The function's name.")
@click.option("--region", help="Where it ran.")
@click.option("--memory", "memory_mb", type=click.IntRange(min=1), help="Configured memory in MB, where FILE has none.")
@click.option(
    "--map",
    "maps",
    type=TEXTS,
    multiple=True,
    metavar="COLUMN=SQL",
    help="csv: a trace column as a SQL expression over FILE's.",
)
@click.option(
    "--spacing",
    "spacing_s",
    type=click.FloatRange(min=0, min_open=True),
    help="For a FILE without times: seconds between rows. Latencies hold then; load does not.",
)
@click.option("--clients", type=click.IntRange(min=1), help="For a closed loop without times: how many clients asked.")
@_json
def import_(
    file: Path,
    format_name: str,
    out: Path | None,
    variant: str | None,
    models: tuple[str, ...],
    function: str | None,
    region: str | None,
    memory_mb: int | None,
    maps: tuple[str, ...],
    spacing_s: float | None,
    clients: int | None,
    as_json: bool,
) -> None:
    r"""Turn a foreign recording into a trace.

    \b
    Examples:
      aws logs tail /aws/lambda/genai > log.txt
      tailcast trace import log.txt --format report-log --variant baseline -o baseline.parquet
      tailcast trace import load.csv --format csv --map arrival_s=timestamp --map client_ms=elapsed*1000 \
          --map "status=CASE WHEN code = 429 THEN 'throttled' ELSE 'ok' END"
    """
    options = ImportOptions(
        variant=variant,
        function=function,
        region=region,
        memory_mb=memory_mb,
        models=_pairs("--model", models),
        mapping=_pairs("--map", maps),
        spacing_s=spacing_s,
        clients=clients,
    )
    target = out or file.with_suffix(".parquet")
    with _writing(target):
        import_to_file(file, format_name, target, options)
    _tell_file(target, as_json)


@click.command("merge")
@click.argument("files", type=_TRACE, nargs=-1, required=True)
@click.option(
    "--align",
    type=click.Choice(ALIGNMENTS),
    help="recorded: by date; start: all from 0; append: one after the other. Default: by date where all have one.",
)
@_out
@_json
def merge_(files: tuple[str | Path, ...], align: Alignment | None, out: Path, as_json: bool) -> None:
    r"""Join traces into one; a request that stands in several (same request id) is taken once.

    \b
    Example:
      tailcast trace merge monday.parquet tuesday.parquet -o week.parquet
    """
    merged = merge([load(file) for file in files], align)
    _write(merged.trace, out, as_json, aligned_by=merged.alignment, duplicates_dropped=merged.duplicates)


@click.command("cut")
@click.argument("file", type=_TRACE)
@click.option("--from", "from_s", type=float, default=0.0, show_default=True, help="First second of the span.")
@click.option(
    "--to", "to_s", type=float, default=math.inf, help="End of the span in seconds, itself outside. Default: the end."
)
@click.option("--variant", help="Only the requests of this variant.")
@_out
@_json
def cut_(file: str | Path, from_s: float, to_s: float, variant: str | None, out: Path, as_json: bool) -> None:
    r"""Cut a span of time out of a trace; the new one starts at the span's start.

    \b
    Example:
      tailcast trace cut day.parquet --from 3600 --to 7200 -o second-hour.parquet
    """
    whole = of_variant(load(file), variant, str(file))
    _write(cut(whole, from_s, to_s), out, as_json)


@click.command("sample")
@click.argument("file", type=_TRACE)
@click.option("--rows", type=int, help="Keep this many requests.")
@click.option("--share", type=float, help="Keep each request with this probability.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the draws: one seed, one sample.")
@_out
@_json
def sample_(file: str | Path, rows: int | None, share: float | None, seed: int, out: Path, as_json: bool) -> None:
    r"""Keep a random part of a trace's requests, in their order.

    \b
    Example:
      tailcast trace sample day.parquet --share 0.1 -o tenth.parquet
    """
    _write(sample(load(file), seed=seed, rows=rows, share=share), out, as_json)


def of_variant(whole: Trace, variant: str | None, name: str) -> Trace:
    """Give the part of a trace that is one variant's, all of it for None.

    Raises
    ------
    ParameterError
        The trace, called ``name``, has no such variant.
    """
    if variant is None:
        return whole
    names = whole.variants()
    if variant not in names:
        raise ParameterError(f"{name}: no variant {variant!r} in it; it has: {', '.join(names) or 'none named'}")
    return whole.select(pl.col("variant") == variant)


def _write(made: Trace, out: Path, as_json: bool, **more: str | int) -> None:
    with _writing(out):
        write_trace(made, out)
    recorded = [name for name in made.frame.columns if made.frame[name].null_count() < len(made)]
    _tell(out, len(made), made.duration_s, recorded, made.metadata, as_json, **more)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise ParameterError(f"{out}: cannot write the trace ({reason}); choose another place with --out") from error


def _tell_file(out: Path, as_json: bool) -> None:
    """Tell of a trace that may be larger than memory."""
    written = scan_trace(out)
    arrival_s = pl.col("arrival_s")
    figures = written.frame.select(
        pl.all().count(), (arrival_s.max() - arrival_s.min()).alias("_duration_s"), pl.len().alias("_requests")
    ).collect(engine="streaming")
    found = figures.to_dicts()[0]
    duration_s, requests = found.pop("_duration_s"), found.pop("_requests")
    recorded = [name for name, known in found.items() if known]
    _tell(out, requests, duration_s, recorded, written.metadata, as_json)


def _tell(
    out: Path,
    requests: int,
    duration_s: float,
    recorded: list[str],
    metadata: TraceMetadata,
    as_json: bool,
    **more: str | int,
) -> None:
    if as_json:
        document = {"file": str(out), "requests": requests, "duration_s": duration_s, "columns": recorded}
        click.echo(json.dumps({**document, "metadata": asdict(metadata), **more}, indent=2))
        return
    click.echo(f"{out}: {requests:,} requests in {duration_s:,.1f} s; recorded: {', '.join(recorded)}")
    for name, text in {**metadata.notes, **more}.items():
        click.echo(f"  {name.replace('_', ' ')}: {text}")


def _pairs(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ParameterError(f"{flag} {text}: give NAME=VALUE")
        pairs[name.strip()] = value.strip()
    return pairs
