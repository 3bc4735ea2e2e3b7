"""Evidence from CloudWatch Logs: exact, request by request.

Every look reads the last minute again, and now and then the last quarter of an hour, since lines come late; a request
is counted once, by its id, in the look at which it is complete, and in the step during which it arrived. The minute
must be read; where the quarter is more than can be read in time, what is later than a minute may be lost, of both
versions alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np

from replay.aws import cloud_errors
from replay.canary.assembler import LATE_S, Assembler, Invocation
from replay.canary.batch import Batch
from replay.canary.errors import EvidenceDownError
from replay.canary.plan import COST, ObjectiveSpec
from replay.canary.ports import StepSpan
from replay.canary.reference import Reference, reference_of
from replay.canary.requests import Requests, reduce_requests
from replay.errors import CloudError
from replay.record.collect import LogLine

_PAGE_EVENTS: Final = 10_000
_OVERLAP_S: Final = 60.0
_WIDE_EVERY_S: Final = 60.0
"""So often, or at each look, the whole of LATE_S is read again."""
_READ_AT_MOST_S: Final = 8.0
"""For the minute, and for the quarter: together under a lease, which must not run out while a look reads."""
_HISTORY_AT_MOST_S: Final = 300.0
"""Before the start nothing waits: half an hour of 200 requests a second is some 400 pages of a megabyte."""
_SKEW_S: Final = 5.0
"""By how much a function's clock may be behind that of whoever began a step."""

Pricer = Callable[[Sequence[Invocation]], "np.ndarray[tuple[int], np.dtype[np.float64]]"]


class LogEvidence:
    """See :class:`replay.canary.ports.EvidenceSource`.

    Parameters
    ----------
    logs
        A boto3 ``logs`` client.
    log_group
        Where the function logs.
    baseline, candidate
        Published versions.
    objectives
        What is counted.
    history_s
        How far back the baseline's history goes.
    price
        Gives the variable cost of requests in USD; None where no objective is about cost.
    """

    def __init__(
        self,
        logs: Any,
        log_group: str,
        *,
        baseline: str,
        candidate: str,
        objectives: Sequence[ObjectiveSpec],
        history_s: float,
        price: Pricer | None = None,
    ) -> None:
        self._logs = logs
        self._log_group = log_group
        self._baseline = baseline
        self._candidate = candidate
        self._objectives = tuple(objectives)
        self._history_s = history_s
        self._price = price
        self._assembler = Assembler()
        self._wide_at_s: float | None = None
        self._read_until_s: float | None = None
        self._count_from_s: float | None = None
        self._before = (0, 0)

    def reference(self, now_s: float) -> Reference:
        """Read the baseline's history, and fix the thresholds from it."""
        history = Assembler(grace_s=0.0)
        start_s = now_s - self._history_s
        history.add(self._lines(start_s, now_s, _HISTORY_AT_MOST_S), now_s)
        # What is incomplete now was so when it was read: nothing to wait for.
        found = [one for one in history.complete(now_s + 1) if one.executed_version == self._baseline]
        kept = [one for one in found if one.arrival_s >= start_s and one.status != "rejected"]
        requests = self._columns(kept, [0] * len(kept))
        answered = ~requests.throttled & (~requests.failed | requests.timed_out)
        n = len(requests)
        rates = {
            "error_rate": requests.failed,
            "timeout_rate": requests.timed_out,
            "throttle_rate": requests.throttled,
            "cold_share": requests.cold,
        }
        span_s = max(now_s - min((one.arrival_s for one in kept), default=now_s), 1.0)
        return reference_of(
            self._objectives,
            {name: values[answered] for name, values in requests.latencies_ms.items()},
            {name: float(values.mean()) if n else 0.0 for name, values in rates.items()},
            requests=n,
            requests_per_s=n / span_s,
            cost_usd=requests.cost_usd,
        )

    def look(self, spans: Sequence[StepSpan], reference: Reference, since_s: float, now_s: float) -> Batch:
        """Give what became complete since the last look."""
        if self._count_from_s is None:
            # What reported before the last journaled look was counted by the controller that is gone.
            self._count_from_s = since_s
        first_s = spans[0].start_s - _SKEW_S
        read_until_s = min(now_s, self._read_until_s or since_s)
        start_s = max(read_until_s - _OVERLAP_S, first_s)
        try:
            self._assembler.add(self._lines(start_s, now_s, _READ_AT_MOST_S), now_s)
        except _TooManyLinesError as error:
            # After an outage there is more to read than one look can; the next one goes on from here.
            self._read_until_s = max(read_until_s, error.read_until_s)
            raise
        self._read_until_s = now_s
        before_s = self._wide_at_s
        if start_s <= first_s:
            self._wide_at_s = now_s
        elif before_s is None or not 0 <= now_s - before_s < _WIDE_EVERY_S:
            self._wide_at_s = now_s
            # What came since the last time, however late; what was seen longer ago the assembler has forgotten.
            back_s = max((before_s or now_s) - LATE_S, now_s - 2 * LATE_S + _OVERLAP_S, first_s)
            if back_s < start_s:
                with suppress(_TooManyLinesError):
                    self._assembler.add(self._lines(back_s, start_s, _READ_AT_MOST_S), now_s)
        arms = {self._baseline, self._candidate}
        found, steps, late = [], [], 0
        for one in self._assembler.complete(now_s):
            step = one.step(spans)
            if step is None or one.executed_version not in arms or one.status == "rejected":
                continue
            if one.report_ms / 1000 <= self._count_from_s:
                continue
            late += step != spans[-1].index or now_s - one.report_ms / 1000 > _OVERLAP_S
            found.append(one)
            steps.append(step)
        batch = reduce_requests(self._columns(found, steps), self._objectives, reference)[0]
        now = (self._assembler.duplicates, self._assembler.incomplete)
        duplicates, incomplete = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        return replace(batch, late=late, duplicates=duplicates, incomplete=incomplete)

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _columns(self, found: Sequence[Invocation], steps: Sequence[int]) -> Requests:
        status = np.array([one.status for one in found], dtype=np.str_)
        record = [one.record for one in found]
        latencies = {
            "execution_ms": [one.execution_ms for one in found],
            "inference_ms": [_or_nan(each.inference_ms if each else None) for each in record],
            "ttft_ms": [_or_nan(each.ttft_ms if each else None) for each in record],
        }
        priced = self._price is not None and any(spec.metric == COST for spec in self._objectives)
        return Requests(
            np.array(steps, dtype=np.int64),
            np.array([one.executed_version == self._candidate for one in found], dtype=np.bool_),
            np.array([one.init_ms > 0 for one in found], dtype=np.bool_),
            np.isin(status, ("error", "timeout")),
            status == "timeout",
            status == "throttled",
            {name: np.array(values, dtype=np.float64) for name, values in latencies.items()},
            self._price(found) if priced and self._price is not None else None,
        )

    def _lines(self, start_s: float, end_s: float, at_most_s: float) -> Iterator[LogLine]:
        request: dict[str, Any] = {
            "logGroupName": self._log_group,
            "startTime": int(start_s * 1000),
            "endTime": int(end_s * 1000) + 1000,
            "limit": _PAGE_EVENTS,
        }
        give_up_s = time.monotonic() + at_most_s
        read_until_s = start_s
        try:
            with cloud_errors(f"log group {self._log_group}"):
                while True:
                    page = self._logs.filter_log_events(**request)
                    for event in page.get("events", ()):
                        # Pages are in order of time.
                        read_until_s = int(event["timestamp"]) / 1000
                        yield LogLine(
                            str(event["eventId"]),
                            str(event["logStreamName"]),
                            int(event["timestamp"]),
                            event["message"],
                        )
                    if not page.get("nextToken"):
                        return
                    if time.monotonic() > give_up_s:
                        raise _TooManyLinesError(
                            f"log group {self._log_group}: more lines than can be read in {at_most_s:.0f} s; "
                            "set 'source: metrics' in the plan",
                            read_until_s,
                        )
                    request["nextToken"] = page["nextToken"]
        except CloudError as error:
            raise EvidenceDownError(str(error)) from error


class _TooManyLinesError(EvidenceDownError):
    """There is more to read than there is time; what came until ``read_until_s`` has been read."""

    def __init__(self, message: str, read_until_s: float) -> None:
        super().__init__(message)
        self.read_until_s = read_until_s


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
