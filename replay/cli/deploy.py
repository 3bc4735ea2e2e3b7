"""``tailcast package`` and ``tailcast deploy``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import click

from replay.cli import options
from replay.cli.interrupts import signals_interrupt
from replay.deploy import VARIANTS, Deployment, DeployRequest, Variant, default_state_dir
from replay.deploy import deploy as run_deploy
from replay.deploy import destroy as run_destroy
from replay.deploy import force_unlock as run_force_unlock
from replay.deploy import migrate as run_migrate
from replay.deploy import promote as run_promote
from replay.errors import InputError
from replay.package import build_package
from replay.project import find_project
from simulator.cli.texts import TEXTS

Action = Literal["deploy", "promote", "destroy", "migrate"]

project_option = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The checkout. Default: the one that the current folder lies in.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")


@click.command()
@click.argument("function", default="inference")
@project_option
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the zip. Default: build/.")
@click.option("--python", "python", metavar="3.X", help="Python version to package for. Default: the running one.")
@json_option
def package(function: str, project: Path | None, out: Path | None, python: str | None, as_json: bool) -> None:
    r"""Build the deployment package of FUNCTION (default: inference).

    \b
    Example:
      tailcast package inference --json
    """
    root = find_project(project or Path.cwd())
    built = build_package(function, project=root, out_dir=out or root / "build", python=python)
    if as_json:
        click.echo(json.dumps(asdict(built), default=str))
        return
    click.echo(f"{built.path}  {built.size_bytes / 1024**2:.1f} MiB  python{built.python}  sha256 {built.sha256}")
    if not built.has_bytecode:
        click.echo(f"note: no python{built.python} here, so it holds no bytecode: cold starts take longer", err=True)


@click.command()
@click.option("--env", "env", default="dev", show_default=True, help="Folder of terraform/environments.")
@click.option("--variant", type=click.Choice(VARIANTS), help="Which variant to publish.")
@click.option("--promote", "action", flag_value="promote", help="Make the candidate's version the baseline.")
@click.option("--destroy", "action", flag_value="destroy", help="Destroy everything that was deployed.")
@click.option(
    "--migrate-state", "action", flag_value="migrate", help="Bring the state folder's state into --state-bucket."
)
@click.option("--force-unlock", metavar="ID", help="Release the lock that a killed deployment left in --state-bucket.")
@options.endpoint_url
@click.option("--region", metavar="REGION", help="AWS region. Default: what the environment says.")
@click.option(
    "--var",
    "variables",
    type=TEXTS,
    multiple=True,
    metavar="NAME=VALUE",
    help="Terraform variable; the value may be JSON.",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of state and pins. Default: .tailcast/deploy/ENV of the checkout, one a cloud.",
)
@options.state_bucket
@options.state_prefix
@project_option
@click.option("--yes", is_flag=True, help="Do not ask before changing anything.")
@json_option
def deploy(
    env: str,
    variant: str | None,
    action: str | None,
    endpoint_url: str | None,
    region: str | None,
    variables: tuple[str, ...],
    force_unlock: str | None,
    state_dir: Path | None,
    state_bucket: str | None,
    state_prefix: str,
    project: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    r"""Apply an environment with Terraform: to AWS, or with --endpoint-url to a local cloud.

    A deployment publishes one variant of the function as a version of its own, keeps that version's provisioned
    concurrency ready, and points the variant's alias at it. The traffic stays where it is; `tailcast shift` moves it.

    \b
    Examples:
      tailcast deploy --env dev --variant baseline
      tailcast deploy --env dev --variant optimized --yes --json
      tailcast deploy --variant baseline --endpoint-url http://127.0.0.1:5000 --yes
      tailcast deploy --env prod --variant optimized --state-bucket acme-terraform
      tailcast deploy --env dev --destroy
    """
    chosen = cast("Action", action or "deploy")
    if force_unlock is not None and (action or variant):
        raise InputError("--force-unlock does nothing else; leave the variant and other actions out")
    if chosen == "deploy" and variant is None and force_unlock is None:
        raise InputError(f"--variant is missing; give one of {', '.join(VARIANTS)} (or --promote, --destroy)")
    if chosen != "deploy" and variant is not None:
        raise InputError(f"--variant {variant} goes with a deployment, not with --{chosen}; leave it out")
    root = find_project(project or Path.cwd())
    endpoint = endpoint_url.rstrip("/") if endpoint_url else None
    request = DeployRequest(
        env=env,
        variant=cast("Variant", variant or "baseline"),
        project=root,
        state_dir=state_dir or default_state_dir(root, env, endpoint),
        endpoint_url=endpoint,
        region=region,
        variables=dict(_variable(text) for text in variables),
        progress=lambda line: click.echo(line, err=True),
        confirm=None if yes else _confirm,
        state_bucket=state_bucket,
        state_prefix=state_prefix,
    )
    # A CI job that is cancelled (SIGTERM) gives its lock back, and Terraform the time to write its state.
    with signals_interrupt():
        if force_unlock is not None or chosen == "migrate":
            _on_the_state(request, force_unlock, as_json)
            return
        if chosen == "destroy":
            count = run_destroy(request)
            click.echo(json.dumps({"destroyed": count}) if as_json else f"{count} resources destroyed")
            return
        deployment = run_promote(request) if chosen == "promote" else run_deploy(request)
        click.echo(json.dumps(asdict(deployment)) if as_json else _describe(deployment))


def _on_the_state(request: DeployRequest, lock_id: str | None, as_json: bool) -> None:
    """Release a lock, or without one bring the state into the bucket."""
    if lock_id is not None:
        line = run_force_unlock(request, lock_id)
        click.echo(json.dumps({"released": line}) if as_json else line)
        return
    place = run_migrate(request)
    kept = f"{request.state_dir}/*.migrated"
    click.echo(
        json.dumps({"migrated_to": place}) if as_json else f"the state lies in {place} now; the old one in {kept}"
    )


def _variable(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise InputError(f"--var {text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _confirm(summary: str) -> bool:
    if not sys.stdin.isatty():
        raise InputError("nobody is there to confirm the plan; look at it in a terminal, or give --yes")
    click.echo(f"\n{summary}\n", err=True)
    return click.confirm("Apply this?", err=True)


def _describe(deployment: Deployment) -> str:
    rows = [
        ("function", deployment.function_name),
        ("region", deployment.region),
        ("API", f"{deployment.api_endpoint}/genai"),
        *([("Stream", f"{deployment.stream_url}stream")] if deployment.stream_url else []),
        ("log group", deployment.log_group_name),
        *(
            (variant, f"version {version}, {deployment.provisioned_versions.get(version, 0)} environments kept ready")
            for variant, version in deployment.versions.items()
        ),
        ("changed", "yes" if deployment.changed else "nothing"),
    ]
    return "\n".join(f"{name + ':':<11}{value}" for name, value in rows)
