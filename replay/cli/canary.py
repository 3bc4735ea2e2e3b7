"""``tailcast canary``: a rollout that decides on evidence, and can be left alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli import options
from replay.cli.canary_rehearse import rehearse
from replay.cli.canary_where import Where, located, newest_rollout, resolved, with_where
from replay.errors import InputError
from simulator.cli.lazy import LazyModule

if TYPE_CHECKING:
    from replay.canary.controller import Controller
    from replay.canary.journal import CommandName, Journal
    from replay.canary.live import SystemClock
    from replay.cli import canary_show as show
else:
    show = LazyModule("replay.cli.canary_show")  # tables and bars: not for --help

_EXIT_NO, _EXIT_CANNOT_TELL = 1, 3


@click.group()
def canary() -> None:
    r"""Roll a candidate out step by step; promote it, wait, or roll it back on evidence.

    \b
    Examples:
      tailcast canary rehearse --plan plan.yaml                  what the plan would find, and how fast
      tailcast canary start --env dev --plan plan.yaml
      tailcast canary start --env dev --plan LambdaCanary10Percent5Minutes
      tailcast canary status --env dev
      tailcast canary abort --env dev                            at once, whatever else is down
    """


@canary.command()
@with_where
@click.option("--plan", "plan_name", default="careful", show_default=True, help="Plan file, or a built-in plan's name.")
@click.option("--baseline", help="Published version that serves. Default: the environment's.")
@click.option("--candidate", help="Published version to roll out. Default: the environment's.")
@click.option(
    "--baseline-trace", type=click.Path(path_type=Path), help="Trace for the forecast. Default: from the logs."
)
@click.option(
    "--candidate-trace", type=click.Path(path_type=Path), help="Trace for the forecast. Default: from the logs."
)
@click.option(
    "--platform",
    "platform_file",
    type=click.Path(path_type=Path),
    help="Platform for the forecast (YAML), laid over what Lambda says.",
)
@click.option("--no-forecast", is_flag=True, help="Start without a forecast.")
@click.option("--no-create-journal", is_flag=True, help="Refuse where the journal's table does not exist.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the forecast.")
@click.option("--force", is_flag=True, help="Start although the preflight refuses; the journal keeps why.")
@click.option("--check-only", is_flag=True, help="Preflight and forecast, then stop.")
@options.as_json
def start(
    where: Where,
    plan_name: str,
    baseline: str | None,
    candidate: str | None,
    baseline_trace: Path | None,
    candidate_trace: Path | None,
    platform_file: Path | None,
    no_forecast: bool,
    no_create_journal: bool,
    seed: int,
    force: bool,
    check_only: bool,
    as_json: bool,
) -> None:
    r"""Check everything, show the forecast of every step, then run the rollout until it has an outcome.

    Exit code 0: promoted. 1: rolled back, stopped, or refused by the preflight. 4: Lambda or the journal did not answer
    for the plan's patience (30 min); the weights stay as they are. SIGTERM and Ctrl-C give the lease back, and `resume`
    goes on.

    \b
    Examples:
      tailcast canary start --env dev --plan plan.yaml
      tailcast canary start --env dev --plan careful --check-only     preflight and forecast alone
      tailcast canary start --function answers --baseline 7 --candidate 8 --journal .tailcast/journal
    """
    from replay.canary.errors import RefusedError
    from replay.canary.live import SystemClock, holder, live_world, open_journal, remember, rollout_id
    from replay.canary.plan_file import read_plan
    from replay.canary.start import prepare
    from replay.canary.state import Start
    from replay.canary.takeover import begin

    plan = read_plan(plan_name)
    place, target, deployment = resolved(where, baseline, candidate)
    say = show.sayer(as_json)
    prepared = prepare(
        place,
        target,
        plan,
        baseline_trace=baseline_trace,
        candidate_trace=candidate_trace,
        platform_file=platform_file,
        with_forecast=not no_forecast,
        seed=seed,
        say=say,
    )
    show.preparation(plan, prepared, as_json=as_json)
    refused = prepared.refusals
    if refused and not force:
        raise RefusedError(
            f"not started: {'; '.join(refused)} (--force starts all the same, and the journal keeps why)"
        )
    if check_only:
        return
    journal = open_journal(place, target, create=not no_create_journal)
    _refuse_unfinished(journal)
    clock = SystemClock()
    world = live_world(place, target, plan, journal, prepared.evidence, deployment, say, clock)
    name = rollout_id(time.time())
    first = Start(
        name,
        replace(plan, source=prepared.source),
        target.function,
        target.alias,
        target.baseline,
        target.candidate,
        prepared.reference,
        prepared.intervals,
        prepared.firing,
        refused,
    )
    remember(place, target, name)
    controller = begin(world, first, holder())
    _run(controller, clock, as_json=as_json)


@canary.command()
@with_where
@options.as_json
def resume(where: Where, as_json: bool) -> None:
    r"""Let a paused rollout go on; where its controller is gone, become its controller.

    \b
    Example:
      tailcast canary resume --env dev
    """
    from replay.canary.journal import leave
    from replay.canary.live import SystemClock, evidence_for, holder, live_world, remember, who
    from replay.canary.preflight import Target
    from replay.canary.takeover import resume as take_over

    place, journal, state, start = newest_rollout(where)
    if journal.holder(time.time()) is not None:
        leave(journal, start.rollout_id, "resume", who(), time.time())
        show.said(f"{start.rollout_id}: asked to go on", as_json=as_json)
        return
    if state.paused is not None:
        leave(journal, start.rollout_id, "resume", who(), time.time())
    target = Target(start.function, start.alias, start.baseline, start.candidate)
    _, _, deployment = resolved(where, start.baseline, start.candidate)
    evidence = evidence_for(place, target, start.plan)
    clock = SystemClock()
    world = live_world(place, target, start.plan, journal, evidence, deployment, show.sayer(as_json), clock)
    remember(place, target, start.rollout_id)
    controller = take_over(world, start.rollout_id, holder())
    _run(controller, clock, as_json=as_json)


@canary.command()
@with_where
@options.as_json
def pause(where: Where, as_json: bool) -> None:
    r"""Hold the rollout where it is. A regression that is found meanwhile is still rolled back.

    \b
    Example:
      tailcast canary pause --env dev
    """
    _command(where, "pause", as_json)


@canary.command()
@with_where
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
def promote(where: Where, yes: bool, as_json: bool) -> None:
    r"""Give the candidate everything now, without waiting for evidence.

    \b
    Example:
      tailcast canary promote --env dev --yes
    """
    if not yes:
        click.confirm("Skip what is left of the evidence and promote the candidate?", abort=True, err=True)
    _command(where, "promote", as_json)


@canary.command()
@with_where
@click.option("--to-version", help="Version to go back to. Default: the one remembered at the start.")
@options.as_json
def abort(where: Where, to_version: str | None, as_json: bool) -> None:
    r"""Send everything to the baseline at once; that needs Lambda alone, neither CloudWatch nor the journal.

    \b
    Examples:
      tailcast canary abort --env dev
      tailcast canary abort --function answers --to-version 7
    """
    from replay.canary.abort import abort_now

    place, function = located(where)
    outcome = abort_now(place, function, where.alias, to_version)
    show.said(outcome.text, as_json=as_json, **outcome.facts)


@canary.command()
@with_where
@options.as_json
def status(where: Where, as_json: bool) -> None:
    r"""Show where the newest rollout stands.

    Exit code 0: running or promoted. 1: rolled back or stopped. 3: paused.

    \b
    Examples:
      tailcast canary status --env dev
      tailcast canary status --function answers --json
    """
    from replay.canary.report import report

    _, journal, state, start = newest_rollout(where, ended=True)
    document = report(journal, start.rollout_id, time.time())
    show.status(document, as_json=as_json)
    if state.outcome in ("rolled_back", "stopped"):
        sys.exit(_EXIT_NO)
    if state.outcome is None and state.paused is not None:
        sys.exit(_EXIT_CANNOT_TELL)


@canary.command()
@with_where
@click.option("--rollout", help="Show this rollout's lines. Default: list all rollouts.")
@click.option("--looks", is_flag=True, help="With the looks, one line each.")
@options.as_json
def history(where: Where, rollout: str | None, looks: bool, as_json: bool) -> None:
    r"""Show every rollout of the alias, or every decision of one.

    \b
    Examples:
      tailcast canary history --env dev
      tailcast canary history --env dev --rollout 20260131T120000Z-1a2b3c --looks
    """
    from replay.canary.live import open_journal
    from replay.canary.preflight import Target
    from replay.canary.report import listing

    place, function = located(where)
    journal = open_journal(place, Target(function, where.alias, "", ""))
    show.history(listing(journal, rollout, looks=looks), as_json=as_json)


canary.add_command(rehearse)


def _refuse_unfinished(journal: Journal) -> None:
    from replay.canary.state import fold

    rollouts = journal.rollouts()
    if rollouts and fold(journal.lines(rollouts[-1])).outcome is None:
        raise InputError(
            f"rollout {rollouts[-1]} has not ended; go on with `tailcast canary resume`, or end it with "
            "`tailcast canary abort`"
        )


def _command(where: Where, name: CommandName, as_json: bool) -> None:
    from replay.canary.journal import leave
    from replay.canary.live import who

    _, journal, _, start = newest_rollout(where)
    if journal.holder(time.time()) is None:
        raise InputError(
            f"rollout {start.rollout_id} has no controller; take it over with `tailcast canary resume`, "
            "or roll it back with `tailcast canary abort`"
        )
    leave(journal, start.rollout_id, name, who(), time.time())
    show.said(f"{start.rollout_id}: asked to {name}", as_json=as_json)


def _run(controller: Controller, clock: SystemClock, *, as_json: bool) -> None:
    from replay.canary.errors import StoppedError
    from replay.canary.stopping import stopping_on_signals

    try:
        with stopping_on_signals(clock.stop):
            state = controller.run(show.looker(as_json))
    except StoppedError as error:
        # The lease is given back, so that `resume` need not wait for it to run out.
        controller.stopped(error)
        click.echo(
            f"{error}: the weights stay as they are; `tailcast canary resume` goes on, `abort` rolls back", err=True
        )
        sys.exit(error.exit_code)
    except BaseException:
        # Whatever it was, nobody should wait until the lease of a controller that is gone runs out.
        controller.close()
        raise
    controller.close()
    facts: Mapping[str, Any] = {
        "rollout": controller.start.rollout_id,
        "outcome": state.outcome,
        "rollback_took_s": controller.rollback_took_s,
    }
    show.said(f"{str(state.outcome).replace('_', ' ')}: {state.why}", as_json=as_json, **facts)
    if state.outcome != "promoted":
        sys.exit(_EXIT_NO)
