"""The ``tailcast`` command: one group that joins the simulator's commands (files only) and those that need a cloud.

Exit codes, the same for every command:

0   done, or the objective is met
1   done, and the answer is no: an objective missed, a figure outside its interval
2   bad usage or bad input; one line on stderr says what to change
3   done, and the data cannot tell: inconclusive
4   the operation failed: cloud, Terraform or network
130 interrupted
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import click

from replay.errors import ReplayError
from simulator.cli import COMMANDS as SIMULATOR_COMMANDS
from simulator.cli.lazy import LazyGroup, Table
from simulator.cli.world import World
from simulator.errors import SimulatorError
from simulator.parallel import Workers

COMMANDS: Final[Table] = {
    **SIMULATOR_COMMANDS,
    "cloud": (
        "replay.cli.cloud:cloud",
        "Run the local cloud: an AWS on loopback that runs functions for real.",
    ),
    "package": (
        "replay.cli.deploy:package",
        "Build a function's deployment package, byte for byte reproducible.",
    ),
    "deploy": (
        "replay.cli.deploy:deploy",
        "Apply an environment with Terraform, to AWS or to the local cloud.",
    ),
    "drive": ("replay.cli.drive:drive", "Send open-loop load and measure what the caller sees."),
    "record": ("replay.cli.record:record", "Record a trace from CloudWatch Logs."),
    "shift": ("replay.cli.shift:shift", "Move the weights of the live alias."),
    "bench": (
        "replay.cli.bench:bench",
        "Measure Bedrock models: first token, total and cost, with intervals.",
    ),
    "canary": (
        "replay.cli.canary:canary",
        "Roll out step by step; promote, wait or roll back on evidence.",
    ),
    "dashboard": (
        "replay.cli.dashboard:dashboard",
        "Show a deployment's dashboard in the terminal, from CloudWatch.",
    ),
    "prune": ("replay.cli.prune:prune", "Delete old versions that nothing uses."),
    "key": ("replay.cli.key:key", "Make, rotate and revoke API keys of a deployment."),
    "demo": ("replay.cli.demo:demo", "The whole path once, on the local cloud."),
    "validate": ("replay.cli.validate:validate", "Hold forecasts against the local cloud, case by case."),
}


class Program(LazyGroup):
    """The root: known errors become one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except SimulatorError as error:
            _fail(str(error), 2)
        except ReplayError as error:
            _fail(str(error), error.exit_code)
        except BrokenPipeError:
            raise
        except OSError as error:
            # A file that cannot be written or read: the operating system's reason says enough.
            if error.filename is None:
                raise
            _fail(f"{error.filename}: {error.strerror or error}; name another file or folder", 2)
        except MemoryError as error:
            reason = str(error).splitlines()[0] if str(error) else "no reason given"
            _fail(f"out of memory ({reason}); ask for fewer requests: shorter steps, a lower rate, smaller traces", 2)
        except KeyboardInterrupt:
            # click's own answer is exit code 1, which here means "done, and the answer is no".
            click.echo("interrupted", err=True)
            sys.exit(130)


def _fail(message: str, code: int) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


@click.group(
    cls=Program,
    table=COMMANDS,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "TAILCAST",
        "max_content_width": 110,
    },
)
@click.version_option(package_name="tailcast")
@click.pass_context
def main(ctx: click.Context) -> None:
    r"""Forecast the tail before you ship it.

    tailcast deploys two variants of an API on AWS Lambda and Bedrock, records what each really did, forecasts
    p50, p95, p99 and cost of every step of a rollout, and afterwards holds the forecast against what happened.

    \b
    Examples:
      tailcast demo                              the whole path once, on this machine
      tailcast trace show runs/last/baseline.parquet
      tailcast forecast --baseline baseline.parquet --candidate optimized.parquet --weights 10,50,100
    """
    ctx.obj = World(_storage_options, _connect)


def _storage_options() -> Mapping[str, str]:
    """Say where object storage lies, to the simulator's commands that read a trace from it."""
    from replay.storage import storage_options

    return storage_options(os.environ)


def _connect(address: str) -> AbstractContextManager[Workers]:
    """Give the workers of a Dask cluster to the simulator's commands."""
    from replay.cluster import cluster

    return cluster(address)
