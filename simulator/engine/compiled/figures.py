"""What is counted where no rows are kept: figures of requests and attempts, and a histogram of latencies."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.clock import TICKS_PER_MS
from simulator.engine.compiled.bits import bit_length
from simulator.engine.compiled.draws import drawn_s
from simulator.engine.compiled.jit import part, shared
from simulator.engine.compiled.layout import (
    COLD,
    LATENCY_BINS,
    LATENCY_BITS,
    MAX_LATENCY_BITS,
    RECENT,
)
from simulator.engine.compiled.records import figures_at, latencies_at, latency_place, recent_at
from simulator.engine.outcomes import Status

_OK: Final = int(Status.OK)
_THROTTLED: Final = int(Status.THROTTLED)


@part
def count_request(run: Any, row: Any, request: int) -> None:
    """Add a request that has come to its end to the figures of its last attempt's version."""
    figures = figures_at(run, row.version)
    figures.requests += 1
    if row.environment >= 0:
        figures.served += 1
        if row.flags & COLD:
            figures.cold += 1
    if row.status == _THROTTLED:
        figures.throttled += 1
        return
    if row.status == _OK:
        figures.ok += 1
    else:
        figures.timed_out += 1
    latency = row.client
    if row.attempt > 0:
        latency += row.sent - drawn_s(run, 0, request)
    figures.latency_ticks += latency
    if latency >> MAX_LATENCY_BITS:
        figures.beyond += 1
    recent_at(run, run.recents).count = latency_place(row.version, latency_bin(latency))
    run.recents += 1
    if run.recents == RECENT:
        count_recent(run)


@shared
def count_recent(run: Any) -> None:
    """Count the latencies that wait for it.

    One after the other, each would wait for its bin to come from memory; together, the processor fetches many at once.
    """
    for index in range(run.recents):
        latencies_at(run, recent_at(run, index).count).count += 1
    run.recents = 0


@shared
def latency_bin(latency: int) -> int:
    """Give the bin of a latency in ticks; those beyond the last one fall into it.

    The index is HdrHistogram's: 2¹¹ bins of one tick, then 2¹⁰ to each doubling.
    """
    if latency >> MAX_LATENCY_BITS:
        return LATENCY_BINS - 1
    shift = bit_length(latency >> LATENCY_BITS)
    return (shift << (LATENCY_BITS - 1)) + (latency >> shift)


@part
def count_work(run: Any, version: int, provisioned: int, sent: int, end: int, billed: int, tries: int) -> None:
    """Add what an environment did for an attempt, and what of it nobody waited for, to the figures."""
    figures = figures_at(run, version)
    billed_ms = (billed + TICKS_PER_MS - 1) // TICKS_PER_MS
    figures.billed_ms += billed_ms
    if provisioned:
        figures.provisioned_billed_ms += billed_ms
    late = end - (sent + run.late_after)
    if late > 0:
        figures.late_ticks += min(late, billed)
    if tries > 0:
        figures.asked_model += 1
        figures.model_tries += tries
