"""What the caller gets and does then: rules 10 and 13 to 15 of docs/model.md, as ``simulator/engine/caller.py``."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.compiled.draws import drawn, drawn_ms, rounded
from simulator.engine.compiled.figures import count_request
from simulator.engine.compiled.heap import event_key, push
from simulator.engine.compiled.jit import part
from simulator.engine.compiled.layout import ANSWER, ARRIVAL, NONE, ROW_REQUEST_MASK
from simulator.engine.compiled.records import backoff_at, refusals_at, row_at
from simulator.engine.outcomes import Status

_OK: Final = int(Status.OK)
_THROTTLED: Final = int(Status.THROTTLED)
_TIMEOUT: Final = int(Status.TIMEOUT)
NO_JITTER: Final = 0
EQUAL_JITTER: Final = 1
FULL_JITTER: Final = 2

_ROUNDING: Final = 1e-9
_PER_SECOND: Final = float(TICKS_PER_SECOND)


@part
def row_of(run: Any, item: int, request: int) -> int:
    """Give the row of an attempt: the one that is kept for it, or where rows are not kept its request's place."""
    return item if run.keep_rows else request & run.mask


@part
def still_in(row: Any, request: int, attempt: int) -> bool:
    """Say whether the row is still that of the attempt: where rows are not kept, a later one may have taken it."""
    return bool(row.attempt == attempt and row.request == request & ROW_REQUEST_MASK)


@part
def conclude(run: Any, index: int, request: int, attempt: int, busy: int, status: int, refusal: int) -> None:
    """Write down what the caller gets, and when: the gateway waits for the work, the caller for the gateway."""
    row = row_at(run, index)
    if busy > run.gateway_timeout:
        busy = run.gateway_timeout
        status = _TIMEOUT
    # What the gateway refuses has drawn no version; it meets the overhead of the first.
    waited = busy + drawn_ms(run, run.overhead, max(row.version, 0), attempt, request)
    if waited > run.patience:
        waited = run.patience
        status = _TIMEOUT
    row.client = waited
    row.status = status
    if status == _THROTTLED:
        row.refusal = refusal
        if not run.keep_rows:
            refusals_at(run, row.version, refusal).count += 1
    retriable = (run.retry_on >> status) & 1 and attempt + 1 < run.attempts
    if retriable or (run.budget and status == _OK):
        push(run, row.sent + waited, event_key(ANSWER, attempt, request), index)
    if not (run.keep_rows or retriable):
        count_request(run, row, request)


@part
def decide(run: Any, index: int, request: int, attempt: int, now: int) -> None:
    """Let the caller, who has its answer, try again or leave it."""
    row = row_at(run, index)
    if row.status == _OK:
        run.budget_tokens = min(run.budget_capacity, run.budget_tokens + run.budget_per_success)
        return
    if run.budget:
        if run.budget_tokens < 1.0 - _ROUNDING:
            if not run.keep_rows:
                count_request(run, row, request)
            return
        run.budget_tokens -= 1.0
    wait_s = backoff_at(run, attempt).value
    if run.jitter != NO_JITTER:
        uniform = drawn(run, run.client_jitter + attempt, request)
        wait_s = wait_s * uniform if run.jitter == FULL_JITTER else wait_s / 2 + wait_s / 2 * uniform
    wait = rounded(wait_s * _PER_SECOND)
    push(run, now + wait, event_key(ARRIVAL, attempt + 1, request), NONE)
