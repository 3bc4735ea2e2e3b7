"""``tailcast record``: a trace from CloudWatch Logs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli import options
from replay.errors import InputError
from simulator.cli.texts import TEXTS
from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from replay.record import ClientJoin, Recording
    from simulator.trace import Trace

_AROUND = timedelta(seconds=5)
"""How far this machine's clock and AWS's may be apart when the range comes from a drive."""


@click.command()
@click.option("--function", required=True, help="Function whose invocations to record.")
@click.option("--log-group", help="Where it logs. Default: what Lambda says.")
@click.option(
    "--start", help="ISO 8601 time (UTC where no zone is given), or -15m, -2h. Default with --client: its start."
)
@click.option("--end", help="Likewise, or now. Default: now, or with --client its end.")
@click.option("--client", type=click.Path(path_type=Path), help="Trace of tailcast drive to join, by request id.")
@click.option(
    "--variant",
    "variants",
    type=TEXTS,
    multiple=True,
    help="VERSION=NAME, for functions that do not log their variant.",
)
@click.option(
    "--settle",
    "quiet_s",
    type=float,
    default=6.0,
    show_default=True,
    help="Seconds without a new line until the logs count as complete.",
)
@click.option(
    "--settle-timeout", "timeout_s", type=float, default=90.0, show_default=True, help="Most seconds to wait."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Trace to write (Parquet).")
@options.endpoint_url
@options.region
@options.as_json
def record(
    function: str,
    log_group: str | None,
    start: str | None,
    end: str | None,
    client: Path | None,
    variants: tuple[str, ...],
    quiet_s: float,
    timeout_s: float,
    out: Path,
    endpoint_url: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    r"""Record the invocations of a stretch of time from CloudWatch Logs.

    Lambda's REPORT (text or JSON, whatever the function is set to) is joined with the function's own log record by
    request id, and with --client also with what the caller saw. What is not found is null, and counted.

    \b
    Examples:
      tailcast record --function genai-dev --start -15m --out baseline.parquet
      tailcast record --function genai-dev --client seen.parquet --out joined.parquet --json
    """
    from replay.aws import make_client
    from replay.record import Settle, function_log_group, join_client
    from replay.record import record as record_logs
    from simulator.trace import read_trace, write_trace

    driven = None if client is None else read_trace(client)
    begin, finish = _range(start, end, driven, datetime.now(UTC))
    group = log_group or function_log_group(make_client("lambda", region=region, endpoint_url=endpoint_url), function)
    recording = record_logs(
        make_client("logs", region=region, endpoint_url=endpoint_url),
        group,
        start=begin,
        end=finish,
        expected=[] if driven is None else _ids_that_ran(driven),
        variants=dict(_pair(text) for text in variants),
        settle=Settle(quiet_s=quiet_s, timeout_s=timeout_s),
        function=function,
        progress=_progress if sys.stderr.isatty() else None,
    )
    joined = None if driven is None else join_client(recording.trace, driven)
    write_trace(recording.trace if joined is None else joined.trace, out)
    _print(recording, joined, out, as_json=as_json)


def _range(start: str | None, end: str | None, driven: Trace | None, now: datetime) -> tuple[datetime, datetime]:
    from replay.timespan import parse_time

    begin = None if start is None else parse_time(start, now=now)
    finish = None if end is None else parse_time(end, now=now)
    zero = None if driven is None or (begin is not None and finish is not None) else _zero(driven)
    if begin is None:
        if zero is None:
            raise InputError("give --start, or --client with a trace of tailcast drive")
        begin = zero - _AROUND
    if finish is None and driven is not None and zero is not None:
        finish = zero + timedelta(seconds=float(driven.frame["arrival_s"][-1])) + _AROUND
    return begin, finish or now


def _zero(driven: Trace) -> datetime | None:
    """Give the time at which the client's trace begins, None where it does not say."""
    from simulator.reshape import recorded_at

    try:
        return recorded_at(driven)
    except SimulatorError as error:
        raise InputError(f"--client: {error}; give --start and --end") from error


def _ids_that_ran(driven: Trace) -> list[str]:
    """Give the request ids of the answers that can only come from the function."""
    import polars as pl

    return [str(one) for one in driven.frame.filter(pl.col("status") == "ok")["request_id"].drop_nulls()]


def _pair(text: str) -> tuple[str, str]:
    version, separator, name = text.partition("=")
    if not (separator and version and name):
        raise InputError(f"--variant {text!r}: write VERSION=NAME, such as 7=optimized")
    return version, name


def _progress(reports: int) -> None:
    click.echo(f"\r{reports} reports so far", nl=False, err=True)


def _print(recording: Recording, joined: ClientJoin | None, out: Path, *, as_json: bool) -> None:
    counts = recording.counts
    document: dict[str, Any] = {
        "trace": str(out),
        "log_group": recording.log_group,
        "invocations": counts.invocations,
        "joined": counts.joined,
        "without_report": counts.without_report,
        "without_record": counts.without_record,
        "duplicates": counts.duplicates,
        "outside": counts.outside,
        "missing": recording.missing,
        "settled": recording.settled,
        "client": None
        if joined is None
        else {"matched": joined.matched, "client_only": joined.client_only, "logs_only": joined.logs_only},
        "warnings": recording.warnings(),
    }
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    if sys.stderr.isatty():
        click.echo("", err=True)
    click.echo(f"{counts.invocations} invocations, {counts.joined} of them with REPORT and the function's own record")
    if joined is not None:
        click.echo(
            f"{joined.matched} matched with the caller's; {joined.client_only} only the caller knows, "
            f"{joined.logs_only} only the logs"
        )
    for warning in recording.warnings():
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"trace: {out}")
