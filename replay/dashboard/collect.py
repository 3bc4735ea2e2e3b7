"""Reading the dashboard's figures from CloudWatch: one ``GetMetricData`` for up to 500 series, with a deadline each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from replay.aws import cloud_errors, error_code
from replay.dashboard.figures import FIGURES, Figure, address
from replay.dashboard.result import Board, Line
from replay.errors import CloudError, InputError

MAX_PERIODS: Final = 1_440
"""Most periods of one series that are read: a day of minutes."""
_KEPT_S: Final = ((63 * 86_400, 3_600), (15 * 86_400, 300))
"""Age from which on → what periods must be multiples of, or no value comes at all (API reference, ``MetricStat``)."""
_QUERIES_A_CALL: Final = 500
"""``GetMetricData`` takes so many (API reference)."""
_WEIGHT: Final = "SampleCount"


@dataclass(frozen=True)
class Window:
    """The time that is looked at.

    Raises
    ------
    InputError
        An end before the start, a period that CloudWatch does not know or no longer keeps, or more periods than are
        shown.
    """

    start: datetime
    end: datetime
    period_s: int = 60

    def __post_init__(self) -> None:
        if self.period_s < 60 or self.period_s % 60:
            raise InputError(f"--period {self.period_s} must be a multiple of 60 seconds; CloudWatch keeps minutes")
        seconds = (self.end - self.start).total_seconds()
        if seconds <= 0:
            raise InputError(f"--since {self.start.isoformat()} is not in the past")
        kept_s = next((kept_s for age_s, kept_s in _KEPT_S if seconds >= age_s), 60)
        if seconds / self.period_s > MAX_PERIODS:
            least = math.ceil(seconds / MAX_PERIODS / kept_s) * kept_s
            raise InputError(
                f"--period {self.period_s} makes {seconds / self.period_s:,.0f} periods of the time since "
                f"{self.start.isoformat()}; give {least} or more"
            )
        if self.period_s % kept_s:
            raise InputError(
                f"--period {self.period_s} must be a multiple of {kept_s} seconds for a time since "
                f"{self.start.isoformat()}: CloudWatch keeps no shorter ones so long"
            )


@dataclass(frozen=True)
class Scope:
    """What is looked at."""

    function: str
    roles: Mapping[str, Sequence[str]]
    """Version → aliases that route to it."""
    api_id: str | None


@dataclass(frozen=True)
class _Series:
    figure: Figure
    version: str | None
    period_s: int
    statistic: str
    metric: str
    namespace: str
    dimensions: Mapping[str, str]

    def query(self, identifier: str) -> dict[str, Any]:
        dimensions = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        return {
            "Id": identifier,
            "MetricStat": {
                "Metric": {"Namespace": self.namespace, "MetricName": self.metric, "Dimensions": dimensions},
                "Period": self.period_s,
                "Stat": self.statistic,
            },
        }


def scope_of(client: Any, function: str, api_id: str | None = None) -> Scope:
    """Find the versions that a function's aliases route to.

    Parameters
    ----------
    client
        boto3's for ``lambda``.
    function
        Name.
    api_id
        The HTTP API before it, where it is known.

    Raises
    ------
    InputError
        There is no such function.
    CloudError
        The cloud does not answer.
    """
    roles: dict[str, list[str]] = {}
    try:
        with cloud_errors(f"function {function}: its aliases cannot be read"):
            for page in client.get_paginator("list_aliases").paginate(FunctionName=function):
                for alias in page["Aliases"]:
                    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
                    own = 1.0 - sum(weights.values())
                    for version, weight in {alias["FunctionVersion"]: own, **weights}.items():
                        share = f" {100 * weight:g}%" if weights else ""
                        roles.setdefault(str(version), []).append(f"{alias['Name']}{share}")
    except CloudError as error:
        if error.__cause__ is not None and error_code(error.__cause__) == "ResourceNotFoundException":  # type: ignore[arg-type]  # only exceptions are causes here
            raise InputError(
                f"function {function!r} does not exist here; look at --function, --env and region"
            ) from None
        raise
    return Scope(function, {version: roles[version] for version in sorted(roles, key=_number)}, api_id)


def api_named(client: Any, name: str) -> str | None:
    """Give the id of the HTTP API of this name; None where there is none.

    Parameters
    ----------
    client
        boto3's for ``apigatewayv2``.

    Raises
    ------
    CloudError
        The cloud does not answer, or refuses.
    """
    with cloud_errors(f"API {name}: the list of APIs cannot be read"):
        for page in client.get_paginator("get_apis").paginate():
            for api in page["Items"]:
                if api["Name"] == name:
                    return str(api["ApiId"])
    return None


def collect(client: Any, scope: Scope, window: Window) -> Board:
    """Read every figure of ``scope`` over ``window``.

    Parameters
    ----------
    client
        boto3's for ``cloudwatch``.

    Raises
    ------
    CloudError
        CloudWatch does not answer, or refuses.
    """
    series = list(_wanted(scope, window))
    read = _read(client, series, window)
    lines = [_line(one, read) for one in dict.fromkeys((each.figure, each.version, each.period_s) for each in series)]
    notes = []
    if not scope.roles:
        notes.append(f"{scope.function} has no alias, so no version is shown")
    if scope.api_id is None:
        notes.append("no API is known, so its requests are not shown; give --api-id")
    if not any(line.points for line in lines):
        notes.append(
            "no metric has a value in this time: no request came, or the metrics are not there yet (a minute or two)"
        )
    return Board(scope.function, scope.api_id, window.start, window.end, scope.roles, lines, notes)


def _wanted(scope: Scope, window: Window) -> Iterator[_Series]:
    for version in [*scope.roles, None]:
        for figure in FIGURES:
            if (figure.subject in ("version", "resource")) != (version is not None):
                continue
            found = address(figure, scope.function, version, scope.api_id)
            if found is None:
                continue
            period_s = max(window.period_s, figure.period_s or 0)
            asked = [(figure.statistic, figure.metric)]
            if figure.part_of is not None:
                asked.append((figure.statistic, figure.part_of))
            elif figure.over == "mean":
                asked.append((_WEIGHT, figure.metric))
            for statistic, metric in asked:
                yield _Series(figure, version, period_s, statistic, metric, *found)


def _read(client: Any, series: Sequence[_Series], window: Window) -> dict[_SeriesKey, dict[int, float]]:
    found: dict[_SeriesKey, dict[int, float]] = {_key(one): {} for one in series}
    for first in range(0, len(series), _QUERIES_A_CALL):
        batch = {f"q{number}": one for number, one in enumerate(series[first : first + _QUERIES_A_CALL])}
        with cloud_errors("the dashboard's metrics cannot be read"):
            pages = client.get_paginator("get_metric_data").paginate(
                MetricDataQueries=[one.query(identifier) for identifier, one in batch.items()],
                StartTime=window.start,
                EndTime=window.end,
                ScanBy="TimestampAscending",
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    points = found[_key(batch[result["Id"]])]
                    for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                        points[int(at.timestamp())] = float(value)
    return found


_SeriesKey = tuple[Figure, str | None, str, str]


def _key(one: _Series) -> _SeriesKey:
    return one.figure, one.version, one.statistic, one.metric


def _line(one: tuple[Figure, str | None, int], read: Mapping[_SeriesKey, Mapping[int, float]]) -> Line:
    figure, version, period_s = one
    points = read[figure, version, figure.statistic, figure.metric]
    if figure.part_of is not None:
        whole = read[figure, version, figure.statistic, figure.part_of]
        shares = {at_s: value / whole[at_s] for at_s, value in points.items() if whole.get(at_s)}
        total = sum(whole[at_s] for at_s in shares)
        over = sum(points[at_s] for at_s in shares) / total if total else None
        return Line(figure, version, period_s, _scaled(shares, figure), None if over is None else over * figure.scale)
    over = None
    if points and figure.over == "mean":
        weights = read[figure, version, _WEIGHT, figure.metric]
        total = sum(weights.get(at_s, 0.0) for at_s in points)
        if total:
            over = sum(value * weights.get(at_s, 0.0) for at_s, value in points.items()) / total
    elif points:
        over = sum(points.values()) if figure.over == "sum" else max(points.values())
    return Line(figure, version, period_s, _scaled(points, figure), None if over is None else over * figure.scale)


def _scaled(points: Mapping[int, float], figure: Figure) -> dict[int, float]:
    return {at_s: value * figure.scale for at_s, value in points.items()}


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
