"""A Lambda function as moto holds it, with the parts of its configuration that moto leaves out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import LambdaFunction

from replay.cloud.lambda_plane.ports import FunctionVersion
from replay.cloud.lambda_plane.web_adapter import LAYER

_NOT_CONTENT = ("Description", "FunctionArn", "LastModified", "LastUpdateStatus", "RevisionId", "State", "Version")

RunFunction = Callable[[str, str, bytes], tuple[bytes, bool]]
"""(function name, qualifier, event) → (answer, whether the function failed)."""


class DeployedFunction(LambdaFunction):
    """A function, or one published version of it, that the data plane can run.

    Adds to moto's: revision ids, the logging configuration, every updatable setting, and running without Docker.
    """

    run_function: ClassVar[RunFunction | None] = None
    """How moto's own event sources (EventBridge, SNS, SQS, ...) reach the data plane; set when the server starts."""

    def __init__(self, account_id: str, spec: dict[str, Any], region: str, version: str | int = "$LATEST") -> None:
        _check_limits(spec)
        super().__init__(account_id=account_id, spec=spec, region=region, version=version)
        self.logging_config: dict[str, Any] = _logging_config(self.function_name, spec.get("LoggingConfig"))
        self.dead_letter_config: dict[str, Any] | None = spec.get("DeadLetterConfig")
        self.snap_start: str = (spec.get("SnapStart") or {}).get("ApplyOn", "None")
        """Kept and reported; versions start as ever, since nothing here restores a process."""
        self.revision_id = new_revision()
        self._snapshot: FunctionVersion | None = None

    def set_version(self, version: int) -> None:
        """Make this copy the given published version."""
        super().set_version(version)
        self.revision_id = new_revision()
        self._snapshot = None

    def get_configuration(self, on_create: bool = False) -> dict[str, Any]:
        """Give ``FunctionConfiguration``."""
        configuration = super().get_configuration(on_create)
        configuration["RevisionId"] = self.revision_id
        published = str(self.version) != "$LATEST"
        configuration["SnapStart"] = {
            "ApplyOn": self.snap_start,
            "OptimizationStatus": "On" if published and self.snap_start == "PublishedVersions" else "Off",
        }
        configuration["LoggingConfig"] = self.logging_config
        if self.dead_letter_config:
            configuration["DeadLetterConfig"] = self.dead_letter_config
        return configuration

    def update_configuration(self, config_updates: dict[str, Any]) -> dict[str, Any]:
        """Change settings; those not named stay."""
        _check_limits(config_updates)
        super().update_configuration(config_updates)
        if "LoggingConfig" in config_updates:
            self.logging_config = _logging_config(self.function_name, config_updates["LoggingConfig"])
        if "TracingConfig" in config_updates:
            self.tracing_config = config_updates["TracingConfig"]
        if "EphemeralStorage" in config_updates:
            self.ephemeral_storage = config_updates["EphemeralStorage"]["Size"]
        if "KMSKeyArn" in config_updates:
            self.kms_key_arn = config_updates["KMSKeyArn"]
        if "SnapStart" in config_updates:
            self.snap_start = config_updates["SnapStart"].get("ApplyOn", "None")
        if "DeadLetterConfig" in config_updates:
            self.dead_letter_config = config_updates["DeadLetterConfig"]
        self._changed()
        return self.get_configuration()

    def update_function_code(self, updated_spec: dict[str, Any]) -> dict[str, Any]:
        """Change the code."""
        if updated_spec.get("DryRun"):
            return self.get_configuration()
        # A published version is a shallow copy; it must keep the location that it was published with.
        self.code = dict(self.code)
        super().update_function_code(updated_spec)
        if "Architectures" in updated_spec:
            self.architectures = updated_spec["Architectures"]
        self._changed()
        return self.get_configuration()

    def fingerprint(self) -> str:
        """Give what decides whether a new version differs from the last: code and configuration, not dates or ids."""
        configuration = self.get_configuration()
        for name in _NOT_CONTENT:
            configuration.pop(name, None)
        configuration["SnapStart"] = self.snap_start
        return json.dumps(configuration, sort_keys=True, default=str)

    def snapshot(self) -> FunctionVersion:
        """Give this version as the data plane needs it; the same object until code or configuration change."""
        snapshot, revision = self._snapshot, self.revision_id
        if snapshot is None:
            arn = self.function_arn
            if str(self.version) != "$LATEST":
                arn = arn.rpartition(":")[0]
            snapshot = FunctionVersion(
                function_name=self.function_name,
                version=str(self.version),
                function_arn=arn,
                revision=new_revision(),
                code_sha256=self.code_sha_256,
                code_zip=self.code_bytes,
                handler=self.handler or "",
                runtime=self.run_time or "",
                timeout_s=float(self.timeout),
                memory_mb=int(self.memory_size),
                environment={name: str(value) for name, value in self.environment_vars.items()},
                log_group=self.logging_config["LogGroup"],
                log_format=self.logging_config["LogFormat"],
                layers=tuple(layer["Arn"] for layer in self.layers),
            )
            # The event loop asks without the lock: what was read in the middle of a change must not be kept.
            if self.revision_id == revision:
                self._snapshot = snapshot
        return snapshot

    def _get_layers_data(self, layers_versions_arns: list[str]) -> Any:
        """Take the layer of Lambda Web Adapter, which belongs to another account; moto knows those of its own only."""
        foreign = [arn for arn in layers_versions_arns if LAYER.fullmatch(arn)]
        own = super()._get_layers_data([arn for arn in layers_versions_arns if arn not in foreign])
        return [*own, *({"Arn": arn, "CodeSize": 0} for arn in foreign)]

    def _changed(self) -> None:
        self.revision_id = new_revision()
        self.last_modified = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
        self._snapshot = None

    def _invoke_lambda(self, event: Any = None) -> tuple[str, bool, str]:
        """Run the function for one of moto's event sources."""
        run = DeployedFunction.run_function
        if run is None:
            raise RuntimeError("the data plane is not running")
        payload = event if isinstance(event, str) else json.dumps(event)
        answer, failed = run(self.function_name, str(self.version), payload.encode())
        return answer.decode(errors="replace"), failed, ""


def new_revision() -> str:
    """Give a new revision id."""
    return str(uuid.uuid4())


def _logging_config(function_name: str, given: dict[str, Any] | None) -> dict[str, Any]:
    """Complete a ``LoggingConfig`` with AWS's defaults."""
    given = given or {}
    config = {"LogFormat": given.get("LogFormat") or "Text", "LogGroup": given.get("LogGroup")}
    config["LogGroup"] = config["LogGroup"] or f"/aws/lambda/{function_name}"
    if config["LogFormat"] not in ("Text", "JSON"):
        raise InvalidParameterValueException(
            f"Value '{config['LogFormat']}' at 'loggingConfig.logFormat' failed to satisfy constraint: "
            "Member must satisfy enum value set: [JSON, Text]"
        )
    if config["LogFormat"] == "JSON":
        config["ApplicationLogLevel"] = given.get("ApplicationLogLevel") or "INFO"
        config["SystemLogLevel"] = given.get("SystemLogLevel") or "INFO"
    elif given.get("ApplicationLogLevel") or given.get("SystemLogLevel"):
        raise InvalidParameterValueException(
            "Log level can not be set when the function's log format is set to Text. "
            "Change your log format to JSON before setting log levels."
        )
    return config


def _check_limits(spec: dict[str, Any]) -> None:
    """Refuse settings outside Lambda's limits (API reference, CreateFunction)."""
    for name, low, high in (("Timeout", 1, 900), ("MemorySize", 128, 10_240)):
        value = spec.get(name)
        if value is not None and not low <= int(value) <= high:
            side = f"greater than or equal to {low}" if int(value) < low else f"less than or equal to {high}"
            member = name[0].lower() + name[1:]
            raise InvalidParameterValueException(
                f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
                f"Member must have value {side}"
            )
