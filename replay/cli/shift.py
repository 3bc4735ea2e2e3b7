"""``tailcast shift``: move the weights of the live alias."""

from __future__ import annotations

import json

import click

from replay.cli import options


@click.command()
@click.option("--function", required=True, help="Function whose alias to move.")
@click.option("--weight", required=True, help="Share of the new version: 10% or 0.1.")
@click.option("--to-version", default="optimized", show_default=True, help="New version, or an alias that names it.")
@click.option("--from-version", default="baseline", show_default=True, help="Old version, or an alias that names it.")
@click.option("--alias", default="live", show_default=True, help="The weighted alias.")
@click.option("--deadline", "deadline_s", type=float, default=30.0, show_default=True, help="Seconds to be read back.")
@options.endpoint_url
@options.region
@options.as_json
def shift(
    function: str,
    weight: str,
    to_version: str,
    from_version: str,
    alias: str,
    deadline_s: float,
    endpoint_url: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    r"""Give the new version a share of the requests, and read it back.

    At 100% the alias points at the new version alone, at 0% at the old one. A change that somebody else made between
    reading and writing is not overwritten (exit code 4).

    \b
    Examples:
      tailcast shift --function genai-dev --weight 10%
      tailcast shift --function genai-dev --weight 0%           back to the baseline
      tailcast shift --function genai-dev --weight 0.5 --from-version 7 --to-version 8
    """
    from replay.aws import make_client
    from replay.shift import parse_weight
    from replay.shift import shift as move

    share = parse_weight(weight)
    client = make_client("lambda", region=region, endpoint_url=endpoint_url)
    done = move(
        client,
        function,
        to_version=to_version,
        weight=share,
        from_version=from_version,
        alias=alias,
        deadline_s=deadline_s,
    )
    if as_json:
        click.echo(json.dumps(done.to_json(), indent=2))
        return
    shares = ", ".join(f"version {version} {share:.1%}" for version, share in done.after.weights.items())
    click.echo(f"{function}:{alias}: {shares}")
