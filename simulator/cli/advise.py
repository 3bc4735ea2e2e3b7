"""``tailcast advise``: settings that meet an objective, and how long the steps of a rollout must be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.text import Text

from simulator.advise import MAX_PROVISIONED, StepAdvice, VersionAdvice, advise_steps, advise_version, question_about
from simulator.cli.forecast import EXIT, platform_from
from simulator.cli.forecast_show import chance_text
from simulator.cli.plan import fitted_arrivals, make_platform, parse_weights, plan_arrivals
from simulator.cli.sources import TraceSource, load_pair
from simulator.cli.texts import TEXTS
from simulator.cli.workers import scheduler_option, workers_for, workers_option
from simulator.cost import ARCHITECTURES, load_prices
from simulator.fitting_table import FittingTable
from simulator.objective import Verdict, parse_objectives
from simulator.terminal import console, number

_FILE = click.Path(path_type=Path)
_TRACE = TraceSource()


@click.command("advise")
@click.option("--baseline", type=_TRACE, required=True, help="Trace of the version that serves today.")
@click.option("--candidate", type=_TRACE, required=True, help="Trace of the version that is to replace it.")
@click.option(
    "--slo", "objectives", type=TEXTS, multiple=True, required=True, help="Such as 'p99 < 1500 ms'; may be repeated."
)
@click.option("--weights", default="10,50,100", show_default=True, help="Percentages of the rollout's steps.")
@click.option("--rate", type=float, help="Requests a second, Poisson. Default: the baseline's recorded rate.")
@click.option("--arrivals", type=_TRACE, help="Trace whose arrivals are to be served, instead of --rate.")
@click.option(
    "--arrivals-as", type=click.Choice(["replay", "fitted", "poisson"]), default="replay", show_default=True,
    help="Take them as they are, from a process fitted to them, or Poisson at their rate.",
)  # fmt: skip
@click.option(
    "--duration", "step_duration", type=float, help="Seconds over which the objective is judged.  [default: 300]"
)
@click.option("--scale", type=float, help="Times the load.")
@click.option("--max-pc", type=click.IntRange(1, 1000), default=MAX_PROVISIONED, show_default=True, help="Most to try.")
@click.option("--platform", "platform_file", type=_FILE, help="Limits and policies from a YAML file.")
@click.option("--keep-alive", type=float, help="Seconds that an idle environment lives.")
@click.option("--prices", type=_FILE, help="TOML with prices of your own, laid over the shipped ones.")
@click.option("--architecture", type=click.Choice(list(ARCHITECTURES)), default=ARCHITECTURES[0], show_default=True)
@click.option("--replications", type=int, default=100, show_default=True, help="Simulated runs of each try.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same advice.")
@workers_option("this one, with threads")
@scheduler_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def advise_command(ctx: click.Context, /, **options: Any) -> None:
    r"""Find the cheapest settings that meet an objective with 95 % probability.

    For each version, serving all of the traffic: the least provisioned concurrency, a time-out, and what the
    recording knows of memory. For each step of the rollout: how long it must last before its candidate has enough
    requests to bound the quantile, and to show a regression of 10 %.

    Exits with 0 where the candidate can meet the objective, 1 where no provisioned concurrency that was tried does,
    and 3 where the data cannot tell.

    \b
    Example:
      tailcast advise --baseline baseline.parquet --candidate optimized.parquet --slo "p99 < 1500 ms" --rate 20
    """
    baseline, candidate = load_pair(options)
    objectives = [one for text in options["objectives"] for one in parse_objectives(text)]
    platform, keep_alive = make_platform(options, baseline, platform_from(options["platform_file"]))
    arrivals = plan_arrivals(options, baseline, fitted_arrivals(options))
    with workers_for(options, threads=True) as workers:
        question = question_about(
            baseline,
            candidate,
            arrivals,
            platform,
            objectives,
            keep_alive=keep_alive,
            prices=load_prices(options["prices"]),
            architecture=options["architecture"],
            replications=options["replications"],
            seed=options["seed"],
            workers=workers,
        )
        versions = {name: advise_version(question, name, most=options["max_pc"]) for name in question.traces}
    steps = advise_steps(question, [share for share in parse_weights(options["weights"]) if share > 0])
    verdict: Verdict = versions[platform.names[1]].verdict
    if options["as_json"]:
        document = {
            "slo": [str(one) for one in objectives],
            "versions": {name: one.to_json() for name, one in versions.items()},
            "steps": [one.to_json() for one in steps],
            "verdict": verdict,
            "replications": options["replications"],
            "seed": options["seed"],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _print([str(one) for one in objectives], versions, steps)
    ctx.exit(EXIT[verdict])


def _print(slo: Sequence[str], versions: Mapping[str, VersionAdvice], steps: Sequence[StepAdvice]) -> None:
    out = console()
    out.print(Text(f"To meet {', '.join(slo)} with 95 % probability, each version serving all of the traffic:"))
    table = FittingTable(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("version")
    for heading in ("PC", "probability", "PC idle USD/h", "USD / 1,000", "time-out s"):
        table.add_column(heading, justify="right")
    for name, one in versions.items():
        table.add_row(
            name,
            "none found" if one.provisioned is None else str(one.provisioned),
            chance_text(one.probability),
            number(one.idle_usd_per_hour),
            number(one.request_usd_per_1000),
            number(one.timeout_s),
        )
    out.print(table)
    for name, one in versions.items():
        out.print(Text(f"{name}: time-out {one.timeout_note}; {one.memory['note']}", style="dim"))
    plan = FittingTable(title="Steps", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in (
        "weight",
        "lasts at least",
        "to bound the quantile",
        "to show +10 %",
        "to see the recorded difference",
    ):
        plan.add_column(heading, justify="right")
    for step in steps:
        cells = (step.duration_s, step.bound_s, step.regression_s, step.apart_s)
        plan.add_row(f"{100 * step.weight:g}%", *(number(cell, " s") for cell in cells))
    out.print(plan)
