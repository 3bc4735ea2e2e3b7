"""The ``AWS/Lambda`` metrics of an invocation, in every set of dimensions that Lambda publishes.

Source: Lambda developer guide, "Types of metrics for Lambda functions" and "Viewing metrics for Lambda functions": by
function, by resource (alias or version), and for an alias that splits its traffic by executed version too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from replay.cloud.lambda_plane.platform_log import Report
from replay.cloud.lambda_plane.ports import MetricDatum, Route

NAMESPACE: Final = "AWS/Lambda"


def dimension_sets(route: Route, executed_version: str | None) -> list[dict[str, str]]:
    """Give the dimensions under which an invocation counts; a throttled one has no executed version."""
    sets = [{"FunctionName": route.function_name}]
    if route.qualifier != "$LATEST":
        resource = {**sets[0], "Resource": f"{route.function_name}:{route.qualifier}"}
        sets.append(resource)
        if executed_version is not None and executed_version != route.qualifier:
            sets.append({**resource, "ExecutedVersion": executed_version})
    return sets


def of_invocation(
    route: Route,
    version: str,
    report: Report,
    *,
    failed: bool,
    concurrent: int,
    provisioned: bool,
    spilled: bool,
    provisioned_use: float | None,
    timestamp_ms: int,
) -> Iterator[MetricDatum]:
    """Give the observations of an invocation that ran.

    Parameters
    ----------
    failed
        The handler raised, the process ended, or it timed out.
    concurrent
        Executions of the function when it began, itself included.
    provisioned, spilled
        It ran on provisioned concurrency; it did not although its version has some.
    provisioned_use
        Share of the version's provisioned concurrency that was busy when it began; None where it has none.
    """
    values = [
        ("Invocations", 1.0, "Count"),
        ("Errors", float(failed), "Count"),
        ("Throttles", 0.0, "Count"),
        ("Duration", report.duration_ms, "Milliseconds"),
        ("ConcurrentExecutions", float(concurrent), "Count"),
    ]
    sets = dimension_sets(route, version)
    for dimensions in sets:
        for name, value, unit in values:
            yield MetricDatum(NAMESPACE, name, dimensions, value, unit, timestamp_ms)
    if provisioned_use is None:
        return
    # Provisioned concurrency lies on a version, so its metrics are told by version, whoever was invoked.
    resource = {"FunctionName": route.function_name, "Resource": f"{route.function_name}:{version}"}
    own = [("ProvisionedConcurrencyUtilization", provisioned_use, "None")]
    if provisioned:
        own.append(("ProvisionedConcurrencyInvocations", 1.0, "Count"))
    if spilled:
        own.append(("ProvisionedConcurrencySpilloverInvocations", 1.0, "Count"))
    for dimensions in [*sets, *([] if resource in sets else [resource])]:
        for name, value, unit in own:
            yield MetricDatum(NAMESPACE, name, dimensions, value, unit, timestamp_ms)


def of_throttle(route: Route, timestamp_ms: int) -> Iterator[MetricDatum]:
    """Give the observations of a request that got 429: it is no invocation and no error."""
    for dimensions in dimension_sets(route, None):
        yield MetricDatum(NAMESPACE, "Throttles", dimensions, 1.0, "Count", timestamp_ms)
