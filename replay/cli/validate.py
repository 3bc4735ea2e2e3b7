"""``tailcast validate``: forecasts held against the local cloud, case by case."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from replay.cli import options
from replay.cli.interrupts import signals_interrupt
from replay.errors import InputError
from replay.project import find_project
from simulator.cli.texts import TEXTS

_INTERRUPTED = 130


@click.command()
@click.option("--run-dir", type=click.Path(path_type=Path), help="Folder of the study; one that is there is completed.")
@click.option(
    "--only", type=TEXTS, multiple=True, metavar="TEXT", help="Only cases whose name holds TEXT; may be repeated."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Other seeds are other experiments.")
@click.option("--side-by-side", type=click.IntRange(1, 8), default=2, show_default=True, help="Cases at a time.")
@click.option("--list", "list_only", is_flag=True, help="Name the cases and end.")
@options.as_json
@click.pass_context
def validate(
    ctx: click.Context,
    run_dir: Path | None,
    only: tuple[str, ...],
    seed: int,
    side_by_side: int,
    list_only: bool,
    as_json: bool,
) -> None:
    r"""Hold forecasts against the local cloud: bursts, weights, quotas, time-outs and limits that no recording showed.

    Each case starts a local cloud, records two variants on it for half a minute, forecasts what a heavier load or a
    tighter limit will do, writes that down, and lets it happen. A case during which this machine was too busy to keep
    time is repeated, and counted. A study that was interrupted is completed by naming its folder again.

    Exits with 0 where p99, cold starts, throttles and time-outs each lie inside their 95 % intervals in at least 90 %
    of the cases, 1 where not, and 3 where no case could be counted.

    \b
    Examples:
      tailcast validate
      tailcast validate --only "burst 10x" --only quota --seed 7 --json
    """
    # Imported here: the command's help needs none of it.
    from replay.package import build_package
    from replay.validate.cases import CASES
    from replay.validate.report import print_study, summarise, to_markdown
    from replay.validate.study import Study
    from simulator.files import write_text
    from simulator.terminal import console

    cases = tuple(case for case in CASES if not only or any(text in case.name for text in only))
    if not cases:
        raise InputError(f"--only {' '.join(only)}: no case's name holds it; see tailcast validate --list")
    if list_only:
        for case in cases:
            click.echo(case.name)
        return
    project = find_project(Path.cwd())
    folder = (run_dir or project / "runs" / f"validate-{datetime.now().strftime('%Y%m%d-%H%M%S')}").resolve()
    package = build_package("inference", project=project, out_dir=folder / "package")
    try:
        with signals_interrupt():
            documents = Study(cases, folder, package, seed, side_by_side).run(_Lines(len(cases)))
    except KeyboardInterrupt:
        click.echo(f"interrupted; go on with: tailcast validate --seed {seed} --run-dir {folder}", err=True)
        sys.exit(_INTERRUPTED)
    summary = summarise(documents)
    write_text(folder / "validation.md", to_markdown(documents, summary))
    if as_json:
        click.echo(json.dumps({"summary": summary, "cases": documents, "run_dir": str(folder)}, indent=2))
    else:
        print_study(documents, summary, console())
    ctx.exit((0 if summary["met"] else 1) if summary["counted"] else 3)


class _Lines:
    """Says on standard error how far the study is: a line when a case begins or ends."""

    def __init__(self, cases: int) -> None:
        self._cases = cases
        self._ended: set[str] = set()

    def began(self, case: str, tried: int) -> None:
        self._line(f"{case}: begins" + (f", try {tried}" if tried > 1 else ""))

    def said(self, case: str, text: str) -> None:
        if sys.stderr.isatty():
            self._line(f"{case}: {text}")

    def ended(self, case: str, document: dict[str, Any]) -> None:
        why = document["busy"] or document["failed"]
        if why is not None:
            self._line(f"{case}: does not count ({why})")
            return
        self._ended.add(case)
        out = [name for name, figure in document["figures"].items() if not figure["inside"]]
        self._line(f"{case}: {'outside: ' + ', '.join(out) if out else 'all inside'}")

    def _line(self, text: str) -> None:
        click.echo(f"[{len(self._ended)}/{self._cases}] {text}", err=True)
