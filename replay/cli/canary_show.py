"""How ``tailcast canary`` shows things: people on stderr as it happens, results on stdout, JSON where asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulator.fitting_table import FittingTable
from simulator.terminal import console, number

if TYPE_CHECKING:
    from replay.canary.controller import Controller
    from replay.canary.plan import Plan
    from replay.canary.rehearse.run import Summary
    from replay.canary.start import Prepared


def sayer(as_json: bool) -> Callable[[str, Mapping[str, object]], None]:
    """Give what tells of events: a line on stderr, JSON where results are JSON."""

    def say(subject: str, facts: Mapping[str, object]) -> None:
        now = datetime.now(UTC)
        if as_json:
            click.echo(json.dumps({"at": now.isoformat(), "subject": subject, **facts}, ensure_ascii=False), err=True)
        else:
            click.echo(f"{now:%H:%M:%S}  {subject}: {facts.get('why', '')}", err=True)

    return say


def looker(as_json: bool) -> Callable[[Controller], None] | None:
    """Give what shows each look: one line that is written over on a terminal; nothing elsewhere."""
    if as_json or not sys.stderr.isatty():
        return None

    def show(controller: Controller) -> None:
        state, judge = controller.state, controller.judge
        label = controller.start.plan.steps[state.step].label if state.spans else "0%"
        requests = f"{judge.requests(candidate=False)} + {judge.requests(candidate=True)} requests"
        kept = sum(status.kept for status in judge.statuses())
        text = f"{label} for {judge.elapsed_s:.0f} s, {requests}, {kept} of {len(judge.statuses())} objectives shown"
        click.echo(f"\r\033[K{text}", nl=False, err=True)

    return show


def said(text: str, *, as_json: bool, **facts: Any) -> None:
    """Show one result."""
    click.echo(json.dumps({"text": text, **facts}, ensure_ascii=False, indent=2) if as_json else text)


def preparation(plan: Plan, prepared: Prepared, *, as_json: bool) -> None:
    """Show findings, forecast and how long each step must last."""
    if as_json:
        document = {
            "plan": plan.name,
            "findings": [{"severity": each.severity, "text": each.text} for each in prepared.findings],
            "forecast": [each.to_json() for each in prepared.expectation.figures] if prepared.expectation else None,
            "durations": [vars(each) for each in prepared.durations],
            "reference": prepared.reference.to_json(),
        }
        click.echo(json.dumps(document, ensure_ascii=False), err=True)
        return
    for finding in prepared.findings:
        click.echo(f"{'refused' if finding.severity == 'refuse' else 'note'}: {finding.text}", err=True)
    if prepared.expectation is not None:
        table = FittingTable("step", "variant", "figure", "forecast", "95 % interval", box=box.SIMPLE, title="Forecast")
        for figure in prepared.expectation.figures:
            if figure.estimate is not None:
                table.add_row(
                    figure.step,
                    figure.variant,
                    figure.metric,
                    number(figure.estimate),
                    f"{_short(figure.low)} – {_short(figure.high)}",
                )
        console(stderr=True).print(table)
    if prepared.durations:
        table = FittingTable(
            "step", "objective", "finds a regression as large as the margin in", "shows a sound candidate in",
            box=box.SIMPLE, title="How long each step must last (expected)",
        )  # fmt: skip
        for each in prepared.durations:
            table.add_row(each.step, each.metric, _span(each.find_s), _span(each.pass_s))
        console(stderr=True).print(table)


def status(document: Mapping[str, Any], *, as_json: bool) -> None:
    """Show where a rollout stands."""
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))
        return
    click.echo(
        f"{document['rollout']}  {document['state'].replace('_', ' ')}  {document['function']}:{document['alias']}  "
        f"version {document['baseline']} → {document['candidate']}"
    )
    if document.get("why"):
        click.echo(f"  {document['why']}")
    if document.get("step"):
        requests = document["requests"]
        click.echo(
            f"  step {document['step']} for {_span(document['step_elapsed_s'])}: {requests['baseline']} requests of "
            f"the baseline, {requests['candidate']} of the candidate"
        )
        table = FittingTable("objective", "candidate", "baseline", "broken", "kept", box=box.SIMPLE)
        for each in document["objectives"]:
            table.add_row(
                each["metric"],
                _figure(each["candidate"]),
                _figure(each["baseline"]),
                f"e = {each['e_broken']:.3g} of {each['broken_at']:.3g}",
                "not judged" if each["e_kept"] is None else f"e = {each['e_kept']:.3g} of {each['kept_at']:.3g}",
            )
        console().print(table)
    for text in document.get("surprises", ()):
        click.echo(f"  surprise: {text}")
    seen = document.get("evidence", {})
    if any(seen.get(name) for name in ("late", "duplicates", "incomplete", "blind")):
        click.echo(
            f"  evidence: {seen['looks']} looks, {seen['blind']} of them blind; {seen['late']} late, "
            f"{seen['duplicates']} duplicate, {seen['incomplete']} incomplete requests"
        )
    for row in document.get("decisions", ())[-5:]:
        click.echo(f"  {row['at']}  {row['decision'] or row['kind']}: {row['what']}")


def history(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Show rows of a journal."""
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    if not rows:
        click.echo("no rollout yet")
        return
    table = FittingTable(*(name.replace("_", " ") for name in rows[0]), box=box.SIMPLE)
    for row in rows:
        table.add_row(*(f"{value:.0f}" if isinstance(value, float) else str(value) for value in row.values()))
    console().print(table)


def rehearsal(plan: Plan, summaries: Sequence[Summary], *, as_json: bool) -> None:
    """Show what rehearsals say."""
    if as_json:
        document = {"plan": plan.name, "scenarios": [each.to_json() for each in summaries]}
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    table = FittingTable(
        "scenario", "rolled back", "95 % interval", "promoted", "undecided", "before 100 %", "median", "p90", "harmed",
        box=box.SIMPLE, title=f"Plan {plan.name}: {summaries[0].runs} rehearsals each",
    )  # fmt: skip
    for each in summaries:
        table.add_row(
            each.scenario,
            f"{each.rolled_back:.1%}",
            f"{each.rolled_back_low:.1%} – {each.rolled_back_high:.1%}",
            f"{each.promoted:.1%}",
            f"{each.undecided:.1%}",
            f"{each.before_full:.1%}",
            _span(each.median_s),
            _span(each.p90_s),
            f"{each.harmed_median:.0f}",
        )
    console().print(table)


@contextmanager
def progress(as_json: bool, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on stderr while something long goes on."""
    if as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("rehearsing", total=total)
        yield lambda text: bar.update(task, advance=1, description=text)


def _figure(document: Mapping[str, Any] | None) -> str:
    if document is None:
        return "–"
    scale, unit = (100, " %") if document["unit"] == "share" else (1, f" {document['unit']}")
    low, high = (_short(None if each is None else each * scale) for each in (document["low"], document["high"]))
    return f"{number(document['estimate'] * scale)}{unit} [{low}, {high}] n = {document['requests']}"


def _short(value: float | None) -> str:
    return "?" if value is None else number(value)


def _span(seconds: float | None) -> str:
    if seconds is None or seconds == float("inf"):
        return "–"
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.1f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
