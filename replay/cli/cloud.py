"""``tailcast cloud``: start, show and end local clouds."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import click

from replay.cloud import named
from replay.cloud.config import INIT_MODES, CloudConfig, read_config
from replay.cloud.launcher import start_server, stop_process
from replay.errors import InputError, LocalCloudError

_NAME = click.option("--name", default="default", show_default=True, help="Which cloud; several may run side by side.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def cloud() -> None:
    r"""Run the local cloud: an AWS on loopback that runs functions for real.

    \b
    Examples:
      eval "$(tailcast cloud up)"      start it and point this shell at it
      tailcast cloud status
      tailcast cloud down
    """


@cloud.command()
@_NAME
@click.option("--port", type=click.IntRange(0, 65_535), help="Loopback port; 0 takes a free one.  [default: 0]")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Settings (TOML).")
@click.option("--init", type=click.Choice(INIT_MODES), help="Start environments for real, or replay a recorded INIT.")
@click.option("--seed", type=click.IntRange(0), help="Of every random draw.")
@click.option("--detach/--foreground", default=True, show_default=True, help="Return at once, or stay until Ctrl-C.")
@_JSON
def up(
    name: str,
    port: int | None,
    config_file: Path | None,
    init: str | None,
    seed: int | None,
    detach: bool,
    as_json: bool,
) -> None:
    r"""Start a cloud; print the ``export`` lines that point a shell at it. Started twice is started once.

    \b
    Examples:
      eval "$(tailcast cloud up)"
      tailcast cloud up --name slow --config cloud.toml --json
      tailcast cloud up --foreground --port 4566
    """
    config = read_config(config_file, port=port, init=init, seed=seed)
    if detach:
        running, started = named.up(name, config)
        _show(running, as_json)
        if not started:
            click.echo(f"cloud {name!r} was running already, with its own settings", err=True)
        return
    _foreground(name, config, as_json)


@cloud.command()
@click.option("--name", help="Only this cloud; exit code 1 where it does not run.")
@_JSON
def status(name: str | None, as_json: bool) -> None:
    r"""Show the clouds that were started here.

    \b
    Examples:
      tailcast cloud status
      tailcast cloud status --name default --json
    """
    if name is None:
        found = named.everything()
    else:
        one = named.find(name)
        found = [] if one is None else [one]
    rows = [(item, named.healthy(item)) for item in found]
    if as_json:
        click.echo(json.dumps([{**asdict(item), "running": running} for item, running in rows], indent=2))
    elif not rows:
        click.echo("no local cloud; start one with `tailcast cloud up`" if name is None else f"no cloud {name!r}")
    else:
        for item, running in rows:
            state = "running" if running else "not running"
            click.echo(f"{item.name}\t{state}\t{item.endpoint_url}\tpid {item.pid}\t{item.log}")
    if name is not None and not any(running for _, running in rows):
        sys.exit(1)


@cloud.command()
@_NAME
@click.option("--all", "every", is_flag=True, help="End every cloud that was started here.")
@_JSON
def down(name: str, every: bool, as_json: bool) -> None:
    r"""End a cloud. Ended twice is ended once.

    \b
    Examples:
      tailcast cloud down
      tailcast cloud down --all
    """
    ended = []
    for target in [item.name for item in named.everything()] if every else [name]:
        ran = named.down(target)
        ended.append({"name": target, "was_running": ran})
        click.echo(f"cloud {target!r}: {'ended' if ran else 'was not running'}", err=True)
    if as_json:
        click.echo(json.dumps(ended, indent=2))


def _show(item: named.NamedCloud, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**asdict(item), "environment": item.environment()}, indent=2))
        return
    for variable, value in item.environment().items():
        click.echo(f"export {variable}={value}")


def _foreground(name: str, config: CloudConfig, as_json: bool) -> None:
    """Run a cloud until this command is told to end."""
    known = named.find(name)
    if known is not None and known.running:
        raise InputError(
            f"cloud {name!r} runs already, at {known.endpoint_url}; end it (tailcast cloud down --name {name}), or "
            "give another --name"
        )
    folder = config.state_dir or named.STATE_DIR / name
    running = start_server(config, folder)
    try:
        item = named.describe(name, running.process.pid, running.endpoint_url, config.region, running.log)
        signal.signal(signal.SIGTERM, _interrupt)
        _show(item, as_json)
        click.echo(f"cloud {name!r} at {running.endpoint_url}; Ctrl-C ends it", err=True)
        code = running.process.wait()
        raise LocalCloudError(f"local cloud {name!r}: the server ended with exit code {code}; see {running.log}")
    except KeyboardInterrupt:
        click.echo(f"cloud {name!r}: ended", err=True)
    finally:
        stop_process(running.process)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (a signal handler's arguments)
    raise KeyboardInterrupt
