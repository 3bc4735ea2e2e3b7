"""What one request does once it has an environment: INIT where that is cold, the event, and its log lines."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from replay.cloud.lambda_plane.environment import Environment, Execution, InitOutcome
from replay.cloud.lambda_plane.platform_log import Report
from replay.cloud.lambda_plane.requests import Request
from replay.cloud.lambda_plane.runtime_api import Event

_LOG_TAIL_BYTES = 4_096


@dataclass(frozen=True)
class Attempt:
    """How a request fared on one environment."""

    payload: bytes
    failed: bool
    report: Report
    log_tail: str
    """Base64 of the last 4 KB of its log."""


async def run_on(
    environment: Environment, request: Request, *, cold: bool, init_limit_s: float, at_least_init_ms: float
) -> Attempt:
    """Run ``request`` on ``environment``.

    Where a cold environment's INIT fails or exceeds its limit, INIT runs once more inside the invocation, under the
    function's time-out (Lambda developer guide, "Lambda execution environment", "Failures during the Init phase").

    Raises
    ------
    EnvironmentGoneError
        The environment ended before it took the request; another may serve it.
    """
    environment.captured = []
    try:
        return await _run_captured(environment, request, cold, init_limit_s, at_least_init_ms)
    finally:
        environment.captured = None


async def _run_captured(
    environment: Environment, request: Request, cold: bool, init_limit_s: float, at_least_init_ms: float
) -> Attempt:
    timeout_s = environment.version.timeout_s
    init_ms, again = None, None
    if cold:
        first = await environment.initialise(init_limit_s, at_least_ms=at_least_init_ms)
        init_ms = first.init_ms
        if first.failure is not None:
            _log_init(environment, first, "init")
            again = await environment.initialise(timeout_s, at_least_ms=at_least_init_ms)
            if again.failure is not None:
                _log_init(environment, again, "invoke")
                return _failed_in_init(environment, request, init_ms, again)
    event = Event(
        request_id=request.request_id,
        payload=request.payload,
        deadline_ms=0,
        invoked_arn=request.route.invoked_arn,
        trace_id=request.trace_id,
        client_context=request.client_context,
    )
    waited_s = again.init_ms / 1000 if again is not None else 0.0
    return _told(environment, request, init_ms, await environment.execute(event, timeout_s, waited_s, request.sink))


def _told(environment: Environment, request: Request, init_ms: float | None, execution: Execution) -> Attempt:
    now_s = environment.now_s()
    if execution.exited is not None:
        _log(environment, environment.platform_log.exited(request.request_id, execution.exited))
    if execution.status == "timeout":
        _log(environment, environment.platform_log.timed_out(now_s, request.request_id))
    # A handler that raised has still run to its end: REPORT shows a status only where the process or the time failed.
    broken = execution.status == "timeout" or execution.exited is not None
    report = Report(
        request_id=request.request_id,
        duration_ms=execution.duration_ms,
        memory_mb=environment.version.memory_mb,
        max_memory_mb=execution.max_memory_mb,
        init_ms=init_ms,
        status=execution.status if broken else "success",
        error_type=execution.answer.error_type if execution.exited is not None else None,
    )
    return _attempt(environment, report, execution.answer.payload, failed=execution.answer.error_type is not None)


def _failed_in_init(environment: Environment, request: Request, init_ms: float, outcome: InitOutcome) -> Attempt:
    assert outcome.failure is not None  # noqa: S101  (the caller has looked)
    now_s = environment.now_s()
    environment.log(environment.platform_log.start(now_s, request.request_id))
    payload = outcome.failure.payload
    if outcome.status == "timeout":
        message = environment.platform_log.timeout_message(now_s, request.request_id)
        _log(environment, environment.platform_log.timed_out(now_s, request.request_id))
        payload = b'{"errorMessage":"%s"}' % message.encode()
    report = Report(
        request_id=request.request_id,
        duration_ms=outcome.init_ms,
        memory_mb=environment.version.memory_mb,
        max_memory_mb=0,
        init_ms=init_ms,
        status=outcome.status,
        error_type=outcome.failure.error_type if outcome.status == "error" else None,
    )
    return _attempt(environment, report, payload, failed=True)


def _attempt(environment: Environment, report: Report, payload: bytes, *, failed: bool) -> Attempt:
    for line in environment.platform_log.end(environment.now_s(), report):
        environment.log(line)
    tail = "".join(environment.captured or []).encode()[-_LOG_TAIL_BYTES:]
    return Attempt(payload, failed, report, base64.b64encode(tail).decode())


def _log_init(environment: Environment, outcome: InitOutcome, phase: str) -> None:
    assert outcome.failure is not None  # noqa: S101  (for the type checker)
    error_type = outcome.failure.error_type if outcome.status == "error" else None
    line = environment.platform_log.init_report(environment.now_s(), outcome.init_ms, phase, outcome.status, error_type)
    environment.log(line)


def _log(environment: Environment, line: str | None) -> None:
    if line is not None:
        environment.log(line)
