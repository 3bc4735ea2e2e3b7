"""Embedded metric format: metrics that a function prints as JSON, and CloudWatch extracts from the log.

Source: CloudWatch user guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from replay.cloud.lambda_plane.ports import LogEvent, MetricDatum

MAX_VALUES: Final = 100
"""Values that one metric of one document may hold."""


def embedded_metrics(event: LogEvent) -> Iterator[MetricDatum]:
    """Give the observations in a log event; nothing where it holds none, or breaks the specification.

    CloudWatch drops what it cannot read without a word to the function, and so does this.
    """
    message = event.message
    if '"CloudWatchMetrics"' not in message or not message.lstrip().startswith("{"):
        return
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return
    header = document.get("_aws")
    if not isinstance(header, dict) or not isinstance(header.get("CloudWatchMetrics"), list):
        return
    timestamp = header.get("Timestamp")
    timestamp_ms = timestamp if isinstance(timestamp, int) else event.timestamp_ms
    for directive in header["CloudWatchMetrics"]:
        if isinstance(directive, dict) and isinstance(directive.get("Namespace"), str):
            yield from _directive(document, directive, timestamp_ms)


def _directive(document: Mapping[str, Any], directive: Mapping[str, Any], timestamp_ms: int) -> Iterator[MetricDatum]:
    asked = directive.get("Dimensions", [[]])
    dimension_sets = [
        {name: str(document[name]) for name in names}
        for names in (asked if isinstance(asked, list) else [])
        if isinstance(names, list) and all(isinstance(name, str) and name in document for name in names)
    ]
    metrics = directive.get("Metrics")
    for metric in metrics if isinstance(metrics, list) else []:
        name = metric.get("Name") if isinstance(metric, dict) else None
        if not isinstance(name, str):
            continue
        for value in _numbers(document.get(name)):
            for dimensions in dimension_sets:
                yield MetricDatum(
                    namespace=directive["Namespace"],
                    name=name,
                    dimensions=dimensions,
                    value=value,
                    unit=str(metric.get("Unit", "None")),
                    timestamp_ms=timestamp_ms,
                )


def _numbers(found: Any) -> Iterator[float]:
    for value in (found if isinstance(found, list) else [found])[:MAX_VALUES]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        with contextlib.suppress(OverflowError):  # JSON's whole numbers know no bounds
            if math.isfinite(number := float(value)):
                yield number
