"""Which alias a ``tailcast canary`` command means: its options, and what they stand for in the cloud."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from replay.cli import options
from replay.errors import InputError

if TYPE_CHECKING:
    from replay.canary.journal import Journal
    from replay.canary.live import Place
    from replay.canary.preflight import Target
    from replay.canary.state import RolloutState, Start
    from replay.deploy import DeployRequest


@dataclass(frozen=True)
class Where:
    """The options that say which alias, and which cloud."""

    env: str | None
    function: str | None
    alias: str
    state_dir: Path | None
    state_bucket: str | None
    state_prefix: str
    project: Path | None
    endpoint_url: str | None
    region: str | None
    journal: str
    folder: Path


def with_where(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command has, and hand them over as one value."""
    decorators = (
        click.option("--env", help="Deployed environment: function, versions and pins come from its state."),
        click.option("--function", help="Function, where it was not deployed with `tailcast deploy`."),
        click.option("--alias", default="live", show_default=True, help="The weighted alias."),
        click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="As for `tailcast deploy`."),
        options.state_bucket,
        options.state_prefix,
        click.option("--project", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The checkout."),
        click.option(
            "--journal",
            default="dynamodb",
            show_default=True,
            help="dynamodb (the environment's table, or tailcast-canary), dynamodb:TABLE, or a folder of this machine.",
        ),
        click.option(
            "--records",
            "folder",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path(".tailcast/canary"),
            show_default=True,
            help="Folder that remembers which version to go back to.",
        ),
        options.endpoint_url,
        options.region,
    )

    def gathered(**values: Any) -> None:
        names = Where.__dataclass_fields__
        where = Where(**{name: values.pop(name) for name in names})
        command(where, **values)

    gathered.__name__ = command.__name__
    gathered.__doc__ = command.__doc__
    # Where click's decorators leave the options of a function that is no command yet.
    gathered.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]  # where click keeps them
    result: Callable[..., None] = gathered
    for decorate in reversed(decorators):
        result = decorate(result)
    return result


def _place(where: Where) -> Place:
    from replay.canary.live import Place

    return Place(where.region, where.endpoint_url, where.journal, where.folder)


def _deployment(where: Where) -> DeployRequest:
    from replay.deploy import DeployRequest, default_state_dir
    from replay.project import find_project

    root = find_project(where.project or Path.cwd())
    env = cast("str", where.env)
    return DeployRequest(
        env=env,
        variant="baseline",
        project=root,
        state_dir=where.state_dir or default_state_dir(root, env, where.endpoint_url),
        endpoint_url=where.endpoint_url,
        region=where.region,
        state_bucket=where.state_bucket,
        state_prefix=where.state_prefix,
        progress=lambda line: click.echo(line, err=True),
    )


def located(where: Where) -> tuple[Place, str]:
    """Give place and function; raise :class:`InputError` where neither environment nor function is named."""
    from replay.deploy import describe

    if where.function is not None:
        return _place(where), where.function
    if where.env is None:
        raise InputError("name the alias: --env ENV, or --function NAME")
    found = describe(_deployment(where))
    return _with_own_journal(_place(where), found.journal_table), found.function_name


def _with_own_journal(place: Place, table: str | None) -> Place:
    """Take the environment's table unless another journal is named; Terraform makes it, and nobody else."""
    if table is None or place.journal != "dynamodb":
        return place
    return replace(place, journal=f"dynamodb:{table}", may_create=False)


def resolved(where: Where, baseline: str | None, candidate: str | None) -> tuple[Place, Target, DeployRequest | None]:
    """Give place, target and deployment (None without one); raise :class:`InputError` where a version is missing."""
    from replay.canary.preflight import Target
    from replay.deploy import describe

    place = _place(where)
    if where.env is None:
        if where.function is None or baseline is None or candidate is None:
            raise InputError("give --env ENV, or --function, --baseline and --candidate")
        return place, Target(where.function, where.alias, baseline, candidate), None
    request = _deployment(where)
    found = describe(request)
    old, new = baseline or found.versions.get("baseline"), candidate or found.versions.get("optimized")
    if old is None or new is None:
        missing = "baseline" if old is None else "optimized"
        raise InputError(
            f"env {where.env}: no {missing} is deployed; tailcast deploy --env {where.env} --variant {missing}"
        )
    place = _with_own_journal(place, found.journal_table)
    return place, Target(found.function_name, where.alias, old, new), request


def newest_rollout(where: Where, *, ended: bool = False) -> tuple[Place, Journal, RolloutState, Start]:
    """Give place, journal, state and start of the newest rollout.

    Raises
    ------
    InputError
        No rollout was ever started, or the newest has ended and ``ended`` does not allow that.
    JournalDownError
        The journal does not answer, or is damaged.
    """
    from replay.canary.errors import JournalDownError
    from replay.canary.live import open_journal
    from replay.canary.preflight import Target
    from replay.canary.state import fold

    place, function = located(where)
    journal = open_journal(place, Target(function, where.alias, "", ""))
    rollouts = journal.rollouts()
    if not rollouts:
        raise InputError(f"{function}:{where.alias}: no rollout was ever started; tailcast canary start")
    state = fold(journal.lines(rollouts[-1]))
    if state.start is None:
        raise JournalDownError(
            f"rollout {rollouts[-1]}: its journal does not begin with its start; restore the journal"
        )
    if state.outcome is not None and not ended:
        raise InputError(f"rollout {rollouts[-1]} has ended ({state.outcome.replace('_', ' ')}): {state.why}")
    return place, journal, state, state.start
