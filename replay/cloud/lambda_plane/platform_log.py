"""What the platform itself writes into a function's log, in both of Lambda's formats.

Text lines are those of CloudWatch, tabs and trailing newline included. JSON events have the schema of Lambda's
Telemetry API (``platform.start``, ``platform.report`` ...), as the JSON log format writes them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from replay.cloud.lambda_plane.ports import FunctionVersion


@dataclass(frozen=True)
class Report:
    """The figures of one invocation."""

    request_id: str
    duration_ms: float
    """The handler, INIT apart."""
    memory_mb: int
    max_memory_mb: int
    init_ms: float | None = None
    """INIT that the caller waited for; None for a warm or provisioned environment."""
    status: str = "success"
    """``success``, ``error`` (the process failed) or ``timeout``."""
    error_type: str | None = None

    @property
    def billed_ms(self) -> int:
        """Billed milliseconds: handler and on-demand INIT together, rounded up (Lambda pricing, since 2025-08-01)."""
        return max(1, math.ceil(self.duration_ms + (self.init_ms or 0.0)))


class PlatformLog:
    """Formats the platform's lines for one version of a function."""

    def __init__(self, version: FunctionVersion, region: str) -> None:
        self._json = version.log_format.upper() == "JSON"
        self._version = version
        name = version.runtime.removeprefix("python")
        self._runtime_version = f"python:{name}.v0"
        self._runtime_arn = f"arn:aws:lambda:{region}::runtime:{sha256(version.runtime.encode()).hexdigest()}"

    def init_start(self, at_s: float, initialization_type: str) -> str:
        """Say that INIT begins."""
        if self._json:
            return self._event(
                at_s,
                "platform.initStart",
                {
                    "initializationType": initialization_type,
                    "phase": "init",
                    "functionName": self._version.function_name,
                    "functionVersion": self._version.version,
                    "runtimeVersion": self._runtime_version,
                    "runtimeVersionArn": self._runtime_arn,
                },
            )
        return f"INIT_START Runtime Version: {self._runtime_version}\tRuntime Version ARN: {self._runtime_arn}\n"

    def init_report(self, at_s: float, init_ms: float, phase: str, status: str, error_type: str | None) -> str:
        """Say how a failed INIT went; a successful one is told by REPORT."""
        if self._json:
            record: dict[str, Any] = {"phase": phase, "status": status, "metrics": {"durationMs": round(init_ms, 3)}}
            if error_type:
                record["errorType"] = error_type
            return self._event(at_s, "platform.initReport", record)
        error = f"\tError Type: {error_type}" if error_type else ""
        return f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: {phase}\tStatus: {status}{error}\n"

    def start(self, at_s: float, request_id: str) -> str:
        """Say that an invocation begins."""
        version = self._version.version
        if self._json:
            return self._event(at_s, "platform.start", {"requestId": request_id, "version": version})
        return f"START RequestId: {request_id} Version: {version}\n"

    def timed_out(self, at_s: float, request_id: str) -> str | None:
        """Give the line of a time-out; None in JSON, where ``status`` tells it."""
        return None if self._json else f"{self.timeout_message(at_s, request_id)}\n\n"

    def timeout_message(self, at_s: float, request_id: str) -> str:
        """Give the words that the caller gets."""
        return f"{_iso(at_s)} {request_id} Task timed out after {self._version.timeout_s:.2f} seconds"

    def exited(self, request_id: str, reason: str) -> str | None:
        """Give the line of a process that ended; None in JSON, where ``errorType`` tells it."""
        return None if self._json else f"RequestId: {request_id} Error: {reason}\nRuntime.ExitError\n"

    def end(self, at_s: float, report: Report) -> list[str]:
        """Say that an invocation has ended, and give its figures."""
        if self._json:
            outcome: dict[str, Any] = {"requestId": report.request_id, "status": report.status}
            if report.error_type:
                outcome["errorType"] = report.error_type
            metrics: dict[str, Any] = {
                "durationMs": round(report.duration_ms, 3),
                "billedDurationMs": report.billed_ms,
                "memorySizeMB": report.memory_mb,
                "maxMemoryUsedMB": report.max_memory_mb,
            }
            if report.init_ms is not None:
                metrics["initDurationMs"] = round(report.init_ms, 3)
            done = {**outcome, "metrics": {"durationMs": metrics["durationMs"]}}
            return [
                self._event(at_s, "platform.runtimeDone", done),
                self._event(at_s, "platform.report", {**outcome, "metrics": metrics}),
            ]
        parts = [
            f"REPORT RequestId: {report.request_id}",
            f"Duration: {report.duration_ms:.2f} ms",
            f"Billed Duration: {report.billed_ms} ms",
            f"Memory Size: {report.memory_mb} MB",
            f"Max Memory Used: {report.max_memory_mb} MB",
        ]
        if report.init_ms is not None:
            parts.append(f"Init Duration: {report.init_ms:.2f} ms")
        if report.status != "success":
            parts.append(f"Status: {report.status}")
        if report.error_type:
            parts.append(f"Error Type: {report.error_type}")
        return [f"END RequestId: {report.request_id}\n", "\t".join([*parts, "\n"])]

    def _event(self, at_s: float, kind: str, record: dict[str, Any]) -> str:
        return json.dumps({"time": _iso(at_s), "type": kind, "record": record})


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
