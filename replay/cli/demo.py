"""``tailcast demo``: the whole path once, on the local cloud."""

from __future__ import annotations

import json
import signal
import sys
from datetime import datetime
from pathlib import Path

import click

from replay.cli import options
from replay.cli.interrupts import signals_interrupt
from replay.errors import InputError
from replay.project import find_project

_INTERRUPTED = 130


@click.command()
@click.option("--run-dir", type=click.Path(path_type=Path), help="Folder for traces and results.  [default: runs/TIME]")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of arrivals, weights, latencies.")
@click.option(
    "--init",
    type=click.Choice(("replayed", "real")),
    default="replayed",
    show_default=True,
    help="replayed: environments fork from a preloaded process and wait out an INIT drawn from a recording, because a "
    "burst of real starts slows itself down on few cores. real: each starts an interpreter.",
)
@click.option("--rate", "rate_rps", type=float, default=9.0, show_default=True, help="Requests a second.")
@click.option("--step-duration", "step_s", type=float, default=30.0, show_default=True, help="Seconds of each step.")
@click.option("--keep", is_flag=True, help="Keep Terraform's state and the cloud's log in the run folder.")
@options.as_json
def demo(run_dir: Path | None, seed: int, init: str, rate_rps: float, step_s: float, keep: bool, as_json: bool) -> None:
    r"""Go the whole path once on this machine: deploy, record, forecast, shift, compare.

    Starts a local cloud, deploys two variants of the inference API to it with Terraform, drives and records both,
    forecasts a rollout at 10, 50 and 100 %, shifts the traffic under load, and shows forecast beside fact. Takes about
    four minutes and needs neither account nor network. Everything that it starts has ended when it ends.

    \b
    Examples:
      tailcast demo
      tailcast demo --seed 2 --run-dir runs/second --json
    """
    from rich.console import Console

    from replay.demo import STEPS, Demo, DemoPlan
    from replay.demo.display import make_display
    from replay.demo.results import print_results
    from simulator.terminal import console

    plan = DemoPlan(seed=seed, init=init, rate_rps=rate_rps, step_s=step_s)
    project = find_project(Path.cwd())
    folder = project / "runs" / datetime.now().strftime("%Y%m%d-%H%M%S") if run_dir is None else run_dir
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"--run-dir {folder}: not empty; name a new folder")
    display = make_display(STEPS, Console(stderr=True, highlight=False))
    try:
        with signals_interrupt():
            results = Demo(plan, project, folder, display, keep=keep).run()
    except KeyboardInterrupt:
        # An interpreter that is leaving dies of a further Ctrl-C, with an exit code that says so.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        click.echo(f"interrupted; everything was torn down, what was measured is in {folder}", err=True)
        sys.exit(_INTERRUPTED)
    if run_dir is None:
        _point_last_to(folder)
    if as_json:
        click.echo(json.dumps(results.document, indent=2))
    else:
        print_results(results, console())


def _point_last_to(folder: Path) -> None:
    """Make ``runs/last`` name the newest run; where links are not to be had, do without."""
    beside = folder.parent / ".last"
    try:
        beside.unlink(missing_ok=True)
        beside.symlink_to(folder.name, target_is_directory=True)
        beside.replace(folder.parent / "last")
    except OSError:
        pass
