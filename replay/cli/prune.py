"""``tailcast prune``: delete versions that nothing uses."""

from __future__ import annotations

import json
import sys

import click

from replay.cli import options
from replay.errors import InputError


@click.command()
@click.option("--function", required=True, help="Function whose versions to look through.")
@click.option("--keep", type=int, default=5, show_default=True, help="Newest versions to spare in any case.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.endpoint_url
@options.region
@options.as_json
def prune(
    function: str, keep: int, dry_run: bool, yes: bool, endpoint_url: str | None, region: str | None, as_json: bool
) -> None:
    r"""Delete published versions that no alias points at or weighs in and that have no provisioned concurrency.

    \b
    Examples:
      tailcast prune --function tailcast-prod-inference --dry-run
      tailcast prune --function tailcast-dev-inference --keep 2 --yes
    """
    from replay.aws import make_client
    from replay.prune import plan_prune
    from replay.prune import prune as delete

    client = make_client("lambda", region=region, endpoint_url=endpoint_url)
    plan = plan_prune(client, function, keep=keep)
    deleted: tuple[str, ...] = ()
    if plan.deleted and not dry_run:
        if not yes:
            if not sys.stdin.isatty():
                raise InputError("nobody is there to confirm; look with --dry-run, or give --yes")
            click.confirm(f"Delete version {', '.join(plan.deleted)} of {function}?", abort=True, err=True)
        deleted = delete(client, plan)
    if as_json:
        document = {"function": function, "unused": plan.deleted, "deleted": deleted, "spared": plan.spared}
        click.echo(json.dumps(document, indent=2))
        return
    for version, reason in plan.spared.items():
        click.echo(f"version {version} stays: {reason}")
    for version in plan.deleted:
        what = "deleted" if version in deleted else "would be deleted" if dry_run else "stays: came into use meanwhile"
        click.echo(f"version {version} {what}")
