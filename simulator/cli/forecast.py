"""``tailcast forecast``: what a rollout will show, from two recorded traces."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from simulator.bursty import ArrivalsFit
from simulator.cli.forecast_show import print_outlook
from simulator.cli.plan import DEFAULT_WEIGHTS, fitted_arrivals, make_platform, parse_weights, plan_steps
from simulator.cli.progress import simulating
from simulator.cli.sources import TraceSource, load, load_pair
from simulator.cli.texts import TEXTS
from simulator.cli.workers import scheduler_option, workers_for, workers_option
from simulator.cost import ARCHITECTURES, load_prices
from simulator.errors import ParameterError
from simulator.files import write_text
from simulator.fitted import Fitted, fit_recordings, rows_of
from simulator.forecast import DEFAULT_REPLICATIONS, forecast, prepare
from simulator.keep_alive import KeepAliveFit
from simulator.objective import Verdict, parse_objectives
from simulator.outlook import BURST_FACTOR, Outlook, Spread, burst_amplification, judge, metric_names
from simulator.parallel import Workers
from simulator.platform import BASELINE, FUNCTION_TIMEOUT_S, HTTP_API_TIMEOUT_S, KEEP_ALIVE_S, OPTIMIZED, Platform
from simulator.timeline import PlannedStep
from simulator.token_model import TokenFit, other_prompts, retarget
from simulator.trace import Trace

__all__ = ["EXIT", "forecast_command", "parse_weights"]

_FILE = click.Path(path_type=Path)
_TRACE = TraceSource()
EXIT: Final[dict[Verdict, int]] = {"pass": 0, "fail": 1, "inconclusive": 3}


@click.command("forecast")
@click.option("--baseline", type=_TRACE, required=True, help="Trace of the version that serves today.")
@click.option("--candidate", type=_TRACE, required=True, help="Trace of the version that is to replace it.")
@click.option("--weights", help=f"Percentages of the steps, in order.  [default: {DEFAULT_WEIGHTS}]")
@click.option("--weight", help="One step with this weight instead: a share (0.1) or a percentage (10%).")
@click.option(
    "--rollout", type=_FILE, help="Steps from a YAML file: - {weight: 10%, duration: 5m, rate: 20, gap: 30s}."
)
@click.option("--rate", type=float, help="Requests a second, Poisson. Default: the baseline's recorded rate.")
@click.option("--arrivals", type=_TRACE, help="Trace whose arrivals each step takes, instead of --rate.")
@click.option(
    "--arrivals-as",
    type=click.Choice(["replay", "fitted", "poisson"]),
    default="replay",
    show_default=True,
    help="Take them as they are, from a process fitted to them (bursts), or Poisson at their rate.",
)
@click.option(
    "--duration", "--step-duration", "step_duration", type=float, help="Seconds of each step.  [default: 300]"
)
@click.option("--scale", type=float, help="Times the load: more requests at --rate, recorded ones compressed in time.")
@click.option(
    "--burst", type=float, default=BURST_FACTOR, show_default=True, help="Times the load of a burst; 0: none."
)
@click.option(
    "--prompts",
    type=click.Choice(["own", "baseline", "arrivals"]),
    default="own",
    show_default=True,
    help="Whose tokens the candidate is to serve: those it was measured on, the baseline's, or those of --arrivals.",
)
@click.option("--gap", type=float, default=0.0, show_default=True, help="Idle seconds before each step.")
@click.option("--cold-begin", is_flag=True, help="Begin without warm environments, not after the two recordings.")
@click.option("--platform", "platform_file", type=_FILE, help="Limits and policies from a YAML file.")
@click.option("--pc", type=int, help="Provisioned concurrency of each version.")
@click.option("--pc-baseline", type=int, help="Provisioned concurrency of the baseline.  [default: 0]")
@click.option("--pc-optimized", type=int, help="Provisioned concurrency of the candidate.  [default: 0]")
@click.option("--timeout", type=float, help=f"Function time-out, seconds.  [default: {FUNCTION_TIMEOUT_S:g}]")
@click.option("--gateway-timeout", type=float, help=f"Gateway time-out, seconds.  [default: {HTTP_API_TIMEOUT_S:g}]")
@click.option(
    "--keep-alive",
    type=float,
    help=f"Seconds that an idle environment lives.  [default: fitted to the baseline, else {KEEP_ALIVE_S:g}]",
)
@click.option(
    "--slo", "--objective", "objectives", type=TEXTS, multiple=True, help="Such as 'p99 < 1500 ms'; may be repeated."
)
@click.option("--prices", type=_FILE, help="TOML with prices of your own, laid over the shipped ones.")
@click.option("--architecture", type=click.Choice(list(ARCHITECTURES)), default=ARCHITECTURES[0], show_default=True)
@click.option("--replications", type=int, default=DEFAULT_REPLICATIONS, show_default=True, help="Simulated runs.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same forecast.")
@workers_option("this one, with threads")
@scheduler_option
@click.option(
    "--explain",
    metavar="REQUESTS",
    help="Instead of a forecast, every event of these requests of one run: 12,40, or slowest, or slowest:10.",
)
@click.option("--explain-run", type=int, default=0, show_default=True, help="Which of the simulated runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("-o", "--out", type=_FILE, help="Also write the JSON document to this file.")
@click.pass_context
def forecast_command(ctx: click.Context, /, **options: Any) -> None:
    r"""Forecast p50, p95, p99, cold share and cost of every step of a rollout, each with its 95 % interval.

    An interval is predictive: it holds the figure that a step of that rate and length will show, so it carries the
    doubt of the recordings' size and drift as well as the chance of the step. The steps run one after the other, from
    the environments that the two recordings left warm.

    With --slo the command exits with 0 where it is met in every step with 95 % probability, 1 where it is missed with
    as much, and 3 where the data cannot tell.

    \b
    Examples:
      tailcast forecast --baseline baseline.parquet --candidate optimized.parquet
      tailcast forecast --baseline baseline.parquet --candidate optimized.parquet \
          --weights 5,25,100 --rate 20 --duration 600 --pc-optimized 5 --slo "p99 < 1500 ms"
      tailcast forecast --baseline baseline.parquet --candidate optimized.parquet --explain slowest
    """
    baseline, candidate = load_pair(options)
    candidate, prompts = _serving(options, baseline, candidate)
    wanted = tuple(one for text in options["objectives"] for one in parse_objectives(text))
    arrivals = fitted_arrivals(options)
    steps = plan_steps(options, baseline, arrivals)
    platform, keep_alive = make_platform(options, baseline, platform_from(options["platform_file"]))
    if options["burst"] != 0 and not options["burst"] > 1:
        raise ParameterError(f"--burst {options['burst']!r} must be above 1, or 0 for no burst")
    if options["explain"] is not None:
        _explain(options, baseline, candidate, steps, platform, keep_alive)
        return
    prices = load_prices(options["prices"])
    fitted = fit_recordings(baseline, candidate, platform.names, prices=prices, architecture=options["architecture"])
    with workers_for(options, threads=True) as workers:
        with simulating(options["replications"]) as advance:
            found = forecast(
                baseline,
                candidate,
                steps,
                platform,
                replications=options["replications"],
                seed=options["seed"],
                history=() if options["cold_begin"] else None,
                keep_alive=keep_alive,
                prices=prices,
                architecture=options["architecture"],
                objectives=wanted,
                extra_metrics=metric_names(wanted),
                progress=advance,
                workers=workers,
                fitted=fitted,
            )
        burst = _burst(options, baseline, candidate, steps, platform, keep_alive, workers, fitted)
    found = replace(
        found, warnings=(*found.warnings, *prompts.warnings, *(() if arrivals is None else arrivals.warnings()))
    )
    outlook = Outlook(
        forecast=found,
        burst=burst,
        burst_factor=options["burst"],
        timeout_ms=1000.0 * min(platform.gateway_timeout_s, *(one.timeout_s for one in platform.versions.values())),
        judged=judge(found, wanted),
        settings={**_settings(platform, keep_alive, arrivals), "prompts": prompts.to_json()},
    )
    document = {**outlook.to_json(), "keep_alive": _keep_alive_json(platform, keep_alive)}
    text = json.dumps(document, indent=2)
    if options["out"] is not None:
        write_text(options["out"], text + "\n")
    if options["as_json"]:
        click.echo(text)
    else:
        print_outlook(outlook)
    ctx.exit(0 if outlook.verdict is None else EXIT[outlook.verdict])


def _explain(
    options: dict[str, Any],
    baseline: Trace,
    candidate: Trace,
    steps: list[PlannedStep],
    platform: Platform,
    keep_alive: KeepAliveFit | None,
) -> None:
    """Tell what happened to single requests of one run."""
    from simulator.cli.forecast_explain import log_json, print_log
    from simulator.request_log import request_log

    prepared = prepare(
        baseline,
        candidate,
        steps,
        platform,
        replications=options["replications"],
        seed=options["seed"],
        history=() if options["cold_begin"] else None,
        keep_alive=keep_alive,
    )
    told = (
        request_log(prepared.runs, options["explain"], options["explain_run"]),
        options["seed"],
        options["explain_run"],
    )
    text = json.dumps(log_json(*told), indent=2)
    if options["out"] is not None:
        write_text(options["out"], text + "\n")
    if options["as_json"]:
        click.echo(text)
    else:
        print_log(*told)


@dataclass(frozen=True)
class _Prompts:
    """Whose prompts the candidate serves."""

    whose: str
    fit: TokenFit | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"whose": self.whose, "token_fit": None if self.fit is None else self.fit.to_json()}


def _serving(options: dict[str, Any], baseline: Trace, candidate: Trace) -> tuple[Trace, _Prompts]:
    """Give the candidate as it would serve the prompts that were asked for."""
    whose = options["prompts"]
    ours = rows_of(candidate, OPTIMIZED)
    if whose == "own":
        other = other_prompts(ours, rows_of(baseline, BASELINE))
        said = (
            ()
            if other is None
            else (
                f"{OPTIMIZED}: measured on other prompts than the baseline ({other}); "
                "--prompts baseline forecasts it for the baseline's",
            )
        )
        return candidate, _Prompts(whose, None, said)
    if whose == "arrivals" and options["arrivals"] is None:
        raise ParameterError("--prompts arrivals needs --arrivals, a trace with tokens")
    traffic = rows_of(baseline, BASELINE) if whose == "baseline" else load(options["arrivals"])
    moved = retarget(ours, traffic, name=OPTIMIZED, seed=options["seed"])
    return moved.trace, _Prompts(whose, moved.fit, moved.warnings)


def platform_from(path: Path | None) -> Platform | None:
    """Read ``--platform``; None without one."""
    if path is None:
        return None
    from simulator.platform_file import read_platform

    return read_platform(path)


def _burst(
    options: dict[str, Any],
    baseline: Trace,
    candidate: Trace,
    steps: list[PlannedStep],
    platform: Platform,
    keep_alive: KeepAliveFit | None,
    workers: Workers,
    fitted: Fitted,
) -> Spread | None:
    """Forecast a burst at the last step's load and weight."""
    last = steps[-1]
    rate_rps = last.arrivals.expected_requests / last.arrivals.duration_s
    if options["burst"] == 0 or rate_rps <= 0:
        return None
    return burst_amplification(
        baseline,
        candidate,
        platform,
        rate_rps=rate_rps,
        weight=last.weight,
        factor=options["burst"],
        seed=options["seed"],
        replications=options["replications"],
        keep_alive=keep_alive,
        workers=workers,
        fitted=fitted,
    )


def _settings(platform: Platform, keep_alive: KeepAliveFit | None, arrivals: ArrivalsFit | None) -> dict[str, Any]:
    return {
        "provisioned": {name: one.provisioned for name, one in platform.versions.items()},
        "timeout_s": {name: one.timeout_s for name, one in platform.versions.items()},
        "gateway_timeout_s": platform.gateway_timeout_s,
        "keep_alive": _keep_alive_json(platform, keep_alive),
        "arrivals_fit": None if arrivals is None else arrivals.to_json(),
    }


def _keep_alive_json(platform: Platform, fitted: KeepAliveFit | None) -> dict[str, Any]:
    return {"p50_s": platform.keep_alive_s} if fitted is None else fitted.summary()
