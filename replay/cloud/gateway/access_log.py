"""Access logs: a line a request, in the format that the stage declares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from replay.cloud.lambda_plane.ports import LogEvent, LogSink

_VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.]+)")


def write(settings: Mapping[str, Any], values: Mapping[str, object], stage: str, time_ms: int, logs: LogSink) -> None:
    """Write a line to the log group that the stage names; a variable without value becomes ``-``, as on AWS."""
    group = str(settings.get("destinationArn", "")).partition(":log-group:")[2].removesuffix(":*")
    if not group:
        return
    line = _VARIABLE.sub(lambda match: str(values.get(match[1], "-")), str(settings.get("format", "")))
    logs.put(group, f"{stage}-access", [LogEvent(time_ms, line)])
