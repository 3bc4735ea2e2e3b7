"""The platform of a rollout, for its forecast: what Lambda says of the two versions, and which cloud it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from replay.aws import cloud_errors, make_client
from replay.canary import preflight
from replay.canary.live import Place
from replay.canary.preflight import Target
from replay.errors import ReplayError
from simulator.platform import BASELINE, OPTIMIZED, Platform, VersionSettings
from simulator.platform_file import read_platform

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_HEALTH_TIMEOUT_S: Final = 3.0


def target_platform(place: Place, target: Target, platform_file: Path | None = None) -> Platform:
    """Give the platform of a rollout.

    Parameters
    ----------
    platform_file
        YAML file that is laid over what is known; None for none.

    Raises
    ------
    CloudError
        Lambda does not say how the versions are configured.
    ParameterError
        The file cannot be read, or holds what makes no platform.
    """
    functions = make_client("lambda", region=place.region, endpoint_url=place.endpoint_url)
    versions = {}
    for name, version in ((BASELINE, target.baseline), (OPTIMIZED, target.candidate)):
        with cloud_errors(f"function {target.function}, version {version}"):
            answer = functions.get_function_configuration(FunctionName=target.function, Qualifier=version)
        provisioned = preflight.concurrency(functions, target.function, version)
        versions[name] = VersionSettings(
            provisioned=provisioned[1] if provisioned else 0,
            timeout_s=float(answer["Timeout"]),
            memory_mb=int(answer["MemorySize"]),
        )
    unlike_aws: dict[str, Any] = {}
    if is_local_cloud(functions.meta.endpoint_url):
        # Two rules of AWS's that the local cloud does without (docs/architecture.md).
        unlike_aws = {"suppressed_init": False, "requests_per_concurrency": None}
    found = Platform(versions=versions, **unlike_aws)
    return found if platform_file is None else read_platform(platform_file, found)


def is_local_cloud(endpoint_url: str) -> bool:
    """Say whether tailcast's own local cloud answers at ``endpoint_url``: only it knows the address of its health."""
    from replay.cloud.launcher import control

    if urlsplit(endpoint_url).hostname not in _LOOPBACK:
        return False
    try:
        return control(endpoint_url, "GET", "/_tailcast/health", timeout_s=_HEALTH_TIMEOUT_S).get("status") == "ok"
    except ReplayError:
        return False
