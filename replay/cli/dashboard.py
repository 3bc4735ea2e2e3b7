"""``tailcast dashboard``: the deployment's figures in the terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from replay.cli import options
from replay.errors import InputError

NAME = "tailcast"
"""What Terraform's variable ``name`` is unless it is set."""


@click.group()
def dashboard() -> None:
    r"""Look at the figures of a deployment's dashboard.

    \b
    Example:
      tailcast dashboard show --env dev
    """


@dashboard.command()
@click.option("--env", help="Environment: the function that Terraform names tailcast-ENV-inference.")
@click.option("--function", help="Another function.")
@click.option("--api-id", help="The HTTP API before it.  [default: with --env, the one that Terraform names so]")
@click.option(
    "--since", default="-1h", show_default=True, help="ISO 8601 time (UTC where no zone is given), -15m, -2h."
)
@click.option("--period", "period_s", type=int, default=60, show_default=True, help="Seconds of a period.")
@options.endpoint_url
@options.region
@options.as_json
def show(
    env: str | None,
    function: str | None,
    api_id: str | None,
    since: str,
    period_s: int,
    endpoint_url: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    r"""Show the dashboard's figures from CloudWatch metrics: by version, and of the function and its API.

    Duration p50, p95, p99, inference share, first token, tokens, cost, caches, failures and use of provisioned
    concurrency by version; INIT (mean and max of 5 minutes), concurrency and throttles of the function. What has no
    data is named. "highest" is the highest period's, since percentiles of periods cannot be joined.

    \b
    Examples:
      tailcast dashboard show --env dev
      tailcast dashboard show --function tailcast-prod-inference --since -1d --period 900 --json
    """
    from replay.aws import make_client
    from replay.dashboard import Window, collect, scope_of
    from replay.dashboard.show import print_board
    from replay.timespan import parse_time
    from simulator.terminal import console

    if (env is None) == (function is None):
        raise InputError("give --env or --function, one of the two")
    now = datetime.now(UTC)
    window = Window(parse_time(since, now=now), now, period_s)
    name = function or f"{NAME}-{env}-inference"
    scope = scope_of(make_client("lambda", region=region, endpoint_url=endpoint_url), name, api_id)
    if api_id is None and env is not None:
        from dataclasses import replace

        from replay.dashboard.collect import api_named

        gateway = make_client("apigatewayv2", region=region, endpoint_url=endpoint_url)
        scope = replace(scope, api_id=api_named(gateway, f"{NAME}-{env}"))
    board = collect(make_client("cloudwatch", region=region, endpoint_url=endpoint_url), scope, window)
    if as_json:
        click.echo(json.dumps(board.to_json(), indent=2))
    else:
        print_board(board, console())
