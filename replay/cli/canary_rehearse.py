"""``tailcast canary rehearse``: a plan against regressions, in simulated time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from replay.cli import options
from replay.errors import InputError
from simulator.cli.lazy import LazyModule
from simulator.cli.texts import TEXTS

if TYPE_CHECKING:
    from replay.canary.plan import Plan
    from replay.canary.rehearse.run import MakeTraffic
    from replay.cli import canary_show as show
    from simulator.engine.select import EngineName
else:
    show = LazyModule("replay.cli.canary_show")  # tables and bars: not for --help


@click.command()
@click.option("--plan", "plan_name", default="careful", show_default=True, help="Plan file, or a built-in plan's name.")
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True, help="Rehearsals of each scenario.")
@click.option("--rate", type=float, default=10.0, show_default=True, help="Requests a second.")
@click.option(
    "--baseline-trace",
    type=click.Path(path_type=Path),
    help="Trace of the baseline: its latencies, and with an engine its cold starts and their drift.",
)
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["none", "auto", "reference", "compiled"]),
    help="Simulator's engine that requests go through; none: independent draws, faster. "
    "Default: auto with --baseline-trace, else none.",
)
@click.option(
    "--platform", "platform_file", type=click.Path(path_type=Path), help="Platform for the engine (YAML), over AWS's."
)
@click.option("--scenario", "wanted", type=TEXTS, multiple=True, help="Only scenarios whose name holds this text.")
@click.option("--hours", type=float, default=3.0, show_default=True, help="Longest rollout, simulated hours.")
@click.option("--seed", type=int, default=1, show_default=True)
@options.as_json
def rehearse(
    plan_name: str,
    runs: int,
    rate: float,
    baseline_trace: Path | None,
    engine_name: Literal["none"] | EngineName | None,
    platform_file: Path | None,
    wanted: tuple[str, ...],
    hours: float,
    seed: int,
    as_json: bool,
) -> None:
    r"""Run the plan's own controller in simulated time against regressions: what it finds, how fast, at what cost.

    \b
    Examples:
      tailcast canary rehearse --plan plan.yaml --rate 20
      tailcast canary rehearse --plan careful --baseline-trace before.parquet --scenario p99 --runs 1000
    """
    from replay.canary.plan_file import read_plan
    from replay.canary.rehearse.run import rehearse_many
    from replay.canary.rehearse.scenario import standard, with_latencies
    from replay.canary.rehearse.world import Traffic

    if not rate > 0 or not hours > 0:
        raise InputError(f"rate {rate:g} and hours {hours:g} must be above 0")
    plan = read_plan(plan_name)
    scenarios = [
        scenario
        for scenario in standard(rate)
        if not wanted or any(text.lower() in scenario.name.lower() for text in wanted)
    ]
    if not scenarios:
        raise InputError(f"scenario {wanted[0]!r}: none of {', '.join(each.name for each in standard(rate))}")
    engine_name = engine_name or ("none" if baseline_trace is None else "auto")
    if platform_file is not None and engine_name == "none":
        raise InputError("--platform: only an engine has a platform; give --engine auto too")
    make_traffic: MakeTraffic = Traffic
    if engine_name != "none":
        make_traffic = _engine_traffic(plan, baseline_trace, engine_name, platform_file, hours * 3600)
    elif baseline_trace is not None:
        scenarios = with_latencies(scenarios, baseline_trace)
    with show.progress(as_json, len(scenarios) * runs) as advance:
        summaries = [
            rehearse_many(
                plan,
                scenario,
                runs=runs,
                seed=seed,
                at_most_s=hours * 3600,
                progress=advance,
                make_traffic=make_traffic,
            )
            for scenario in scenarios
        ]
    show.rehearsal(plan, summaries, as_json=as_json)


def _engine_traffic(
    plan: Plan, trace: Path | None, engine_name: EngineName, platform_file: Path | None, at_most_s: float
) -> MakeTraffic:
    """Give what makes the traffic of rehearsals that go through the simulator's engine."""
    from replay.canary.rehearse.engine_traffic import EngineSettings, service_of, trace_of
    from replay.canary.rehearse.scenario import LatencyModel
    from simulator.engine.select import engine
    from simulator.platform import Platform
    from simulator.platform_file import read_platform
    from simulator.trace import read_trace

    service = service_of(read_trace(trace) if trace is not None else trace_of(LatencyModel()))
    platform = Platform() if platform_file is None else read_platform(platform_file)
    return EngineSettings(service, platform, plan.history_s, at_most_s, engine(engine_name)).traffic()
