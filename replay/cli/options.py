"""Options that several commands share."""

from __future__ import annotations

import click

endpoint_url = click.option(
    "--endpoint-url", envvar="AWS_ENDPOINT_URL", help="A local cloud's address. Default: AWS, or AWS_ENDPOINT_URL."
)
region = click.option("--region", help="AWS region. Default: what the AWS configuration says.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
state_bucket = click.option(
    "--state-bucket",
    metavar="BUCKET",
    envvar="TAILCAST_STATE_BUCKET",
    help="S3 bucket that keeps a team's state and pins. Default: TAILCAST_STATE_BUCKET, or the state folder.",
)
state_prefix = click.option(
    "--state-prefix",
    default="tailcast",
    show_default=True,
    envvar="TAILCAST_STATE_PREFIX",
    help="Where in the bucket: PREFIX/ENV/.",
)
