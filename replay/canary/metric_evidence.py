"""Evidence from CloudWatch metrics by version: counts by the minute, whatever the traffic.

What a minute saw is read once, when it is two minutes old: CloudWatch may still add to a younger one. Lambda's own
metrics know function errors and durations, the function's embedded metrics the failures that it handled; both by
version. They do not tell cold from warm, nor a request's tokens: objectives about these need the logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from replay.aws import cloud_errors
from replay.canary.assembler import LATE_S
from replay.canary.batch import Batch, Key, Tally, merge
from replay.canary.errors import EvidenceDownError
from replay.canary.plan import ObjectiveSpec
from replay.canary.ports import StepSpan
from replay.canary.reference import Reference
from replay.canary.requests import counters
from replay.errors import CloudError

_PERIOD_S: Final = 60
_SETTLE_S: Final = 120.0
_FAILED: Final = ("InternalError", "Forbidden")
_OWN_NAMESPACE: Final = "tailcast"
UNSEEN: Final = ("cold_share", "cost_usd_per_1000", "timeout_rate")
"""Objectives that metrics say nothing about. A hard time-out is among Lambda's errors, not apart from them."""


@dataclass(frozen=True)
class _Query:
    name: str
    metric: Mapping[str, Any]
    statistic: str


class MetricEvidence:
    """See :class:`replay.canary.ports.EvidenceSource`.

    Parameters
    ----------
    cloudwatch
        A boto3 ``cloudwatch`` client.
    function, alias
        Which alias.
    baseline, candidate
        Published versions.
    objectives
        What is counted.
    history_s
        How far back the baseline's history goes.
    """

    def __init__(
        self,
        cloudwatch: Any,
        function: str,
        alias: str,
        *,
        baseline: str,
        candidate: str,
        objectives: Sequence[ObjectiveSpec],
        history_s: float,
    ) -> None:
        self._cloudwatch = cloudwatch
        self._function = function
        self._alias = alias
        self._versions = {False: baseline, True: candidate}
        self._objectives = tuple(objectives)
        self._history_s = history_s
        self._next_minute_s: float | None = None
        self._own: dict[str, list[Mapping[str, Any]]] = {}

    def reference(self, now_s: float) -> Reference:
        """Ask for the baseline's percentiles and counts over the history."""
        end_s = now_s // _PERIOD_S * _PERIOD_S
        start_s = end_s - max(self._history_s // _PERIOD_S, 1) * _PERIOD_S
        period_s = int(end_s - start_s)
        quantiles = [spec for spec in self._objectives if spec.is_quantile and spec.is_relative]
        first = self._read(
            [
                *self._count_queries(False),
                *(
                    _Query(spec.metric, self._latency_metric(spec, False), f"p{spec.probability * 100:g}")
                    for spec in quantiles
                ),
            ],
            start_s,
            end_s,
            period_s,
        )
        values = next(iter(first.values()), {})
        requests = int(values.get("requests", 0))
        threshold = {spec.metric: values[spec.metric] for spec in quantiles if values.get(spec.metric)}
        unseen = [spec.metric for spec in self._objectives if spec.metric in UNSEEN]
        notes = [f"{metric}: metrics do not show it, so it is not judged; use the logs" for metric in unseen]
        notes += [f"{spec.metric}: no history" for spec in quantiles if spec.metric not in threshold]
        return Reference(
            requests,
            threshold,
            {},
            {},
            {"error_rate": _error_count(values) / requests if requests else 0.0},
            1.0,
            requests / period_s,
            tuple(unseen),
            tuple(notes),
        )

    def look(self, spans: Sequence[StepSpan], reference: Reference, since_s: float, now_s: float) -> Batch:
        """Give the minutes that became old enough since the last look."""
        if self._next_minute_s is None:
            settled_s = (since_s - _SETTLE_S) // _PERIOD_S * _PERIOD_S
            # The minute of a shift belongs to both weights; counting begins with the first whole one.
            self._next_minute_s = max(settled_s, -(-spans[0].start_s // _PERIOD_S) * _PERIOD_S)
        end_s = (now_s - _SETTLE_S) // _PERIOD_S * _PERIOD_S
        if end_s <= self._next_minute_s:
            return Batch()
        wanted = [
            (name, limit_ms, spec)
            for spec in self._objectives
            if spec.is_quantile
            for name, limit_ms in counters(spec, reference)
        ]
        tallies: dict[Key, list[Tally]] = {}
        seen_until_s = self._next_minute_s
        for candidate in (False, True):
            queries = [
                *self._count_queries(candidate),
                *(
                    _Query(name, self._latency_metric(spec, candidate), f"TC({limit_ms:.6g}:)")
                    for name, limit_ms, spec in wanted
                ),
            ]
            for minute_s, values in self._read(queries, self._next_minute_s, end_s, _PERIOD_S).items():
                if not values.get("requests"):
                    continue
                seen_until_s = max(seen_until_s, minute_s + _PERIOD_S)
                step = _step_of(spans, minute_s)
                if step is None:
                    continue
                tally = self._tally(values, [name for name, _, _ in wanted])
                tallies.setdefault(Key(step, False, candidate), []).append(tally)
        # A minute in which neither arm has a request is late rather than quiet, until a later one has some.
        late_s = now_s - seen_until_s
        self._next_minute_s = max(seen_until_s, min(end_s, (now_s - LATE_S) // _PERIOD_S * _PERIOD_S))
        note = f"metrics: nothing newer than {late_s / 60:.0f} min" if seen_until_s < end_s else None
        return Batch({key: merge(found) for key, found in tallies.items()}, note=note)

    def _tally(self, values: Mapping[str, float], over: Iterable[str]) -> Tally:
        requests = int(values["requests"])
        counts = {name: (min(int(values.get(name, 0)), requests), requests) for name in over}
        counts["error_rate"] = (min(_error_count(values), requests), requests)
        counts["throttle_rate"] = (min(int(values.get("Throttles", 0)), requests), requests)
        return Tally(requests, counts)

    # ---- queries ---------------------------------------------------------------------------------------------------

    def _count_queries(self, candidate: bool) -> list[_Query]:
        queries = [
            _Query("requests", self._lambda_metric("Invocations", candidate), "Sum"),
            _Query("function_errors", self._lambda_metric("Errors", candidate), "Sum"),
        ]
        for index, metric in enumerate(self._own_metrics(candidate)):
            queries.append(_Query(f"{metric['MetricName']}#{index}", metric, "Sum"))
        return queries

    def _lambda_metric(self, name: str, candidate: bool) -> Mapping[str, Any]:
        dimensions = {
            "FunctionName": self._function,
            "Resource": f"{self._function}:{self._alias}",
            "ExecutedVersion": self._versions[candidate],
        }
        return {
            "Namespace": "AWS/Lambda",
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        }

    def _latency_metric(self, spec: ObjectiveSpec, candidate: bool) -> Mapping[str, Any]:
        if spec.column == "execution_ms":
            return self._lambda_metric("Duration", candidate)
        name = {"inference_ms": "InferenceMs", "ttft_ms": "TtftMs"}[spec.column]
        own = next((metric for metric in self._own_metrics(candidate, (name,))), None)
        return own or {"Namespace": _OWN_NAMESPACE, "MetricName": name, "Dimensions": []}

    def _own_metrics(
        self, candidate: bool, names: tuple[str, ...] = ("Errors", "Timeouts", "Throttles")
    ) -> list[Mapping[str, Any]]:
        """Find the function's embedded metrics of a version; their third dimension, the variant, is the function's."""
        version = self._versions[candidate]
        if not self._own.get(version):
            with _asking("ListMetrics"):
                pages = self._cloudwatch.get_paginator("list_metrics").paginate(
                    Namespace=_OWN_NAMESPACE,
                    Dimensions=[{"Name": "function", "Value": self._function}, {"Name": "version", "Value": version}],
                )
                self._own[version] = [metric for page in pages for metric in page["Metrics"]]
        return [
            {key: metric[key] for key in ("Namespace", "MetricName", "Dimensions")}
            for metric in self._own[version]
            if metric["MetricName"] in names
        ]

    def _read(
        self, queries: Sequence[_Query], start_s: float, end_s: float, period_s: int
    ) -> dict[float, dict[str, float]]:
        """Give minute → name → value."""
        request: dict[str, Any] = {
            "MetricDataQueries": [
                {
                    "Id": f"q{index}",
                    "MetricStat": {"Metric": query.metric, "Period": period_s, "Stat": query.statistic},
                }
                for index, query in enumerate(queries)
            ],
            "StartTime": datetime.fromtimestamp(start_s, UTC),
            "EndTime": datetime.fromtimestamp(end_s, UTC),
            "ScanBy": "TimestampAscending",
        }
        found: dict[float, dict[str, float]] = {}
        with _asking("GetMetricData"):
            for page in self._cloudwatch.get_paginator("get_metric_data").paginate(**request):
                for result in page["MetricDataResults"]:
                    if result.get("StatusCode") in _FAILED:
                        # Its values are missing: that is not to say that there were none.
                        raise EvidenceDownError(
                            f"CloudWatch GetMetricData: one metric's answer is {result['StatusCode']}"
                        )
                    name = queries[int(result["Id"][1:])].name
                    for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                        values = found.setdefault(at.timestamp(), {})
                        # The function's own counters come one per variant.
                        plain = name.partition("#")[0]
                        values[plain] = values.get(plain, 0.0) + value
        return found


def _error_count(values: Mapping[str, float]) -> int:
    return int(values.get("function_errors", 0) + values.get("Errors", 0) + values.get("Timeouts", 0))


def _step_of(spans: Sequence[StepSpan], minute_s: float) -> int | None:
    """Give the step that the whole minute lies in; None where it holds a shift."""
    inside = [span for span in spans if span.start_s <= minute_s]
    if not inside or any(minute_s < span.start_s < minute_s + _PERIOD_S for span in spans):
        return None
    return inside[-1].index


@contextmanager
def _asking(action: str) -> Iterator[None]:
    try:
        with cloud_errors(f"CloudWatch {action}"):
            yield
    except CloudError as error:
        raise EvidenceDownError(str(error)) from error
