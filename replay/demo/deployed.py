"""What the forecast must know of a deployment, read from the cloud that it was deployed to."""

from __future__ import annotations

from typing import Any

from replay.aws import cloud_errors
from replay.deploy import Deployment
from simulator.platform import Platform, VersionSettings


def read_platform(lambda_client: Any, gateway_client: Any, deployment: Deployment, keep_alive_s: float) -> Platform:
    """Read time-outs, memory, provisioned concurrency and throttles.

    Parameters
    ----------
    lambda_client, gateway_client
        boto3 clients for ``lambda`` and ``apigatewayv2``.
    keep_alive_s
        How long idle environments live; no API tells.

    Raises
    ------
    CloudError
        The cloud refused or did not answer.
    """
    function = deployment.function_name
    with cloud_errors(f"function {function}: its settings cannot be read"):
        versions = {}
        for variant in ("baseline", "optimized"):
            version = deployment.versions[variant]
            settings = lambda_client.get_function_configuration(FunctionName=function, Qualifier=version)
            versions[variant] = VersionSettings(
                provisioned=deployment.provisioned_versions.get(version, 0),
                timeout_s=float(settings["Timeout"]),
                memory_mb=int(settings["MemorySize"]),
            )
    with cloud_errors(f"API {deployment.api_id}: its throttle cannot be read"):
        stage = gateway_client.get_stage(ApiId=deployment.api_id, StageName="$default")
    throttle = stage.get("DefaultRouteSettings", {})
    limits: dict[str, Any] = {}
    if throttle.get("ThrottlingRateLimit"):
        limits["gateway_rate_rps"] = float(throttle["ThrottlingRateLimit"])
    if throttle.get("ThrottlingBurstLimit"):
        limits["gateway_burst"] = int(throttle["ThrottlingBurstLimit"])
    # Two rules of AWS's that the local cloud does without (docs/architecture.md).
    unlike_aws: dict[str, Any] = {"suppressed_init": False, "requests_per_concurrency": None}
    return Platform(versions=versions, keep_alive_s=keep_alive_s, **limits, **unlike_aws)


def read_architecture(lambda_client: Any, deployment: Deployment) -> str:
    """Give the instruction set that the price of a GB-second depends on."""
    with cloud_errors(f"function {deployment.function_name}: its settings cannot be read"):
        settings = lambda_client.get_function_configuration(FunctionName=deployment.function_name)
    return str((settings.get("Architectures") or ["x86_64"])[0])
