"""CloudWatch metrics: moto's, on series that are found by name, with percentile and trimmed statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from moto.cloudwatch import urls as cloudwatch_urls
from moto.cloudwatch.exceptions import (
    InvalidParameterCombination,
    InvalidParameterValue,
    ValidationError,
)
from moto.cloudwatch.models import CloudWatchBackend, MetricDatumBase, cloudwatch_backends
from moto.cloudwatch.models import MetricDatum as MotoDatum
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from replay.cloud.control_plane.extension import addresses
from replay.cloud.control_plane.metric_series import (
    MetricSeries,
    Observation,
    by_period,
    is_statistic,
    metric_key,
    statistic,
)
from replay.cloud.lambda_plane.ports import MetricDatum


class ExtendedCloudWatchBackend(CloudWatchBackend):
    """Moto's CloudWatch, extended."""

    visible_after_s: ClassVar[Callable[[str], float]] = staticmethod(lambda _: 0.0)
    """How late a service's data can be read; set before the first request."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.series = MetricSeries()

    @property
    def _url_module(self) -> SimpleNamespace:
        return addresses(cloudwatch_urls, CloudWatchResponse, ExtendedCloudWatchResponse)

    def put_metric_data(self, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        """``PutMetricData``: single values, values with counts, and statistic sets."""
        for index, metric in enumerate(metric_data):
            self._validate_parameters_put_metric_data(metric, index + 1)
        for metric in metric_data:
            dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions") or []}
            key = metric_key(namespace, metric["MetricName"], dimensions)
            time_s, unit = _seconds(metric.get("Timestamp")), metric.get("Unit")
            if metric.get("Values"):
                counts = metric.get("Counts") or [1] * len(metric["Values"])
                for value, count in zip(metric["Values"], counts, strict=True):
                    self.series.add(key, Observation.single(time_s, float(value), unit, float(count)))
            elif metric.get("StatisticValues"):
                stats = {name: float(value) for name, value in metric["StatisticValues"].items()}
                observation = Observation(
                    time_s, stats["Sum"], stats["Minimum"], stats["Maximum"], stats["SampleCount"], unit
                )
                self.series.add(key, observation)
            else:
                self.series.add(key, Observation.single(time_s, float(metric.get("Value", 0)), unit))

    def get_metric_data(
        self,
        queries: list[dict[str, Any]],
        start_time: datetime,
        end_time: datetime,
        scan_by: str = "TimestampAscending",
    ) -> list[dict[str, Any]]:
        """``GetMetricData`` for metric queries, and for expressions that are the id of a query before them."""
        start_s, end_s = _seconds(start_time), _seconds(end_time)
        if start_s >= end_s:
            raise ValidationError("The parameter EndTime must be greater than StartTime.")
        results: list[dict[str, Any]] = []
        wanted: list[dict[str, Any]] = []
        for query in queries:
            if "MetricStat" in query:
                result = self._metric_query(query, start_s, end_s)
            else:
                known = next((found for found in results if found["id"] == query["Expression"]), None)
                if known is None:
                    raise ValidationError(
                        f"The local cloud evaluates no metric math: {query['Expression']!r} is not the id of a query "
                        "before it. Ask for the MetricStats and compute the rest."
                    )
                result = _result(query, query["Id"], known["timestamps"], known["values"])
            results.append(result)
            if query.get("ReturnData", True) not in (False, "false"):
                wanted.append(result)
        if scan_by == "TimestampDescending":
            wanted = [{**r, "timestamps": r["timestamps"][::-1], "values": r["values"][::-1]} for r in wanted]
        return wanted

    def statistics(
        self,
        namespace: str,
        name: str,
        dimensions: list[dict[str, str]],
        start_s: float,
        end_s: float,
        period_s: int,
        wanted: list[str],
        unit: str | None = None,
    ) -> list[tuple[float, dict[str, float], str | None]]:
        """Give (period's start, statistics by name, unit) for each period that holds observations."""
        unknown = [stat for stat in wanted if not is_statistic(stat)]
        if unknown:
            raise InvalidParameterValue(f"The value {unknown[0]} for parameter Stat is not supported.")
        if period_s not in (1, 5, 10, 20, 30) and (period_s < 1 or period_s % 60):
            raise InvalidParameterValue("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60 seconds.")
        # A range that begins within a period takes the whole period in, as CloudWatch rounds the start down.
        first_s = start_s // period_s * period_s
        key = metric_key(namespace, name, {d["Name"]: d["Value"] for d in dimensions or []})
        if late_s := type(self).visible_after_s("monitoring"):
            end_s = min(end_s, time() - late_s)
        periods = by_period(self.series.between(key, first_s, end_s, unit), period_s)
        rows = []
        for time_s, observations in periods:
            values = {stat: value for stat in wanted if (value := statistic(stat, observations)) is not None}
            if values:
                rows.append((time_s, values, observations[0].unit))
        return rows

    def get_filtered_metrics(
        self, metric_name: str, namespace: str, dimensions: list[dict[str, str]]
    ) -> list[MetricDatumBase]:
        """List each metric once that has this name, this namespace and at least these dimensions."""
        found: list[MetricDatumBase] = []
        for known_namespace, known_name, known_dimensions in self.series.keys():  # noqa: SIM118  (a method, not a dict)
            if (namespace and namespace != known_namespace) or (metric_name and metric_name != known_name):
                continue
            has = dict(known_dimensions)
            if all(has.get(d["Name"]) == d.get("Value", has.get(d["Name"])) != None for d in dimensions or []):  # noqa: E711  (a chain of comparisons)
                named = [{"Name": name, "Value": value} for name, value in known_dimensions]
                found.append(MotoDatum(known_namespace, known_name, 0.0, named, None))
        return found + [datum for datum in self.aws_metric_data if datum.filter(namespace, metric_name, dimensions)]

    def _metric_query(self, query: dict[str, Any], start_s: float, end_s: float) -> dict[str, Any]:
        stat = query["MetricStat"]
        metric = stat["Metric"]
        rows = self.statistics(
            metric["Namespace"],
            metric["MetricName"],
            metric.get("Dimensions") or [],
            start_s,
            end_s,
            int(stat["Period"]),
            [stat["Stat"]],
            stat.get("Unit"),
        )
        timestamps = [_time(time_s) for time_s, _, _ in rows]
        return _result(
            query, f"{metric['MetricName']} {stat['Stat']}", timestamps, [v[stat["Stat"]] for _, v, _ in rows]
        )


class ExtendedCloudWatchResponse(CloudWatchResponse):
    """Moto's CloudWatch actions with ours."""

    def get_metric_statistics(self) -> ActionResult:
        """``GetMetricStatistics`` with ``ExtendedStatistics``."""
        simple = self._get_param("Statistics", []) or []
        extended = self._get_param("ExtendedStatistics", []) or []
        if not simple and not extended:
            raise InvalidParameterCombination("Must specify either Statistics or ExtendedStatistics")
        start_s, end_s = _seconds(self._get_param("StartTime")), _seconds(self._get_param("EndTime"))
        if start_s >= end_s:
            raise InvalidParameterValue("The parameter StartTime must be less than the parameter EndTime.")
        name = self._get_param("MetricName")
        rows = cast("ExtendedCloudWatchBackend", self.cloudwatch_backend).statistics(
            self._get_param("Namespace"),
            name,
            self._get_param("Dimensions", []),
            start_s,
            end_s,
            int(self._get_param("Period")),
            [*simple, *extended],
            self._get_param("Unit"),
        )
        points = []
        for time_s, values, unit in rows:
            point: dict[str, Any] = {"Timestamp": _time(time_s), "Unit": unit or "None"}
            point |= {stat: value for stat, value in values.items() if stat in simple}
            if extended:
                point["ExtendedStatistics"] = {stat: value for stat, value in values.items() if stat in extended}
            points.append(point)
        return ActionResult({"Label": name, "Datapoints": points})


@dataclass(frozen=True)
class MotoMetricSink:
    """Implements :class:`replay.cloud.lambda_plane.ports.MetricSink`."""

    account: str
    region: str

    def put(self, data: Sequence[MetricDatum]) -> None:
        """Add observations."""
        series = cast("ExtendedCloudWatchBackend", cloudwatch_backends[self.account][self.region]).series
        for datum in data:
            key = metric_key(datum.namespace, datum.name, datum.dimensions)
            series.add(key, Observation.single(datum.timestamp_ms / 1000.0, datum.value, datum.unit))


def _result(query: dict[str, Any], label: str, timestamps: list[Any], values: list[Any]) -> dict[str, Any]:
    return {
        "id": query["Id"],
        "label": query.get("Label") or label,
        "values": values,
        "timestamps": timestamps,
        "status_code": "Complete",
    }


def _seconds(time: datetime | None) -> float:
    """Give seconds since the epoch; a time without zone is UTC, none is now."""
    if time is None:
        return datetime.now(UTC).timestamp()
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _time(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)
