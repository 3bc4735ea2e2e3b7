"""``tailcast forecast``: what a rollout will show, from two recorded traces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulator.arrivals import ArrivalPlan, poisson, replay
from simulator.cli.forecast_show import print_forecast
from simulator.cost import ARCHITECTURES, load_prices
from simulator.errors import ParameterError
from simulator.files import write_text
from simulator.forecast import DEFAULT_REPLICATIONS, Forecast, forecast, rows_of, verdict
from simulator.keep_alive import KeepAliveFit, fit_keep_alive
from simulator.objective import Objective, Verdict, parse_objectives
from simulator.platform import (
    BASELINE,
    FUNCTION_TIMEOUT_S,
    HTTP_API_TIMEOUT_S,
    KEEP_ALIVE_S,
    OPTIMIZED,
    Platform,
    VersionSettings,
)
from simulator.terminal import console
from simulator.timeline import PlannedStep
from simulator.trace import Trace, read_trace

_FILE = click.Path(path_type=Path)
_EXIT: dict[Verdict, int] = {"pass": 0, "fail": 1, "inconclusive": 3}


@click.command("forecast")
@click.option("--baseline", type=_FILE, required=True, help="Trace of the version that serves today.")
@click.option("--candidate", type=_FILE, required=True, help="Trace of the version that is to replace it.")
@click.option("--weights", default="10,50,100", show_default=True, help="Percentages of the steps, in order.")
@click.option("--rate", type=float, help="Requests a second, Poisson. Default: the baseline's recorded rate.")
@click.option("--arrivals", type=_FILE, help="Trace whose arrivals each step replays, instead of --rate.")
@click.option("--step-duration", type=float, help="Seconds of each step.  [default: 300]")
@click.option("--gap", type=float, default=0.0, show_default=True, help="Idle seconds before each step.")
@click.option("--cold-begin", is_flag=True, help="Begin without warm environments, not after the two recordings.")
@click.option("--pc-baseline", type=int, default=0, show_default=True, help="Provisioned concurrency of the baseline.")
@click.option(
    "--pc-optimized", type=int, default=0, show_default=True, help="Provisioned concurrency of the candidate."
)
@click.option(
    "--timeout", type=float, default=FUNCTION_TIMEOUT_S, show_default=True, help="Function time-out, seconds."
)
@click.option(
    "--gateway-timeout", type=float, default=HTTP_API_TIMEOUT_S, show_default=True, help="Gateway time-out, seconds."
)
@click.option(
    "--keep-alive",
    type=float,
    help=f"Seconds that an idle environment lives.  [default: fitted to the baseline, else {KEEP_ALIVE_S:g}]",
)
@click.option("--objective", "objectives", multiple=True, help="Such as 'p99 < 1500 ms'; may be repeated.")
@click.option("--prices", type=_FILE, help="TOML with prices of your own, laid over the shipped ones.")
@click.option("--architecture", type=click.Choice(list(ARCHITECTURES)), default=ARCHITECTURES[0], show_default=True)
@click.option("--replications", type=int, default=DEFAULT_REPLICATIONS, show_default=True, help="Simulated runs.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same forecast.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("-o", "--out", type=_FILE, help="Also write the JSON document to this file.")
@click.pass_context
def forecast_command(ctx: click.Context, /, **options: Any) -> None:
    r"""Forecast p50, p95, p99, cold share and cost of every step of a rollout, each with its 95 % interval.

    An interval is predictive: it holds the figure that a step of that rate and length will show, so it carries the
    doubt of the recordings' size and drift as well as the chance of the step. The steps run one after the other, from
    the environments that the two recordings left warm.

    With --objective the command exits with 0 where it is met in every step with 95 % probability, 1 where it is
    missed with as much, and 3 where the data cannot tell.

    \b
    Examples:
      tailcast forecast --baseline baseline.parquet --candidate optimized.parquet
      tailcast forecast --baseline baseline.parquet --candidate optimized.parquet \
          --weights 5,25,100 --rate 20 --step-duration 600 --pc-optimized 5 --objective "p99 < 1500 ms"
    """
    baseline, candidate = read_trace(options["baseline"]), read_trace(options["candidate"])
    wanted = tuple(one for text in options["objectives"] for one in parse_objectives(text))
    steps = _steps(options, baseline)
    platform, keep_alive = _platform(options, baseline)
    with _progress(options["replications"]) as progress:
        task = progress.add_task("simulating", total=options["replications"])
        found = forecast(
            baseline,
            candidate,
            steps,
            platform,
            replications=options["replications"],
            seed=options["seed"],
            history=() if options["cold_begin"] else None,
            keep_alive=keep_alive,
            prices=load_prices(options["prices"]),
            architecture=options["architecture"],
            objectives=wanted,
            progress=lambda done, _: progress.update(task, completed=done),
        )
    verdicts = [_judge(found, one) for one in wanted]
    overall = _overall([verdict(one["probability"]) for one in verdicts])
    document = {**found.to_json(), "keep_alive": _keep_alive_json(platform, keep_alive), "objectives": verdicts}
    document["verdict"] = overall
    text = json.dumps(document, indent=2)
    if options["out"] is not None:
        write_text(options["out"], text + "\n")
    if options["as_json"]:
        click.echo(text)
    else:
        print_forecast(found, verdicts, overall)
    ctx.exit(0 if overall is None else _EXIT[overall])


def parse_weights(text: str) -> tuple[float, ...]:
    """Read percentages such as ``10,50,100`` as shares.

    Raises
    ------
    ParameterError
        Something that is no number, or lies outside 0 to 100.
    """
    shares = []
    for part in text.split(","):
        try:
            percent = float(part.strip().removesuffix("%"))
        except ValueError as error:
            raise ParameterError(
                f"--weights {text!r}: {part.strip()!r} is no number; give percentages such as 10,50,100"
            ) from error
        if not 0.0 <= percent <= 100.0:
            raise ParameterError(
                f"--weights {text!r}: {percent:g} is outside 0 to 100; give percentages such as 10,50,100"
            )
        shares.append(percent / 100.0)
    return tuple(shares)


def _steps(options: dict[str, Any], baseline: Trace) -> list[PlannedStep]:
    shares = parse_weights(options["weights"])
    plan = _plan(options, baseline)
    labels = [f"{100.0 * share:g}%" for share in shares]
    # A weight may come twice (up, back, up again): number the later ones.
    seen: dict[str, int] = {}
    for index, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        labels[index] = label if seen[label] == 1 else f"{label} #{seen[label]}"
    return [
        PlannedStep(label, share, plan, gap_before_s=options["gap"])
        for label, share in zip(labels, shares, strict=True)
    ]


def _plan(options: dict[str, Any], baseline: Trace) -> ArrivalPlan:
    rate_rps, duration_s = options["rate"], options["step_duration"]
    if options["arrivals"] is not None:
        if rate_rps is not None or duration_s is not None:
            raise ParameterError("--arrivals brings its own rate and duration; leave out --rate and --step-duration")
        return replay(read_trace(options["arrivals"]))
    if rate_rps is None:
        recorded = rows_of(baseline, BASELINE)
        if recorded.duration_s <= 0:
            raise ParameterError("--rate is missing, and the baseline's trace is too short to tell one; give --rate")
        rate_rps = (len(recorded) - 1) / recorded.duration_s
    return poisson(rate_rps, 300.0 if duration_s is None else duration_s)


def _platform(options: dict[str, Any], baseline: Trace) -> tuple[Platform, KeepAliveFit | None]:
    given_s = options["keep_alive"]
    fitted = fit_keep_alive(baseline) if given_s is None else None
    platform = Platform(
        versions={
            BASELINE: VersionSettings(provisioned=options["pc_baseline"], timeout_s=options["timeout"]),
            OPTIMIZED: VersionSettings(provisioned=options["pc_optimized"], timeout_s=options["timeout"]),
        },
        gateway_timeout_s=options["gateway_timeout"],
        keep_alive_s=KEEP_ALIVE_S if given_s is None else given_s,
    )
    return platform, fitted


def _keep_alive_json(platform: Platform, fitted: KeepAliveFit | None) -> dict[str, Any]:
    return {"p50_s": platform.keep_alive_s} if fitted is None else fitted.summary()


def _judge(found: Forecast, objective: Objective) -> dict[str, Any]:
    by_step = {label: found.probability(objective, label) for label in found.steps}
    joint = found.probability(objective)
    return {
        "objective": str(objective),
        "probability": joint,
        "verdict": verdict(joint),
        "steps": {label: {"probability": chance, "verdict": verdict(chance)} for label, chance in by_step.items()},
    }


def _overall(verdicts: Sequence[Verdict]) -> Verdict | None:
    if not verdicts:
        return None
    if "fail" in verdicts:
        return "fail"
    return "inconclusive" if "inconclusive" in verdicts else "pass"


def _progress(replications: int) -> Progress:
    out = console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
        disable=not out.is_terminal or replications < 1,
    )
