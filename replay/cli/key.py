"""``tailcast key``: the API keys of a deployment."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from replay.cli import options

table_option = click.option("--table", required=True, help="Table of keys: `keys_table` of Terraform's output `auth`.")


rate_option = click.option("--rate", type=float, metavar="RPS", help="Requests a second that the key may make.")
burst_option = click.option("--burst", type=int, help="Requests that it may make at once. Default: two seconds' worth.")


@click.group()
def key() -> None:
    r"""Make, rotate, revoke and list API keys (auth mode api_key).

    \b
    Examples:
      tailcast key create acme --table tailcast-prod-api-keys
      tailcast key list --table tailcast-prod-api-keys
    """


@key.command()
@click.argument("tenant")
@table_option
@click.option("--days", type=click.IntRange(1, 36_500), help="Days that the key is good for. Default: for good.")
@rate_option
@burst_option
@options.endpoint_url
@options.region
@options.as_json
def create(
    tenant: str,
    table: str,
    days: int | None,
    rate: float | None,
    burst: int | None,
    endpoint_url: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    r"""Make a key for TENANT and show it, this once.

    A key with a rate of its own gets 429 with Retry-After beyond it; one without is bounded by the gateway alone.

    \b
    Examples:
      tailcast key create acme --table tailcast-prod-api-keys
      tailcast key create acme --table tailcast-prod-api-keys --rate 5 --burst 10 --days 90
    """
    from replay import keys

    allowed = keys.Rate.of(rate, burst)
    valid_s = None if days is None else days * 86_400
    made = keys.create(_client(region, endpoint_url), table, tenant, valid_s=valid_s, rate=allowed)
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
    r"""Give key KEY_ID a new secret and show the new key, this once.

    \b
    Example:
      tailcast key rotate k1a2b3c4 --table tailcast-prod-api-keys --grace-hours 1
    """
    from replay import keys

    made = keys.rotate(_client(region, endpoint_url), table, key_id, grace_s=round(grace_hours * 3600))
    click.echo(json.dumps(asdict(made)) if as_json else made.key)


@key.command()
@click.argument("key_id")
@table_option
@rate_option
@burst_option
@options.endpoint_url
@options.region
@options.as_json
def limit(
    key_id: str,
    table: str,
    rate: float | None,
    burst: int | None,
    endpoint_url: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    r"""Give key KEY_ID another rate, or without --rate none; the gateway notices when its kept answer has run out.

    \b
    Examples:
      tailcast key limit k1a2b3c4 --table tailcast-prod-api-keys --rate 5 --burst 10
      tailcast key limit k1a2b3c4 --table tailcast-prod-api-keys
    """
    from replay import keys

    allowed = keys.Rate.of(rate, burst)
    keys.limit(_client(region, endpoint_url), table, key_id, allowed)
    at_once = allowed.burst if allowed else None
    if as_json:
        click.echo(json.dumps({"key_id": key_id, "rate_rps": rate, "burst": at_once}))
        return
    click.echo(f"key {key_id}: {_rate(rate, at_once) or 'no rate of its own'}")


@key.command()
@click.argument("key_id")
@table_option
@options.endpoint_url
@options.region
@options.as_json
def revoke(key_id: str, table: str, endpoint_url: str | None, region: str | None, as_json: bool) -> None:
    r"""Make key KEY_ID useless; the gateway notices when its kept answer has run out.

    \b
    Example:
      tailcast key revoke k1a2b3c4 --table tailcast-prod-api-keys
    """
    from replay import keys

    keys.revoke(_client(region, endpoint_url), table, key_id)
    click.echo(json.dumps({"key_id": key_id, "revoked": True}) if as_json else f"key {key_id} is revoked")


@key.command(name="list")
@table_option
@options.endpoint_url
@options.region
@options.as_json
def list_(table: str, endpoint_url: str | None, region: str | None, as_json: bool) -> None:
    r"""Show all keys, without their secrets.

    \b
    Example:
      tailcast key list --table tailcast-prod-api-keys --json
    """
    from replay import keys

    rows = keys.list_keys(_client(region, endpoint_url), table)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        state = "revoked" if row.revoked else f"until {_date(row.expires_at)}" if row.expires_at else "good"
        made, rate = _date(row.created_at), _rate(row.rate_rps, row.burst)
        click.echo(f"{row.key_id}  {row.tenant:<24}  made {made}  {state}  {rate}".rstrip())


def _rate(rate_rps: float | None, burst: int | None) -> str:
    return "" if rate_rps is None else f"{rate_rps:g} a second, {burst} at once"


def _client(region: str | None, endpoint_url: str | None) -> Any:
    from replay.aws import make_client

    return make_client("dynamodb", region=region, endpoint_url=endpoint_url)


def _date(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M")
