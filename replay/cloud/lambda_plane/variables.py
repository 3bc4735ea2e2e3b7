"""The environment variables that Lambda gives a function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replay.cloud.lambda_plane.forking import passed_on
from replay.cloud.lambda_plane.ports import FunctionVersion
from replay.cloud.lambda_plane.settings import PlaneSettings

ON_DEMAND: Final = "on-demand"
PROVISIONED: Final = "provisioned-concurrency"


@dataclass(frozen=True)
class Folders:
    """Where an environment finds its things."""

    task_root: Path
    """The unpacked package: ``/var/task`` on AWS."""
    runtime: Path
    """The runtime client: ``/var/runtime`` on AWS."""
    temporary: Path
    """Its own ``/tmp``."""


def function_variables(
    version: FunctionVersion, settings: PlaneSettings, folders: Folders, initialization_type: str
) -> dict[str, str]:
    """Give what all environments of a version share.

    The names are those of the Lambda developer guide, "Defined runtime environment variables". The function's own
    variables never win over them, but may set another ``AWS_ENDPOINT_URL``. Nothing of this process leaks in: the home
    folder is the environment's own, so that no SDK finds a developer's credentials.
    """
    defaults = {"AWS_ENDPOINT_URL": settings.endpoint_url} if settings.endpoint_url else {}
    return {
        **passed_on(),
        "LANG": "en_US.UTF-8",
        "PATH": f"{folders.runtime.with_name('bin')}:/usr/local/bin:/usr/bin:/bin",
        "TZ": ":UTC",
        **defaults,
        **version.environment,
        "_HANDLER": version.handler,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{version.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": version.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_LOG_FORMAT": version.log_format,
        "AWS_LAMBDA_LOG_GROUP_NAME": version.log_group,
        "AWS_REGION": settings.region,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "HOME": str(folders.temporary),
        "LAMBDA_RUNTIME_DIR": str(folders.runtime),
        "LAMBDA_TASK_ROOT": str(folders.task_root),
        "TMPDIR": str(folders.temporary),
    }


def environment_variables(shared: dict[str, str], log_stream: str, runtime_api: str) -> dict[str, str]:
    """Add what one environment has for itself."""
    return {**shared, "AWS_LAMBDA_LOG_STREAM_NAME": log_stream, "AWS_LAMBDA_RUNTIME_API": runtime_api}
