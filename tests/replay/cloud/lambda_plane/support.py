"""A control plane of dictionaries: functions to run, and what was logged and measured."""

from __future__ import annotations

import base64
import io
import textwrap
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from replay.cloud.lambda_plane.ports import (
    FunctionVersion,
    LogEvent,
    MetricDatum,
    Route,
    UnknownFunctionError,
)

ACCOUNT_ARN = "arn:aws:lambda:us-east-1:123456789012:function"


def make_zip(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


class Catalog:
    """Functions by name; versions are what was deployed, aliases what was set."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], FunctionVersion] = {}
        self.aliases: dict[tuple[str, str], dict[str, float]] = {}
        self.reserved: dict[str, int] = {}

    def deploy(
        self,
        name: str,
        source: str | Mapping[str, str | bytes],
        *,
        version: str = "$LATEST",
        code_zip: bytes | None = None,
        **fields: object,
    ) -> FunctionVersion:
        files = {"app.py": textwrap.dedent(source)} if isinstance(source, str) else source
        code = code_zip if code_zip is not None else make_zip(files)
        digest = base64.b64encode(sha256(code).digest()).decode()
        deployed = FunctionVersion(
            function_name=name,
            version=version,
            function_arn=f"{ACCOUNT_ARN}:{name}",
            revision=f"{digest}-{sorted(fields.items())!r}",
            code_sha256=digest,
            code_zip=code,
            handler="app.handle",
            runtime="python3.11",
            timeout_s=10.0,
            memory_mb=128,
            environment={},
            log_group=f"/aws/lambda/{name}",
        )
        deployed = replace(deployed, **fields)  # type: ignore[arg-type]
        self.versions[name, version] = deployed
        return deployed

    def route(self, function: str, qualifier: str | None) -> Route:
        asked = qualifier or "$LATEST"
        arn = f"{ACCOUNT_ARN}:{function}" + (f":{qualifier}" if qualifier else "")
        if (function, asked) in self.aliases:
            return Route(function, asked, arn, self.aliases[function, asked])
        if (function, asked) not in self.versions:
            raise UnknownFunctionError(f"Function not found: {arn}")
        return Route(function, asked, arn, {asked: 1.0})

    def version(self, function_name: str, version: str) -> FunctionVersion:
        try:
            return self.versions[function_name, version]
        except KeyError:
            raise UnknownFunctionError(f"Function not found: {ACCOUNT_ARN}:{function_name}:{version}") from None

    def reserved_concurrency(self, function_name: str) -> int | None:
        return self.reserved.get(function_name)

    def account_reserved(self) -> Mapping[str, int]:
        return self.reserved


class Logs:
    def __init__(self) -> None:
        self.streams: defaultdict[tuple[str, str], list[LogEvent]] = defaultdict(list)

    def put(self, log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        self.streams[log_group, log_stream].extend(events)

    def of(self, function: str) -> dict[str, list[str]]:
        """Log stream → messages of one function."""
        group = f"/aws/lambda/{function}"
        return {
            stream: [event.message for event in events]
            for (owner, stream), events in self.streams.items()
            if owner == group
        }

    def lines(self, function: str) -> list[str]:
        return [message for messages in self.of(function).values() for message in messages]

    def reports(self, function: str) -> list[str]:
        return [line for line in self.lines(function) if line.startswith("REPORT")]


class Metrics:
    def __init__(self) -> None:
        self.data: list[MetricDatum] = []

    def put(self, data: Sequence[MetricDatum]) -> None:
        self.data.extend(data)

    def values(self, name: str, **dimensions: str) -> list[float]:
        return [datum.value for datum in self.data if datum.name == name and datum.dimensions == dimensions]


def process_runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
