"""One function with two variants on a local cloud of its own, deployed without Terraform: a case costs seconds."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.special import ndtri

from replay.aws import cloud_errors
from replay.cloud import BedrockQuota, CloudConfig, LocalCloud
from replay.demo.plan import MODELS
from replay.drive import LambdaTarget
from replay.errors import CloudError
from replay.package import Package
from replay.validate.cases import RECORDED_TIMEOUT_S, Case
from simulator.client_policy import ClientPolicy
from simulator.files import write_text
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform, VersionSettings

FUNCTION: Final = "validated"
LIVE: Final = "live"
VARIANTS: Final = ("baseline", "optimized")
KEEP_ALIVE_S: Final = 12.0
"""Of idle environments. Short, so that they end within a case of half a minute as they do within a day on AWS."""
MAX_TOKENS: Final = 512
MEMORY_MB: Final = 1024
_HANDLER_MODULE: Final = "waiting_handler"
_PATTERNS: Final = {"baseline": "anthropic.*", "optimized": "amazon.*"}
_PROFILE_POINTS: Final = 401
_PROVISION_DEADLINE_S: Final = 60.0


class Lab:
    """A local cloud, and the function on it.

    Parameters
    ----------
    cloud
        It runs.
    case
        What is tried on it.
    package
        The inference function's package; the time-out cases run a handler of their own.
    """

    def __init__(self, cloud: LocalCloud, case: Case, package: Package) -> None:
        self.cloud = cloud
        self.case = case
        self._lambda = cloud.client("lambda")
        self._package = package
        self.versions: dict[str, str] = {}

    def deploy(self) -> None:
        """Create the function, publish both variants, keep PC ready, and point ``live`` at the baseline.

        Raises
        ------
        CloudError
            The local cloud refused, or PC was not ready in time.
        """
        with cloud_errors(f"function {FUNCTION}: cannot be deployed"):
            role = self.cloud.client("iam").create_role(
                RoleName=FUNCTION, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
            )
            self._lambda.create_function(
                FunctionName=FUNCTION,
                Role=role["Role"]["Arn"],
                Runtime=f"python{self._package.python}",
                Handler=f"{_HANDLER_MODULE}.handle" if self.case.redeploys else self._package.handler,
                Code={"ZipFile": self._zip()},
                MemorySize=MEMORY_MB,
                Timeout=RECORDED_TIMEOUT_S,
                Environment={"Variables": self._variables("baseline")},
            )
        self._publish(RECORDED_TIMEOUT_S)
        with cloud_errors(f"alias {LIVE}: cannot be made"):
            self._lambda.create_alias(FunctionName=FUNCTION, Name=LIVE, FunctionVersion=self.versions["baseline"])
        self._provision()

    def change_for_case(self) -> None:
        """Make of the function what the case is about: another time-out, a reserved concurrency, the weights."""
        if self.case.redeploys:
            self._publish(self.case.timeout_s)
            self._provision()
        with cloud_errors(f"function {FUNCTION}: cannot be changed"):
            if self.case.reserved is not None:
                self._lambda.put_function_concurrency(
                    FunctionName=FUNCTION, ReservedConcurrentExecutions=self.case.reserved
                )
            self._lambda.update_alias(
                FunctionName=FUNCTION,
                Name=LIVE,
                FunctionVersion=self.versions["baseline"],
                RoutingConfig={"AdditionalVersionWeights": {self.versions["optimized"]: self.case.weight}},
            )

    def target(self, qualifier: str) -> LambdaTarget:
        """Give where the load goes: a version or :data:`LIVE`."""
        keys = self.cloud.environment()
        return LambdaTarget(
            FUNCTION,
            qualifier,
            region=self.cloud.config.region,
            endpoint_url=self.cloud.endpoint_url,
            static_keys=(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"]),
        )

    def _publish(self, timeout_s: int) -> None:
        with cloud_errors(f"function {FUNCTION}: cannot be published"):
            for variant in VARIANTS:
                self._lambda.update_function_configuration(
                    FunctionName=FUNCTION, Timeout=timeout_s, Environment={"Variables": self._variables(variant)}
                )
                self.versions[variant] = str(self._lambda.publish_version(FunctionName=FUNCTION)["Version"])
            # The first start of a version waits until its code is unpacked and preloaded: that is the local cloud's own
            # affair and no cold start. The environment that this leaves behind has ended before anything is forecast.
            for version in self.versions.values():
                answer = self._lambda.invoke(FunctionName=FUNCTION, Qualifier=version, Payload=b'{"prompt": "ready?"}')
                answer["Payload"].read()

    def _provision(self) -> None:
        if not self.case.provisioned:
            return
        with cloud_errors(f"function {FUNCTION}: provisioned concurrency cannot be had"):
            for version in self.versions.values():
                self._ask_provisioned(version)
            deadline = time.monotonic() + _PROVISION_DEADLINE_S
            for version in self.versions.values():
                while (status := self._provisioned_status(version)) != "READY":
                    if time.monotonic() > deadline:
                        raise CloudError(
                            f"version {version}: provisioned concurrency is {status} after {_PROVISION_DEADLINE_S:g} s"
                        )
                    if status == "FAILED":  # an INIT that missed its limit on a busy machine; to ask again is the cure
                        self._ask_provisioned(version)
                    time.sleep(0.2)

    def _ask_provisioned(self, version: str) -> None:
        self._lambda.put_provisioned_concurrency_config(
            FunctionName=FUNCTION, Qualifier=version, ProvisionedConcurrentExecutions=self.case.provisioned
        )

    def _provisioned_status(self, version: str) -> str:
        return str(self._lambda.get_provisioned_concurrency_config(FunctionName=FUNCTION, Qualifier=version)["Status"])

    def _variables(self, variant: str) -> dict[str, str]:
        return {
            "VARIANT": variant,
            "MODEL_ID": MODELS[variant],
            "MAX_TOKENS": str(MAX_TOKENS),
            "MODEL_MAX_ATTEMPTS": str(self.case.sdk_attempts),
        }

    def _zip(self) -> bytes:
        if not self.case.redeploys:
            return self._package.path.read_bytes()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{_HANDLER_MODULE}.py", Path(__file__).with_name(f"{_HANDLER_MODULE}.py").read_text())
        return buffer.getvalue()


@contextmanager
def open_lab(case: Case, package: Package, folder: Path, seed: int) -> Iterator[Lab]:
    """Start a local cloud for ``case`` and deploy to it; everything ends with the block.

    Raises
    ------
    LocalCloudError, CloudError
        It does not come up, or refuses the deployment.
    """
    quota = BedrockQuota(case.requests_per_minute, case.tokens_per_minute)
    limited = case.requests_per_minute is not None or case.tokens_per_minute is not None
    config = CloudConfig(
        seed=seed,
        init="replayed",
        keep_alive_s=KEEP_ALIVE_S,
        bedrock_quotas=dict.fromkeys(_PATTERNS.values(), quota) if limited else {},
        state_dir=folder / "cloud",
    )
    models = {_PATTERNS[variant]: str(_write_profile(case, variant, folder)) for variant in case.latency}
    if models:
        config = CloudConfig(**{**vars(config), "bedrock_models": {**models, **config.bedrock_models}})
    with LocalCloud(config) as cloud:
        lab = Lab(cloud, case, package)
        lab.deploy()
        yield lab


def platform_of(case: Case) -> Platform:
    """Give the case's platform as the simulator has it, with the rules that the local cloud does without left out."""
    limited = case.requests_per_minute is not None or case.tokens_per_minute is not None
    retries = SdkRetries("standard", case.sdk_attempts)
    return Platform(
        versions={
            variant: VersionSettings(
                provisioned=case.provisioned,
                timeout_s=float(case.timeout_s),
                memory_mb=MEMORY_MB,
                model=ModelCall(variant, MAX_TOKENS, retries, refusal_ms=REFUSAL_MS) if limited else None,
            )
            for variant in VARIANTS
        },
        reserved_concurrency=case.reserved,
        keep_alive_s=KEEP_ALIVE_S,
        suppressed_init=False,
        requests_per_concurrency=None,
        quotas=dict.fromkeys(VARIANTS, ModelQuota(case.requests_per_minute, case.tokens_per_minute)) if limited else {},
        client=ClientPolicy(),
    )


REFUSAL_MS: Final = 5.0
"""How long a refusal of the local Bedrock takes; it comes over loopback."""


def _write_profile(case: Case, variant: str, folder: Path) -> Path:
    law = case.latency[variant]
    levels = (np.arange(_PROFILE_POINTS) + 0.5) / _PROFILE_POINTS
    values_ms = law.median_ms * np.exp(law.log_sd * ndtri(levels))
    document: dict[str, Any] = {
        "name": f"lognormal-{variant}",
        "source": f"lognormal, median {law.median_ms:g} ms, sd of the logarithm {law.log_sd:g}",
        "inference_ms": [round(float(value), 2) for value in values_ms],
    }
    path = folder / f"profile-{variant}.json"
    write_text(path, json.dumps(document))
    return path
