"""What a block's requests came to, as rows or as figures: ``caller.conclude`` for attempts that are the only ones."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.clock import TICKS_PER_MS
from simulator.engine.compiled.draws import rounded
from simulator.engine.compiled.figures import latency_bin
from simulator.engine.compiled.jit import FINGERPRINT, entry, part
from simulator.engine.compiled.layout import (
    COLD,
    MAX_LATENCY_BITS,
    NONE,
    PROVISIONED,
    ROW_REQUEST_MASK,
    STOPPED,
)
from simulator.engine.compiled.records import figures_at, latencies_at, latency_place, refusals_at, row_at
from simulator.engine.outcomes import Refusal, Status

_PER_MS: Final = float(TICKS_PER_MS)
_OK: Final = int(Status.OK)
_THROTTLED: Final = int(Status.THROTTLED)
_TIMEOUT: Final = int(Status.TIMEOUT)
_NO_REFUSAL: Final = int(Refusal.NONE)


@part
def conclude(run: Any, busy: int, overhead: int, stopped: bool, refused: bool) -> tuple[int, int]:
    """Give how long the caller waited, and how it ended for him."""
    status = _OK
    if refused:
        status = _THROTTLED
    if stopped:
        status = _TIMEOUT
    if busy > run.gateway_timeout:
        busy = run.gateway_timeout
        status = _TIMEOUT
    waited = busy + overhead
    if waited > run.patience:
        waited = run.patience
        status = _TIMEOUT
    return waited, status


def _build_rows(fingerprint: str):  # type: ignore[no-untyped-def]
    def write_rows(  # type: ignore[no-untyped-def]
        runs, first_request, sent, busy, version, flags, number, init, duration, overhead_ms
    ):
        """Write a row for each request."""
        fingerprint  # noqa: B018
        run = runs[0]
        for place in range(sent.shape[0]):
            own, told, refused = version[place], flags[place], number[place] < 0
            overhead = rounded(overhead_ms[max(own, 0), place] * _PER_MS)
            waited, status = conclude(run, busy[place], overhead, told & STOPPED != 0, refused)
            request = first_request + place
            row = row_at(run, request)
            row.sent = sent[place]
            row.client = waited
            row.busy = busy[place]
            row.request = request & ROW_REQUEST_MASK
            row.environment = max(number[place], NONE)
            row.init = init[place] if told & COLD else 0
            row.duration = duration[place] if told & COLD else busy[place]
            row.attempt = 0
            row.version = own
            row.status = status
            row.refusal = -1 - number[place] if status == _THROTTLED else _NO_REFUSAL
            row.flags = told & (COLD | PROVISIONED)
            row.tries = 0

    return entry(write_rows)


def _build_figures(fingerprint: str):  # type: ignore[no-untyped-def]
    def count(  # type: ignore[no-untyped-def]
        runs, sent, busy, version, flags, number, init, duration, overhead_ms, bins
    ):
        """Add the requests to the figures; what :mod:`simulator.engine.compiled.figures` does one by one."""
        fingerprint  # noqa: B018
        run = runs[0]
        answered = 0
        for place in range(sent.shape[0]):
            own, told, refused = version[place], flags[place], number[place] < 0
            overhead = rounded(overhead_ms[max(own, 0), place] * _PER_MS)
            took = busy[place]
            waited, status = conclude(run, took, overhead, told & STOPPED != 0, refused)
            figures = figures_at(run, own)
            figures.requests += 1
            figures.attempts += 1
            if refused:
                if status == _THROTTLED:
                    refusals_at(run, own, -1 - number[place]).count += 1
            else:
                figures.served += 1
                billed = took
                if told & COLD:
                    figures.cold += 1
                    billed = init[place] + duration[place]
                billed_ms = (billed + TICKS_PER_MS - 1) // TICKS_PER_MS
                figures.billed_ms += billed_ms
                if told & PROVISIONED:
                    figures.provisioned_billed_ms += billed_ms
                late = took - run.late_after
                if late > 0:
                    figures.late_ticks += min(late, billed)
            if status == _THROTTLED:
                figures.throttled += 1
                continue
            if status == _OK:
                figures.ok += 1
            else:
                figures.timed_out += 1
            figures.latency_ticks += waited
            if waited >> MAX_LATENCY_BITS:
                figures.beyond += 1
            bins[answered] = latency_place(own, latency_bin(waited))
            answered += 1
        # Together, so that the processor fetches many at once.
        for place in range(answered):
            latencies_at(run, bins[place]).count += 1

    return entry(count)


write_rows = _build_rows(FINGERPRINT)
count = _build_figures(FINGERPRINT)
