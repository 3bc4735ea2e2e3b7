"""``tailcast drive``: open-loop load."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli import options
from replay.errors import InputError

if TYPE_CHECKING:
    from replay.drive import DriveResult, Progress
    from simulator.arrivals import ArrivalPlan

_INTERRUPTED = 130


@click.command()
@click.argument("target")
@click.option("--rate", "rate_rps", type=float, help="Poisson arrivals at this many requests a second ...")
@click.option("--duration", "duration_s", type=float, help="... for so many seconds.")
@click.option("--burst-factor", type=float, help="Times the rate, for a while in the middle.")
@click.option("--burst-duration", "burst_duration_s", type=float, default=5.0, show_default=True, help="Seconds.")
@click.option("--burst-start", "burst_start_s", type=float, help="Second at which it begins. Default: in the middle.")
@click.option("--arrivals", type=click.Path(path_type=Path), help="Replay the arrivals of this trace instead.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="With --arrivals: 2 is twice as fast.")
@click.option("--prompts", type=click.Path(path_type=Path), help="One prompt a line, or JSON lines (.jsonl).")
@click.option("--deadline", "deadline_s", type=float, default=35.0, show_default=True, help="Seconds for one request.")
@click.option("--max-in-flight", type=int, default=2_000, show_default=True, help="A bound for memory.")
@click.option("--variant", help="Name to write into the trace.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of arrivals and prompts.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Trace to write (Parquet).")
@options.endpoint_url
@options.region
@options.as_json
def drive(
    target: str,
    rate_rps: float | None,
    duration_s: float | None,
    burst_factor: float | None,
    burst_duration_s: float,
    burst_start_s: float | None,
    arrivals: Path | None,
    speed: float,
    prompts: Path | None,
    deadline_s: float,
    max_in_flight: int,
    variant: str | None,
    seed: int,
    out: Path,
    endpoint_url: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    r"""Send open-loop load to TARGET and write what the caller saw as a trace.

    TARGET is an address that takes POST {"prompt": …}, or lambda:FUNCTION:ALIAS. Requests to a Function URL are signed;
    of a stream the first token is noted too. Requests leave at their planned times, whether or not earlier ones were
    answered, and a latency counts from the planned time. Ctrl-C keeps what was measured until then (exit code 130).

    An API that wants a key or a token is sent TAILCAST_API_KEY as x-api-key, TAILCAST_API_TOKEN as bearer.

    \b
    Examples:
      tailcast drive https://abc.execute-api.us-east-1.amazonaws.com/genai --rate 5 --duration 120 --out seen.parquet
      tailcast drive https://abc.lambda-url.us-east-1.on.aws/stream --rate 1 --duration 60 --out streams.parquet
      tailcast drive lambda:genai:optimized --arrivals baseline.parquet --speed 2 --out seen.parquet
    """
    import numpy as np

    import replay.drive as driving
    from replay.api_headers import api_headers
    from simulator.trace import write_trace

    where = driving.parse_target(target, region=region, endpoint_url=endpoint_url, headers=api_headers(os.environ))
    texts = driving.BUILT_IN_PROMPTS if prompts is None else driving.read_prompts(prompts)
    if arrivals is None:
        plan = _generated(rate_rps, duration_s, burst_factor, burst_start_s, burst_duration_s)
    else:
        plan = _replayed(arrivals, speed, rate_rps, duration_s, burst_factor)
    arrivals_s = plan.draw(np.random.default_rng(seed))
    _check_place(out)
    with _shown() as show:
        result = driving.drive(
            where,
            arrivals_s,
            prompts=texts,
            deadline_s=deadline_s,
            max_in_flight=max_in_flight,
            variant=variant,
            seed=seed,
            progress=show,
        )
    write_trace(result.trace, out)
    _print(result, out, as_json=as_json)
    if result.interrupted:
        sys.exit(_INTERRUPTED)


def _check_place(out: Path) -> None:
    """Refuse before the load a place that would lose what it measured."""
    import tempfile

    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); name another file") from error


def _generated(
    rate_rps: float | None,
    duration_s: float | None,
    burst_factor: float | None,
    burst_start_s: float | None,
    burst_duration_s: float,
) -> ArrivalPlan:
    from simulator.arrivals import poisson, poisson_with_burst

    if rate_rps is None or duration_s is None:
        raise InputError("give --rate and --duration, or --arrivals TRACE")
    if burst_factor is None:
        return poisson(rate_rps, duration_s)
    start_s = (duration_s - burst_duration_s) / 2 if burst_start_s is None else burst_start_s
    return poisson_with_burst(
        rate_rps, duration_s, factor=burst_factor, burst_start_s=start_s, burst_duration_s=burst_duration_s
    )


def _replayed(
    arrivals: Path, speed: float, rate_rps: float | None, duration_s: float | None, burst_factor: float | None
) -> ArrivalPlan:
    from simulator.arrivals import replay
    from simulator.trace import read_trace

    if rate_rps is not None or duration_s is not None or burst_factor is not None:
        raise InputError("--arrivals brings its own times; leave out --rate, --duration and --burst-factor")
    return replay(read_trace(arrivals), speed=speed)


class _shown:  # noqa: N801  (used as a function: `with _shown() as show`)
    """A line on stderr that follows the drive, where stderr is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed} of {task.total} requests, {task.fields[failed]} not ok"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            # The display is drawn when the driver reports, not by a thread of its own that would compete with it.
            auto_refresh=False,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("driving", total=None, failed=0)

    def __enter__(self) -> _shown:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        self._bar.update(
            self._task, total=progress.planned, completed=progress.ended, failed=progress.failed, refresh=True
        )


def _print(result: DriveResult, out: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"trace": str(out), **result.to_json()}, indent=2))
        return
    from simulator.quantiles import quantile

    late = result.lateness
    client_ms = result.trace.frame["client_ms"].drop_nulls().to_numpy()
    p50, p95, p99 = (quantile(client_ms, level) for level in (0.5, 0.95, 0.99))
    counts = ", ".join(f"{count} {status}" for status, count in result.status_counts().items())
    click.echo(f"{len(result.trace)} requests: {counts}")
    click.echo(f"latency from the intended start: p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms")
    click.echo(f"lateness of the driver: p50 {late.p50_ms:.2f} ms, p99 {late.p99_ms:.2f} ms, max {late.max_ms:.2f} ms")
    for reason, count in result.failures.items():
        click.echo(f"{count} × {reason}")
    for warning in result.warnings():
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"trace: {out}")
