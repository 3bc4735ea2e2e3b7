"""``tailcast bench``: measure Bedrock models, compare runs, list what can be measured."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli import options
from replay.errors import InputError
from simulator.cli.texts import TEXTS

if TYPE_CHECKING:
    from replay.bench.benchmark import Benchmark, Expectation
    from replay.bench.plan import Load
    from replay.bench.records import Run
    from replay.bench.targets import ModelInfo

_INTERRUPTED = 130
_INCONCLUSIVE = 3
_RUN = click.Path(path_type=Path)


@click.group()
def bench() -> None:
    r"""Measure Bedrock models: first token and total, with statistics one can act on.

    \b
    Examples:
      tailcast bench models --match nova
      tailcast bench run us.amazon.nova-micro-v1:0 openai.gpt-oss-20b-1:0 --connection cold,reused --dry-run
      tailcast bench report runs/bench-20260101-120000
    """


def _listed(_: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in (value or "").split(",") if part.strip())
    if value is not None and not parts:
        raise InputError(f"--{parameter.name}: {value!r} names nothing")
    return parts


@bench.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--connection", callback=_listed, help="reused, cold, or both: cold,reused.")
@click.option("--cache", callback=_listed, help="Prompt cache: any of off, write, read, below.")
@click.option("--latency", callback=_listed, help="standard, optimized, or both.")
@click.option("--tier", callback=_listed, help="Service tier: any of default, priority, flex, reserved.")
@click.option("--input-tokens", callback=_listed, help="Prompt lengths, such as 200,2000. Default: 672.")
@click.option("--output-tokens", callback=_listed, help="Answer lengths. Default: 40.")
@click.option(
    "--arm", "arms", type=TEXTS, multiple=True, help="One more arm, such as connection=cold,cache=read,input=1100."
)
@click.option("--concurrency", callback=_listed, help="Closed loop: so many callers; several numbers, several loads.")
@click.option("--rate", "rates", callback=_listed, help="Open loop: Poisson arrivals a second.")
@click.option("--arrivals", type=_RUN, help="Open loop: arrivals and token counts of this trace.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="With --arrivals: 2 is twice as fast.")
@click.option("--requests", type=int, default=30, show_default=True, help="Measured requests per cell.")
@click.option("--spend-limit", "spend_limit_usd", type=float, help="USD that are not passed.")
@click.option("--prices", type=_RUN, help="TOML with prices of your own.")
@click.option("--max-in-flight", type=int, default=200, show_default=True, help="Open loop: most requests at once.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order and the arrivals.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost; send nothing.")
@click.option("--out", type=_RUN, help="Folder of the run. Default: runs/bench-DATE-TIME.")
@click.option("--png", is_flag=True, help="Plots as PNG too.")
@options.endpoint_url
@options.region
@options.as_json
def run(
    targets: tuple[str, ...],
    arms: tuple[str, ...],
    arrivals: Path | None,
    speed: float,
    concurrency: tuple[str, ...],
    rates: tuple[str, ...],
    requests: int,
    spend_limit_usd: float | None,
    prices: Path | None,
    max_in_flight: int,
    seed: int,
    dry_run: bool,
    out: Path | None,
    png: bool,
    endpoint_url: str | None,
    region: str | None,
    as_json: bool,
    **levels: tuple[str, ...],
) -> None:
    r"""Measure TARGETS and write the run into a folder.

    A target is [NAME=]MODEL[@REGION] with a model or inference-profile id, the address of a deployed API or stream, or
    lambda:FUNCTION:ALIAS. Every combination of the options below is one arm, and all are interleaved in random
    order. Ctrl-C keeps what was measured (exit code 130).

    An API that wants a key or a token is sent TAILCAST_API_KEY as x-api-key, TAILCAST_API_TOKEN as bearer.

    \b
    Examples:
      tailcast bench run us.amazon.nova-lite-v1:0 us.amazon.nova-micro-v1:0 --requests 200 --spend-limit 0.50
      tailcast bench run us.amazon.nova-lite-v1:0 --connection cold,reused --cache off,read --dry-run
      tailcast bench run https://API_ID.execute-api.us-east-1.amazonaws.com/genai --rate 5,20 --requests 500
    """
    from replay.api_headers import api_headers
    from replay.bench.arms import factorial, parse_arm
    from replay.bench.benchmark import Benchmark, expect, run_benchmark
    from replay.bench.clients import Endpoint
    from replay.bench.records import write_run
    from replay.bench.report import write_report
    from replay.bench.targets import parse_target

    combined = factorial(**{name: _numbers(name, values) for name, values in levels.items()})
    own_arms = [parse_arm(text) for text in arms]
    asked = any(levels.values()) or not own_arms
    where = region or _configured_region()
    benchmark = Benchmark(
        targets=tuple(parse_target(text, where) for text in targets),
        arms=(*(combined if asked else []), *own_arms),
        loads=_loads(concurrency, rates, arrivals, speed),
        requests=requests,
        seed=seed,
        spend_limit_usd=spend_limit_usd,
        prices=prices,
        endpoint=Endpoint(endpoint_url, api_headers=api_headers(os.environ)),
        max_in_flight=max_in_flight,
    )
    expected = expect(benchmark)
    if dry_run:
        _show_expectation(benchmark, expected, as_json=as_json)
        return
    folder = out or Path("runs") / f"bench-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if (folder / "run.json").exists():
        raise InputError(f"{folder}: holds a run already; choose another folder with --out")
    # Before anything is paid for: a place that cannot be written would lose what was measured.
    folder.mkdir(parents=True, exist_ok=True)
    from replay.bench.live import shown

    with shown(benchmark, expected) as on_progress:
        done = run_benchmark(benchmark, on_progress=on_progress)
    write_run(done, folder)
    notes = write_report(done, folder, ("svg", "png") if png else ("svg",))
    _show_run(done, folder, notes, as_json=as_json)
    if done.ended == "interrupted":
        sys.exit(_INTERRUPTED)
    if not any(m.status == "ok" for m in done.measured()):
        from replay.errors import CloudError

        why = next((m.error for m in done.measurements if m.error), "nothing was sent")
        raise CloudError(f"no request was answered: {why}")
    if done.ended != "complete":
        sys.exit(_INCONCLUSIVE)


@bench.command()
@click.argument("folder", type=_RUN)
@click.option("--requests", "every_request", is_flag=True, help="Show every request too.")
@click.option("--png", is_flag=True, help="Plots as PNG too.")
@options.as_json
def report(folder: Path, every_request: bool, png: bool, as_json: bool) -> None:
    r"""Show a run again, and write its report and plots anew.

    \b
    Examples:
      tailcast bench report runs/bench-20260131-120000
      tailcast bench report runs/bench-20260131-120000 --requests --png
    """
    from replay.bench.records import read_run
    from replay.bench.report import write_report

    found = read_run(folder)
    notes = write_report(found, folder, ("svg", "png") if png else ("svg",))
    _show_run(found, folder, notes, as_json=as_json, every_request=every_request)


@bench.command()
@click.argument("first")
@click.argument("second")
@click.option("--metric", type=click.Choice(["ttft_ms", "total_ms", "inter_token_ms"]), default="ttft_ms")
@options.as_json
def compare(first: str, second: str, metric: str, as_json: bool) -> None:
    r"""Compare two runs, cell by cell: the second less the first, with intervals that hold together.

    A run is its folder, or a date (2026-01-31): then the last run of that day (UTC) in ./runs.

    \b
    Examples:
      tailcast bench compare 2026-01-31 2026-02-01
      tailcast bench compare runs/bench-20260131-120000 runs/bench-20260201-120000 --metric total_ms
    """
    from replay.bench.across import compare_runs
    from replay.bench.records import read_run, run_of
    from simulator.terminal import console

    folders = [run_of(text) for text in (first, second)]
    found = compare_runs(read_run(folders[0]), read_run(folders[1]), metric)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    for text, folder in zip((first, second), folders, strict=True):
        if text != str(folder):
            console(stderr=True).print(f"{text}: {folder}", markup=False)
    for table in found.tables():
        console().print(table.rich(), "")
    for note in found.notes:
        console(stderr=True).print(f"note: {note}", markup=False)


@bench.command()
@click.option("--match", help="Part of an id or a name, such as nova.")
@click.option("--regions", callback=_listed, help="Where to ask. Default: the configured region.")
@click.option("--prices", type=_RUN, help="TOML with prices of your own.")
@options.endpoint_url
@options.as_json
def models(
    match: str | None, regions: tuple[str, ...], prices: Path | None, endpoint_url: str | None, as_json: bool
) -> None:
    r"""List the models and inference profiles that can be measured: routes, cache minimum, streaming, prices.

    \b
    Examples:
      tailcast bench models --match nova
      tailcast bench models --regions us-east-1,eu-west-1 --json
    """
    from replay.bench.clients import Endpoint
    from replay.bench.targets import discover
    from simulator.cost import load_prices

    found = discover(Endpoint(endpoint_url), regions or (_configured_region(),), load_prices(prices), match)
    if as_json:
        click.echo(json.dumps([info.to_json() for info in found], indent=2))
        return
    if not found:
        raise InputError(f"no model matches {match!r}; leave --match out to see all")
    _show_models(found)


@bench.command()
@click.argument("trace", type=_RUN)
@click.option("--baseline", type=_RUN, required=True, help="Recorded trace of the deployed baseline.")
@click.option("--variant", default="optimized", show_default=True, help="What to call the candidate.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the pairing.")
@click.option("--out", type=_RUN, required=True, help="Trace to write (Parquet).")
@options.as_json
def candidate(trace: Path, baseline: Path, variant: str, seed: int, out: Path, as_json: bool) -> None:
    r"""Make a candidate for `tailcast forecast` of a run's TRACE and a recording of the deployed baseline.

    \b
    Example:
      tailcast bench candidate runs/bench-20260131-120000/traces/nova.parquet --baseline old.parquet --out new.parquet
    """
    from simulator.candidate import as_candidate
    from simulator.trace import read_trace, write_trace

    made = as_candidate(read_trace(trace), read_trace(baseline), variant=variant, seed=seed)
    write_trace(made, out)
    if as_json:
        click.echo(json.dumps({"trace": str(out), "variant": variant, "requests": len(made)}))
        return
    click.echo(f"{out}: {len(made)} requests; tailcast forecast --baseline {baseline} --candidate {out}")


def _numbers(name: str, values: tuple[str, ...]) -> list[Any]:
    if not name.endswith("_tokens"):
        return list(values)
    for value in values:
        if not value.isdecimal():
            raise InputError(f"--{name.replace('_', '-')}: {value!r} must be a whole number of tokens")
    return [int(value) for value in values]


def _loads(
    concurrency: tuple[str, ...], rates: tuple[str, ...], arrivals: Path | None, speed: float
) -> tuple[Load, ...]:
    from replay.bench.plan import Load
    from simulator.trace import read_trace

    try:
        loads = [Load(concurrency=int(value)) for value in concurrency]
        loads += [Load(rate_rps=float(value)) for value in rates]
    except ValueError as error:
        raise InputError(f"load: {error}; --concurrency takes whole numbers, --rate requests a second") from None
    if arrivals is not None:
        loads.append(Load(trace=read_trace(arrivals), speed=speed))
    return tuple(loads) or (Load(concurrency=1),)


def _configured_region() -> str:
    import boto3

    region = boto3.session.Session().region_name
    if region is None:
        raise InputError("no AWS region is configured; pass --region, or set AWS_DEFAULT_REGION")
    return region


def _show_expectation(benchmark: Benchmark, expected: Expectation, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(vars(expected) | {"unpriced": list(expected.unpriced)}))
        return
    usd = "unknown" if expected.expected_usd is None else f"{expected.expected_usd:.4f} USD"
    most = "" if expected.at_most_usd is None else f", at most {expected.at_most_usd:.4f} USD"
    click.echo(
        f"{expected.requests} requests: {len(benchmark.targets)} targets × {len(set(benchmark.arms))} arms × "
        f"{len(benchmark.loads)} loads × {benchmark.requests}, and {len(benchmark.targets)} first ones"
    )
    if expected.span_s is not None:
        click.echo(f"sent within {expected.span_s:.0f} s")
    click.echo(f"expected cost {usd}{most}")
    for label in expected.unpriced:
        click.echo(f"no token price is known for {label}; pass --prices to have it counted", err=True)
    click.echo("nothing was sent")


def _show_run(done: Run, folder: Path, notes: list[str], *, as_json: bool, every_request: bool = False) -> None:
    from replay.bench.report import headline, report_tables
    from replay.bench.summary import summarise, to_json
    from replay.bench.tables import run_table
    from simulator.terminal import console

    summary = summarise(done)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "ended": done.ended, **to_json(summary)}, indent=2))
        return
    screen = console()
    for table in report_tables(done, summary):
        screen.print(table.rich(), "")
    if every_request:
        screen.print(run_table(done).rich(), "")
    for note in [*summary.notes, *notes]:
        console(stderr=True).print(f"note: {note}", markup=False)
    screen.print(headline(done), markup=False)
    screen.print(f"report, plots, CSV and traces: {folder}", markup=False)


def _show_models(found: Sequence[ModelInfo]) -> None:
    from rich.table import Table

    from simulator.terminal import console, number

    table = Table(box=None, pad_edge=False)
    for column in ("model", "name", "region", "routes to", "streams", "cache from", "in / cached / out USD per M"):
        table.add_column(column, overflow="fold")
    for info in found:
        rates = (info.input_usd_per_million, info.cache_read_usd_per_million, info.output_usd_per_million)
        table.add_row(
            info.model_id,
            info.name + ("" if info.lifecycle == "ACTIVE" else f" ({info.lifecycle.lower()})"),
            info.region,
            ", ".join(info.routes_to) or "regional",
            "yes" if info.streaming else "no",
            "–" if info.cache_minimum_tokens is None else f"{info.cache_minimum_tokens:,}",
            " / ".join(number(rate) for rate in rates),
        )
    console().print(table)
