"""Metric filters: what CloudWatch Logs counts, or reads out of, the events that come into a log group."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from moto.logs.exceptions import InvalidParameterException

from replay.cloud.control_plane.filter_pattern import compile_pattern
from replay.cloud.lambda_plane.ports import LogEvent, MetricDatum

_SELECTOR: Final = re.compile(r"\$(?:\.[\w@-]+)+")


def filtered_metrics(filters: Sequence[Mapping[str, Any]], events: Sequence[LogEvent]) -> Iterator[MetricDatum]:
    """Give the observations that ``filters`` of a log group make of its new events.

    A filter whose pattern the local cloud does not know (the space-delimited syntax) makes none.
    ``defaultValue``, which speaks of minutes without a match, is left out.

    Parameters
    ----------
    filters
        As ``DescribeMetricFilters`` gives them: ``filterPattern`` and ``metricTransformations``.
    events
        In order of time.
    """
    for one in filters:
        matches = _matcher(str(one.get("filterPattern") or ""))
        if matches is None:
            continue
        for event in events:
            if not matches(event.message):
                continue
            for transformation in one["metricTransformations"]:
                value = _read(event.message, str(transformation["metricValue"]))
                if value is None:
                    continue
                yield MetricDatum(
                    namespace=transformation["metricNamespace"],
                    name=transformation["metricName"],
                    dimensions=_dimensions(event.message, transformation.get("dimensions") or {}),
                    value=value,
                    unit=str(transformation.get("unit") or "None"),
                    timestamp_ms=event.timestamp_ms,
                )


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> Callable[[str], bool] | None:
    try:
        return compile_pattern(pattern)
    except InvalidParameterException:
        return None


def _read(message: str, value: str) -> float | None:
    """Give a constant, or the number at a selector such as ``$.record.metrics.initDurationMs``."""
    found: Any = _select(message, value) if value.startswith("$") else value
    if isinstance(found, bool):
        return None
    try:
        number = float(found)
    except (TypeError, ValueError, OverflowError):  # JSON's whole numbers know no bounds
        return None
    return number if math.isfinite(number) else None


def _dimensions(message: str, selectors: Mapping[str, str]) -> dict[str, str]:
    values = {name: _select(message, selector) for name, selector in selectors.items()}
    return {name: str(value) for name, value in values.items() if isinstance(value, str | int | float)}


def _select(message: str, selector: str) -> Any:
    if not _SELECTOR.fullmatch(selector):
        return None
    try:
        found: Any = json.loads(message)
    except (ValueError, RecursionError):
        return None
    for part in selector.split(".")[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    return found
