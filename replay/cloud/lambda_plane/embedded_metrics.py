"""Embedded metric format: metrics that a function prints as JSON, and CloudWatch extracts from the log.

Source: CloudWatch user guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import json
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
    except ValueError:
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
    dimension_sets = [
        {name: str(document[name]) for name in names}
        for names in directive.get("Dimensions") or [[]]
        if isinstance(names, list) and all(isinstance(name, str) and name in document for name in names)
    ]
    for metric in directive.get("Metrics") or []:
        if not isinstance(metric, dict) or metric.get("Name") not in document:
            continue
        found = document[metric["Name"]]
        values = found if isinstance(found, list) else [found]
        for value in values[:MAX_VALUES]:
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            for dimensions in dimension_sets:
                yield MetricDatum(
                    namespace=directive["Namespace"],
                    name=metric["Name"],
                    dimensions=dimensions,
                    value=float(value),
                    unit=str(metric.get("Unit", "None")),
                    timestamp_ms=timestamp_ms,
                )
