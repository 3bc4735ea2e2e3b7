"""Reading a time range of CloudWatch Logs until it is complete: log lines arrive late, and out of order."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from replay.aws import cloud_errors, error_code
from replay.errors import CloudError, InputError
from replay.record.collect import Collector, Counts, LogLine
from simulator.trace import Trace, TraceMetadata

_PAGE_EVENTS: Final = 10_000
"""Most events that FilterLogEvents gives at once (CloudWatch Logs API)."""
LONGEST_INVOCATION_S: Final = 900.0
"""Lambda's longest time-out: a request that began in the range may report this much later."""


@dataclass(frozen=True)
class Settle:
    """How long to wait for late log lines.

    Parameters
    ----------
    poll_s
        Seconds between two looks.
    quiet_s
        The recording is complete when nothing new has come for this long.
    timeout_s
        Give up waiting, and say so, after this long.
    """

    poll_s: float = 2.0
    quiet_s: float = 6.0
    timeout_s: float = 90.0

    def __post_init__(self) -> None:
        for name in ("poll_s", "quiet_s", "timeout_s"):
            value = getattr(self, name)
            if not value >= 0:
                raise InputError(f"settle: {name}={value!r} must be 0 or more seconds")


@dataclass(frozen=True)
class Recording:
    """A trace from the logs, and how complete it is."""

    trace: Trace
    counts: Counts
    settled: bool
    """False where lines were still coming, or expected ones missing, when the waiting time was up."""
    missing: int
    """Expected request ids that have no REPORT."""
    log_group: str

    def warnings(self) -> list[str]:
        """Say what is incomplete, one line each."""
        counts, found = self.counts, []
        if counts.without_report:
            found.append(
                f"{counts.without_report} of {counts.invocations} invocations have no REPORT: their duration, billing "
                "and INIT are null"
            )
        if counts.without_record:
            found.append(
                f"{counts.without_record} of {counts.invocations} invocations have no record of the function's own: "
                "their tokens and model latency are null"
            )
        if self.missing:
            found.append(f"{self.missing} requests that the caller sent have no REPORT in {self.log_group}")
        if not self.settled:
            found.append(
                f"log lines of {self.log_group} were still coming or missing when the time was up; record again"
            )
        return found


def record(
    logs: Any,
    log_group: str,
    *,
    start: datetime,
    end: datetime,
    expected: Collection[str] = (),
    variants: Mapping[str, str] | None = None,
    settle: Settle | None = None,
    longest_s: float = LONGEST_INVOCATION_S,
    function: str | None = None,
    progress: Callable[[int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Recording:
    """Record the invocations that began in [``start``, ``end``).

    Parameters
    ----------
    logs
        A boto3 ``logs`` client.
    log_group
        Where the function logs.
    start, end
        With a time zone.
    expected
        Request ids known from the caller: once all of them have reported, there is nothing to wait for.
    variants
        Version → variant, for functions that do not say it themselves.
    settle
        How long to wait for late lines.
    longest_s
        How long after ``end`` an invocation that began before it may report.
    function
        The function's name, for the metadata.
    progress
        Called after each look with the number of reports so far.
    clock, sleep
        For tests.

    Raises
    ------
    InputError
        ``start`` is not before ``end``, a time lacks its zone, or there is no such log group.
    CloudError
        CloudWatch Logs refused or did not answer, or no invocation was found.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise InputError("start and end need a time zone; write 2026-11-21T10:00:00Z")
    if not start < end:
        raise InputError(f"start {start.isoformat()} must lie before end {end.isoformat()}")
    settle = settle or Settle()
    collector = Collector()
    window = _Window(logs, log_group, start, end, longest_s)
    settled = _read_until_quiet(collector, window, frozenset(expected), settle, progress, clock, sleep)
    region = getattr(getattr(logs, "meta", None), "region_name", None)
    trace, counts = collector.trace(
        start_ms=start.timestamp() * 1e3,
        end_ms=end.timestamp() * 1e3,
        variants=variants or {},
        metadata=TraceMetadata(source="cloudwatch", function=function, region=region, notes={"log_group": log_group}),
    )
    if trace is None:
        outside = f" ({counts.outside} outside of it)" if counts.outside else ""
        raise CloudError(
            f"{log_group}: no invocation between {start.isoformat()} and {end.isoformat()}{outside}; "
            "check the time range, and that the function logs there"
        )
    return Recording(trace, counts, settled, len(collector.missing(expected)), log_group)


def function_log_group(client: Any, function: str) -> str:
    """Ask Lambda (a boto3 ``lambda`` client) where ``function`` logs.

    Raises
    ------
    InputError
        No such function.
    CloudError
        Lambda refused or did not answer.
    """
    from botocore.exceptions import ClientError

    with cloud_errors(f"function {function}: cannot be looked up"):
        try:
            answer = client.get_function_configuration(FunctionName=function)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                raise InputError(
                    f"function {function!r} does not exist here; check name, region and account"
                ) from error
            raise
    return str(answer.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{answer['FunctionName']}")


@dataclass(frozen=True)
class _Window:
    """One stretch of one log group."""

    logs: Any = field(repr=False)
    log_group: str
    start: datetime
    end: datetime
    longest_s: float

    def lines(self) -> Iterator[LogLine]:
        """Read every page once."""
        from botocore.exceptions import ClientError

        until_s = min(
            self.end.timestamp() + self.longest_s, max(datetime.now(UTC).timestamp(), self.end.timestamp()) + 1
        )
        request: dict[str, Any] = {
            "logGroupName": self.log_group,
            # An invocation that began just before the range is read whole, and left out by its start.
            "startTime": int(self.start.timestamp() * 1e3),
            "endTime": int(until_s * 1e3),
            "limit": _PAGE_EVENTS,
        }
        with cloud_errors(f"log group {self.log_group}: cannot be read"):
            while True:
                try:
                    page = self.logs.filter_log_events(**request)
                except ClientError as error:
                    if error_code(error) == "ResourceNotFoundException":
                        raise InputError(
                            f"log group {self.log_group!r} does not exist here; check function name and region"
                        ) from error
                    raise
                for event in page["events"]:
                    yield LogLine(event["eventId"], event["logStreamName"], event["timestamp"], event["message"])
                token = page.get("nextToken")
                if not token or token == request.get("nextToken"):
                    return
                request["nextToken"] = token


def _read_until_quiet(
    collector: Collector,
    window: _Window,
    expected: frozenset[str],
    settle: Settle,
    progress: Callable[[int], None] | None,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> bool:
    """Look again and again; True where everything expected came, or nothing new did for a while."""
    began = changed = clock()
    before: tuple[int, int, int] | None = None
    while True:
        collector.add(window.lines())
        now = clock()
        if collector.progress != before:
            before, changed = collector.progress, now
        if progress is not None:
            progress(collector.progress[1])
        missing = collector.missing(expected)
        if expected and not missing:
            return True
        if now - changed >= settle.quiet_s and now - began >= settle.quiet_s:
            return not missing
        if now - began >= settle.timeout_s:
            return False
        sleep(min(settle.poll_s, max(0.0, settle.timeout_s - (now - began))))
