"""``tailcast key``: the API keys of a deployment."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from replay.cli import options

table_option = click.option("--table", required=True, help="Table of keys: `keys_table` of Terraform's output `auth`.")


@click.group()
def key() -> None:
    """Make, rotate, revoke and list API keys (auth mode api_key)."""


@key.command()
@click.argument("tenant")
@table_option
@click.option("--days", type=click.IntRange(min=1), help="Days that the key is good for. Default: for good.")
@options.endpoint_url
@options.region
@options.as_json
def create(
    tenant: str, table: str, days: int | None, endpoint_url: str | None, region: str | None, as_json: bool
) -> None:
    """Make a key for TENANT and show it, this once."""
    from replay import keys

    made = keys.create(_client(region, endpoint_url), table, tenant, valid_s=None if days is None else days * 86_400)
    click.echo(json.dumps(asdict(made)) if as_json else made.key)


@key.command()
@click.argument("key_id")
@table_option
@click.option(
    "--grace-hours",
    type=click.FloatRange(0, 720),
    default=24.0,
    show_default=True,
    help="Hours that the former secret is good for.",
)
@options.endpoint_url
@options.region
@options.as_json
def rotate(
    key_id: str, table: str, grace_hours: float, endpoint_url: str | None, region: str | None, as_json: bool
) -> None:
    """Give key KEY_ID a new secret and show the new key, this once."""
    from replay import keys

    made = keys.rotate(_client(region, endpoint_url), table, key_id, grace_s=round(grace_hours * 3600))
    click.echo(json.dumps(asdict(made)) if as_json else made.key)


@key.command()
@click.argument("key_id")
@table_option
@options.endpoint_url
@options.region
def revoke(key_id: str, table: str, endpoint_url: str | None, region: str | None) -> None:
    """Make key KEY_ID useless; the gateway notices when its kept answer has run out."""
    from replay import keys

    keys.revoke(_client(region, endpoint_url), table, key_id)
    click.echo(f"key {key_id} is revoked")


@key.command(name="list")
@table_option
@options.endpoint_url
@options.region
@options.as_json
def list_(table: str, endpoint_url: str | None, region: str | None, as_json: bool) -> None:
    """Show all keys, without their secrets."""
    from replay import keys

    rows = keys.list_keys(_client(region, endpoint_url), table)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        state = "revoked" if row.revoked else f"until {_date(row.expires_at)}" if row.expires_at else "good"
        click.echo(f"{row.key_id}  {row.tenant:<24}  made {_date(row.created_at)}  {state}")


def _client(region: str | None, endpoint_url: str | None) -> Any:
    from replay.aws import make_client

    return make_client("dynamodb", region=region, endpoint_url=endpoint_url)


def _date(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M")
