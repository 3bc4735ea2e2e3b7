"""CloudWatch Logs: moto's, with gapless paging, filter patterns, query definitions, and a sink for functions."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time
from types import SimpleNamespace
from typing import Any, ClassVar, Final, cast

from moto.logs import urls as logs_urls
from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.logs.models import LogEvent as MotoLogEvent
from moto.logs.models import LogsBackend, LogStream, logs_backends
from moto.logs.responses import LogsResponse

from replay.cloud.control_plane.extension import addresses
from replay.cloud.control_plane.filter_pattern import compile_pattern
from replay.cloud.control_plane.metric_filters import filtered_metrics
from replay.cloud.control_plane.metrics import MotoMetricSink
from replay.cloud.lambda_plane.ports import LogEvent

MAX_EVENTS_PER_PAGE: Final = 10_000
MAX_BYTES_PER_PAGE: Final = 1024 * 1024
"""``FilterLogEvents`` answers at most 1 MB or 10,000 events (API reference)."""

_log = logging.getLogger(__name__)


class ExtendedLogsBackend(LogsBackend):
    """Moto's CloudWatch Logs, extended."""

    visible_after_s: ClassVar[Callable[[str], float]] = staticmethod(lambda _: 0.0)
    """How late a service's data can be read; set before the first request."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.query_definitions: dict[str, dict[str, Any]] = {}

    @property
    def _url_module(self) -> SimpleNamespace:
        return addresses(logs_urls, LogsResponse, ExtendedLogsResponse)

    def append(self, log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        """Append events that the data plane made: known to be well-formed and recent, so nothing is checked."""
        self.ensure_log_group(log_group)
        group = self.groups[log_group]
        stream = group.streams.get(log_stream)
        if stream is None:
            stream = group.streams[log_stream] = LogStream(group, log_stream)
        try:
            stream.put_log_events([{"timestamp": event.timestamp_ms, "message": event.message} for event in events])
        except Exception as error:
            # They are in the stream by now: a function or stream that subscribes to the group is gone, which moto tells
            # in many ways. It must not take along what others have logged.
            _log.warning("%s: a subscription was not served: %s: %s", log_group, type(error).__name__, error)
        self._count(log_group, events)

    def put_metric_filter(
        self, filter_name: str, filter_pattern: str, log_group_name: str, metric_transformations: Any
    ) -> None:
        """``PutMetricFilter``: make one, or replace the one of that name (moto would keep both)."""
        self.filters.delete_filter(filter_name, log_group_name)
        super().put_metric_filter(filter_name, filter_pattern, log_group_name, metric_transformations)

    def put_log_events(
        self, log_group_name: str, log_stream_name: str, log_events: list[dict[str, Any]]
    ) -> tuple[str, dict[str, Any]]:
        """``PutLogEvents``; what metric filters make of the events goes to CloudWatch."""
        answer = super().put_log_events(log_group_name, log_stream_name, log_events)
        self._count(log_group_name, [LogEvent(event["timestamp"], event["message"]) for event in log_events])
        return answer

    def _count(self, log_group: str, events: Sequence[LogEvent]) -> None:
        filters = [one for one in self.filters.metric_filters if one["logGroupName"] == log_group]
        if filters:
            MotoMetricSink(self.account_id, self.region_name).put(list(filtered_metrics(filters, events)))

    def filter_log_events(
        self,
        log_group_name: str,
        log_stream_names: list[str],
        start_time: int,
        end_time: int,
        limit: int | None,
        next_token: str | None,
        filter_pattern: str,
        interleaved: bool,  # noqa: ARG002  (ignored by AWS too: results always are)
        log_stream_name_prefix: str | None = None,
    ) -> tuple[list[dict[str, Any]], str | None, list[dict[str, Any]]]:
        """Give matching events of all streams by time, a page at a time.

        The token holds time and id of the last event given, so that events that arrive while a reader pages through
        neither repeat nor shift the rest.
        """
        group = self.groups.get(log_group_name)
        if group is None:
            raise ResourceNotFoundException
        limit = _checked_limit(limit)
        matches = compile_pattern(filter_pattern)
        after = _read_token(log_group_name, next_token)
        late_s = type(self).visible_after_s("logs")
        until_ms = (time() - late_s) * 1000 if late_s else float("inf")
        low, high = start_time or 0, end_time if end_time is not None else float("inf")
        found: list[tuple[int, int, str, MotoLogEvent]] = []
        for name, stream in list(group.streams.items()):
            if log_stream_names and name not in log_stream_names:
                continue
            if log_stream_name_prefix and not name.startswith(log_stream_name_prefix):
                continue
            found.extend(
                (event.timestamp, event.event_id, name, event)
                for event in stream.events
                if low <= event.timestamp <= high
                and event.ingestion_time <= until_ms
                and (event.timestamp, event.event_id) > after
                and matches(event.message)
            )
        found.sort(key=lambda item: item[:2])
        page: list[dict[str, Any]] = []
        size = 0
        for timestamp, event_id, name, event in found[:limit]:
            size += len(event.message)
            if page and size > MAX_BYTES_PER_PAGE:
                break
            page.append(
                {
                    # Fixed width, so that ids sort as they were given.
                    "eventId": f"{event_id:056d}",
                    "ingestionTime": event.ingestion_time,
                    "logStreamName": name,
                    "message": event.message,
                    "timestamp": timestamp,
                }
            )
        more = len(page) < len(found)
        token = f"{log_group_name}@{found[len(page) - 1][0]}@{found[len(page) - 1][1]}" if more and page else None
        return page, token, []


class ExtendedLogsResponse(LogsResponse):
    """Moto's CloudWatch Logs actions with ours."""

    @property
    def _extended(self) -> ExtendedLogsBackend:
        return cast("ExtendedLogsBackend", self.logs_backend)

    def filter_log_events(self) -> str:
        """``FilterLogEvents`` with ``logGroupIdentifier`` and ``logStreamNamePrefix``."""
        identifier = self._get_param("logGroupIdentifier")
        name = self._get_param("logGroupName") or str(identifier or "").split(":log-group:")[-1].split(":")[0]
        events, token, searched = self._extended.filter_log_events(
            name,
            self._get_param("logStreamNames", []),
            self._get_param("startTime"),
            self._get_param("endTime"),
            self._get_param("limit"),
            self._get_param("nextToken"),
            self._get_param("filterPattern"),
            True,
            self._get_param("logStreamNamePrefix"),
        )
        return json.dumps({"events": events, "nextToken": token, "searchedLogStreams": searched})

    def put_query_definition(self) -> str:
        """``PutQueryDefinition``: make one, or replace the one whose id is given."""
        given = self._get_param("queryDefinitionId")
        known = self._extended.query_definitions
        if given and given not in known:
            raise ResourceNotFoundException("Query definition does not exist.")
        definition_id = given or str(uuid.uuid4())
        known[definition_id] = {
            "queryDefinitionId": definition_id,
            "queryLanguage": self._get_param("queryLanguage") or "CWLI",
            "name": self._get_param("name"),
            "queryString": self._get_param("queryString"),
            "logGroupNames": self._get_param("logGroupNames", []),
            "lastModified": int(time() * 1000),
        }
        return json.dumps({"queryDefinitionId": definition_id})

    def describe_query_definitions(self) -> str:
        """``DescribeQueryDefinitions``."""
        prefix = self._get_param("queryDefinitionNamePrefix") or ""
        found = [d for d in self._extended.query_definitions.values() if str(d["name"]).startswith(prefix)]
        limit = int(self._get_param("maxResults") or 1_000)
        first = int(self._get_param("nextToken") or 0)
        answer: dict[str, Any] = {"queryDefinitions": found[first : first + limit]}
        if first + limit < len(found):
            answer["nextToken"] = str(first + limit)
        return json.dumps(answer)

    def delete_query_definition(self) -> str:
        """``DeleteQueryDefinition``."""
        definition = self._extended.query_definitions.pop(self._get_param("queryDefinitionId"), None)
        if definition is None:
            raise ResourceNotFoundException("Query definition does not exist.")
        return json.dumps({"success": True})


@dataclass(frozen=True)
class MotoLogSink:
    """Implements :class:`replay.cloud.lambda_plane.ports.LogSink`."""

    account: str
    region: str

    def put(self, log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        """Append events."""
        cast("ExtendedLogsBackend", logs_backends[self.account][self.region]).append(log_group, log_stream, events)


def _checked_limit(limit: int | None) -> int:
    if limit is not None and not 1 <= limit <= MAX_EVENTS_PER_PAGE:
        raise InvalidParameterException(
            constraint=f"Member must have value between 1 and {MAX_EVENTS_PER_PAGE}", parameter="limit", value=limit
        )
    return limit or MAX_EVENTS_PER_PAGE


def _read_token(log_group: str, token: str | None) -> tuple[int, int]:
    """Give time and id of the last event already given; before all where there is no token."""
    if token is None:
        return (-1, -1)
    group, _, rest = token.rpartition("@")[0].rpartition("@")
    try:
        if group != log_group:
            raise ValueError(token)
        return int(rest), int(token.rpartition("@")[2])
    except ValueError:
        raise InvalidParameterException("The specified nextToken is invalid.") from None
