"""``tailcast sweep``: every combination of settings, forecast over the same random numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from simulator.cli.forecast import EXIT, platform_from
from simulator.cli.plan import fitted_arrivals, make_platform, plan_arrivals
from simulator.cli.progress import simulating
from simulator.cli.sources import TraceSource, load, load_pair
from simulator.cli.texts import TEXTS
from simulator.cli.workers import scheduler_option, workers_for, workers_option
from simulator.cost import ARCHITECTURES, load_prices
from simulator.errors import ParameterError
from simulator.fitted import rows_of
from simulator.forecast import MIN_REPLICATIONS
from simulator.objective import parse_objectives
from simulator.room import check_room_for
from simulator.sweep.grid import Axis, Scenario, parse_axis, scenarios_of
from simulator.sweep.journal import Journal, digest_of_trace, key_of, opened
from simulator.sweep.memory import memory_notes
from simulator.sweep.run import Question, most_requests, prepare, run_batch
from simulator.sweep.table import check_table, overall, ranked, write_table
from simulator.trace import Trace

_FILE = click.Path(path_type=Path)
_TRACE = TraceSource()
_AXES: Final = ("weight", "pc", "pc-baseline", "pc-optimized", "memory", "scale", "timeout", "keep-alive")
DEFAULT_REPLICATIONS: Final = 100


@click.command("sweep")
@click.option("--baseline", type=_TRACE, required=True, help="Trace of the version that serves today.")
@click.option("--candidate", type=_TRACE, required=True, help="Trace of the version that is to replace it.")
@click.option("--weight", help="Axis: the candidate's share, such as 0.05,0.1 or 5%,10%.  [default: 1]")
@click.option("--pc", help="Axis: provisioned concurrency of each version, such as 0:20.")
@click.option("--pc-baseline", help="Axis: provisioned concurrency of the baseline.")
@click.option("--pc-optimized", help="Axis: provisioned concurrency of the candidate.")
@click.option("--memory", help="Axis: the candidate's memory in MB, such as 512,1024,1769; see below.")
@click.option("--scale", help="Axis: times the load, such as 1:10.  [default: 1]")
@click.option("--timeout", help="Axis: function time-out, seconds.")
@click.option("--keep-alive", help="Axis: seconds that an idle environment lives.")
@click.option(
    "--slo", "--objective", "objectives", type=TEXTS, multiple=True, help="Such as 'p99 < 1500 ms'; may be repeated."
)
@click.option("--rate", type=float, help="Requests a second, Poisson. Default: the baseline's recorded rate.")
@click.option("--arrivals", type=_TRACE, help="Trace whose arrivals are served, instead of --rate.")
@click.option(
    "--arrivals-as", type=click.Choice(["replay", "fitted", "poisson"]), default="replay", show_default=True,
    help="Take them as they are, from a process fitted to them, or Poisson at their rate.",
)  # fmt: skip
@click.option("--duration", "step_duration", type=float, help="Seconds that each scenario is observed.  [default: 300]")
@click.option("--cold-begin", is_flag=True, help="Begin without warm environments, not after the two recordings.")
@click.option("--platform", "platform_file", type=_FILE, help="Limits and policies from a YAML file.")
@click.option("--gateway-timeout", type=float, help="Gateway time-out, seconds.")
@click.option("--prices", type=_FILE, help="TOML with prices of your own, laid over the shipped ones.")
@click.option("--architecture", type=click.Choice(list(ARCHITECTURES)), default=ARCHITECTURES[0], show_default=True)
@click.option(
    "--replications", type=click.IntRange(MIN_REPLICATIONS), default=DEFAULT_REPLICATIONS, show_default=True,
    help="Simulated runs of each scenario.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same sweep.")
@workers_option("one for each core")
@scheduler_option
@click.option("--run-dir", type=_FILE, help="Where results are kept.  [default: runs/sweep-HASH of the inputs]")
@click.option("--fresh", is_flag=True, help="Compute everything anew.")
@click.option("-o", "--out", type=_FILE, multiple=True, help="Also write the table: .csv or .parquet; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def sweep_command(ctx: click.Context, /, **options: Any) -> None:
    r"""Forecast every combination of settings, all over the same random numbers.

    An axis takes values (0,5,10), a range (0:20, both ends; 0:20:5 by steps) or several of these. A scenario's figures
    are those that `tailcast forecast` gives for its settings: one step of that weight, load and length. Results are
    kept as they are done; a sweep that was killed goes on where it was when it is started again.

    --memory takes the candidate's own time (the handler without the model's call) to run in inverse proportion to the
    CPU that Lambda allots with memory, up to one vCPU at 1,769 MB; INIT stays as recorded.

    With --slo the command exits with 0 where some scenario meets it with 95 % probability, 1 where every scenario
    misses it with as much, and 3 where the data cannot tell.

    \b
    Examples:
      tailcast sweep --baseline baseline.parquet --candidate optimized.parquet \
          --pc-optimized 0:20 --weight 5%,10%,50% --slo "p99 < 1500 ms"
      tailcast sweep --baseline baseline.parquet --candidate optimized.parquet \
          --memory 512,1024,1769 --scale 1:10 --out sweep.csv
    """
    for target in options["out"]:
        check_table(target)
    baseline, candidate = load_pair(options)
    axes = [parse_axis(name, options[_field(name)]) for name in _AXES if options[_field(name)] is not None]
    scenarios = scenarios_of(axes)
    question = _question(options, baseline, candidate)
    notes = [note for axis in axes if axis.name == "memory" for note in _memory_notes(question, axis)]
    inputs = _inputs(options, question, scenarios)
    folder = options["run_dir"] or Path("runs") / f"sweep-{key_of(inputs)}"
    with workers_for(options) as workers, opened(folder, inputs, fresh=options["fresh"]) as journal:
        left = [index for index in range(len(scenarios)) if index not in journal.done]
        if journal.done:
            click.echo(f"{folder}: {len(journal.done):,} of {len(scenarios):,} scenarios were done already", err=True)
        with _telling(folder, journal, len(scenarios)):
            prepared = prepare(question, scenarios, left)
            attempts = question.platform.client.max_attempts
            check_room_for(workers, most_requests(prepared), attempts, len(prepared.batches))
            with simulating(len(left), "scenarios") as advance:
                batches = range(len(prepared.batches))
                for _, results in workers.map(run_batch, prepared, batches):
                    journal.write(results)
                    for _ in results:
                        advance(len(journal.done), len(scenarios))
        rows = [journal.done[index] for index in range(len(scenarios))]
    for target in options["out"]:
        write_table(rows, target)
    verdict = overall(rows)
    if options["as_json"]:
        document = {
            "axes": [asdict(axis) for axis in axes],
            "scenarios": rows,
            "best": ranked(rows)[0]["scenario"],
            "verdict": verdict,
            "notes": notes,
            "latency": prepared.latency,
            "seed": options["seed"],
            "run": str(folder),
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        from simulator.cli.sweep_show import print_sweep

        print_sweep(axes, rows, notes, seed=options["seed"])
    ctx.exit(0 if verdict is None else EXIT[verdict])


def _field(axis: str) -> str:
    return axis.replace("-", "_")


def _question(options: Mapping[str, Any], baseline: Trace, candidate: Trace) -> Question:
    # What is an axis here is one value of the platform in a forecast.
    plain = {**options, **dict.fromkeys(map(_field, _AXES))}
    platform, keep_alive = make_platform(plain, baseline, platform_from(options["platform_file"]))
    names = platform.names
    return Question(
        traces={names[0]: rows_of(baseline, names[0]), names[1]: rows_of(candidate, names[1])},
        arrivals=plan_arrivals(plain, baseline, fitted_arrivals(options)),
        platform=platform,
        objectives=tuple(one for text in options["objectives"] for one in parse_objectives(text)),
        keep_alive=keep_alive,
        prices=load_prices(options["prices"]),
        architecture=options["architecture"],
        replications=options["replications"],
        seed=options["seed"],
        warm=not options["cold_begin"],
    )


def _memory_notes(question: Question, axis: Axis) -> list[str]:
    name = question.platform.names[1]
    return memory_notes(question.traces[name], name, [int(size) for size in axis.values])


def _inputs(options: Mapping[str, Any], question: Question, scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """Give all that the results depend on, as JSON types."""
    arrivals = options["arrivals"]
    return {
        "traces": {name: digest_of_trace(trace) for name, trace in question.traces.items()},
        "arrivals": None if arrivals is None else digest_of_trace(load(arrivals)),
        **{name: options[name] for name in ("arrivals_as", "rate", "step_duration", "architecture", "seed")},
        "cold_begin": options["cold_begin"],
        "replications": options["replications"],
        "platform": repr(question.platform),
        "prices": hashlib.sha256(repr(question.prices).encode()).hexdigest(),
        "objectives": [str(one) for one in question.objectives],
        "scenarios": [scenario.to_json() for scenario in scenarios],
    }


@contextmanager
def _telling(folder: Path, journal: Journal, scenarios: int) -> Iterator[None]:
    """Say where an interrupted sweep can go on."""
    try:
        yield
    except KeyboardInterrupt:
        done = len(journal.done)
        click.echo(
            f"{done:,} of {scenarios:,} scenarios are kept in {folder}; the same command goes on there", err=True
        )
        raise
    except OSError as error:
        raise ParameterError(
            f"{folder}: cannot keep the results ({error.strerror}); make room, or choose --run-dir"
        ) from error
