"""What is asked of a deployment, and what it gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from replay.errors import InputError

Variant = Literal["baseline", "optimized"]
VARIANTS: Final[tuple[Variant, ...]] = ("baseline", "optimized")

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")

Progress = Callable[[str], None]
"""Takes one line about what happens."""
Confirm = Callable[[str], bool]
"""Takes the summary of a plan, and tells whether to apply it."""


def silent(_line: str) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class DeployRequest:
    """One environment, one variant to publish, and where.

    Raises
    ------
    InputError
        An unknown environment or variant, or a variable that the deployment sets itself.
    """

    env: str
    variant: Variant
    project: Path
    """The checkout."""
    state_dir: Path
    """Keeps state, pins and Terraform's data of this deployment; deployments with their own run side by side."""
    endpoint_url: str | None = None
    """A local cloud's address; None for AWS and the ordinary credential chain."""
    region: str | None = None
    """None for what the environment's tfvars say."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Terraform variables that override the environment's tfvars."""
    progress: Progress = silent
    confirm: Confirm | None = None
    """Asked before the first change; None applies without asking."""
    state_bucket: str | None = None
    """An S3 bucket that keeps state and pins for a team; None keeps them in ``state_dir``."""
    state_prefix: str = "tailcast"
    """Where in the bucket: ``PREFIX/ENV/``."""

    def __post_init__(self) -> None:
        if self.state_bucket is not None and not _BUCKET.fullmatch(self.state_bucket):
            raise InputError(f"state bucket {self.state_bucket!r} is no name of an S3 bucket, such as acme-terraform")
        if not _PREFIX.fullmatch(self.state_prefix):
            raise InputError(f"state prefix {self.state_prefix!r} must be letters, digits, . _ - and single slashes")
        if self.variant not in VARIANTS:
            raise InputError(f"variant={self.variant!r} is not one of {', '.join(VARIANTS)}")
        if not (self.root / "main.tf").is_file():
            known = sorted(path.parent.name for path in (self.project / "terraform" / "environments").glob("*/main.tf"))
            raise InputError(
                f"env={self.env!r}: there is no {self.root}; known environments: {', '.join(known) or 'none'}"
            )
        taken = sorted(set(self.variables) & OWN_VARIABLES)
        if taken:
            raise InputError(f"variable {taken[0]!r} is set by the deployment itself; leave it out")

    @property
    def root(self) -> Path:
        """Folder of the environment's root module."""
        return self.project / "terraform" / "environments" / self.env


PACKAGE_VARIABLES: Final = ("authorizer_package", "streaming_package")
"""Variables that describe the package of a function beside the one that is released."""
OWN_VARIABLES: Final = frozenset(
    {
        "variant",
        *PACKAGE_VARIABLES,
        "package_path",
        "package_base64sha256",
        "handler",
        "runtime",
        "baseline_version",
        "optimized_version",
        "held_versions",
        "provisioned_now",
    }
)


@dataclass(frozen=True)
class Deployment:
    """What stands after a deployment."""

    env: str
    region: str
    function_name: str
    api_id: str
    api_endpoint: str
    """Base URL; the route is ``POST /genai``."""
    log_group_name: str
    versions: Mapping[str, str]
    """Variant → published version."""
    alias_names: Mapping[str, str]
    """``baseline``, ``optimized``, ``live`` → alias."""
    models: Mapping[str, str]
    """Variant → model, as configured now."""
    provisioned_versions: Mapping[str, int]
    """Published version → provisioned concurrency."""
    changed: bool
    """False where everything was as asked already."""
    journal_table: str | None = None
    """Table of `tailcast canary`; None where the environment has none."""
    endpoint_url: str | None = None
    stream_url: str | None = None
    """Function URL of the streaming function, with a slash at its end: ``POST stream``; None where it is off."""
