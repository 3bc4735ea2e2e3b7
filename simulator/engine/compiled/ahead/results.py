"""What a block's requests came to, as rows or as figures: ``caller.conclude`` for attempts that are the only ones."""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.clock import TICKS_PER_MS
from simulator.engine.compiled.ahead.block import (
    byte,
    duration_at,
    flags_at,
    half,
    init_at,
    number_at,
    overhead_of,
    sent_at,
    setup_at,
    version_at,
    work_at,
)
from simulator.engine.compiled.figures import latency_bin
from simulator.engine.compiled.jit import FINGERPRINT, entry, part
from simulator.engine.compiled.layout import (
    COLD,
    MAX_LATENCY_BITS,
    NONE,
    PROVISIONED,
    REFUSED,
    ROW_REQUEST_MASK,
    STOPPED,
)
from simulator.engine.compiled.records import figures_at, latencies_at, latency_place, refusals_at, row_at
from simulator.engine.outcomes import Refusal, Status

_OK: Final = int(Status.OK)
_THROTTLED: Final = int(Status.THROTTLED)
_TIMEOUT: Final = int(Status.TIMEOUT)
_TO_MS: Final = -(-(1 << 38) // TICKS_PER_MS)
_NO_REFUSAL: Final = int(Refusal.NONE)


@part
def begun_ms(ticks: int) -> int:
    """Give the milliseconds begun in up to 2³¹ ticks: the division by 1000 as one multiplication.

    The compiler would do the same, and then look after negative numbers. (Granlund and Montgomery, Division by
    invariant integers using multiplication, PLDI 1994: ⌈2³⁸ ÷ 1000⌉ is exact for 32 bits.)
    """
    return ((ticks + TICKS_PER_MS - 1) * _TO_MS) >> 38


@part
def worked(block: Any, place: int, told: int) -> tuple[int, int, int]:
    """Give how long an environment was busy with a request, and what INIT and handler took of it."""
    if told & COLD:
        init, duration = init_at(block, place).value, duration_at(block, place).value
        return setup_at(block, place).value + init + duration, int(init), int(duration)
    duration = 0 if told & REFUSED else work_at(block, place).value
    return int(duration), 0, int(duration)


@part
def conclude(run: Any, block: Any, place: int, told: int, busy: int) -> tuple[int, int]:
    """Give how long the caller waited, and how it ended for him."""
    status = _OK
    if told & REFUSED:
        status = _THROTTLED
    elif told & STOPPED:
        status = _TIMEOUT
    if busy > run.gateway_timeout:
        busy = run.gateway_timeout
        status = _TIMEOUT
    # What the gateway refuses has drawn no version; it meets the overhead of the first.
    waited = busy + overhead_of(block, max(version_at(block, place).value, 0), place)
    if waited > run.patience:
        waited = run.patience
        status = _TIMEOUT
    return waited, status


def _build_rows(fingerprint: str):  # type: ignore[no-untyped-def]
    def write_rows(runs, blocks) -> None:  # type: ignore[no-untyped-def]
        """Write a row for each request."""
        fingerprint  # noqa: B018
        run, block = runs[0], blocks[0]
        for place in range(block.requests):
            told, number = flags_at(block, place).value, number_at(block, place).value
            busy, init, duration = worked(block, place, told)
            waited, status = conclude(run, block, place, told, busy)
            request = block.first_request + place
            row = row_at(run, request)
            row.sent = sent_at(block, place).value
            row.client = waited
            row.busy = busy
            row.request = request & ROW_REQUEST_MASK
            row.environment = NONE if told & REFUSED else number
            row.init = init
            row.duration = duration
            row.attempt = 0
            row.version = version_at(block, place).value
            row.status = status
            row.refusal = number if status == _THROTTLED else _NO_REFUSAL
            row.flags = told & (COLD | PROVISIONED)
            row.tries = 0

    return entry(write_rows)


def _build_count(fingerprint: str):  # type: ignore[no-untyped-def]
    def count(runs, blocks) -> None:  # type: ignore[no-untyped-def]
        """Add the requests to the figures, as :mod:`simulator.engine.compiled.figures` does one by one.

        Most are plain: warm, on demand and in time. These are added up in registers, over both versions and for the
        second.
        """
        fingerprint  # noqa: B018
        run, block = runs[0], blocks[0]
        in_time, patience = min(run.gateway_timeout, run.late_after), run.patience
        # Taken out of the block's record once: the compiler could not know that what is counted leaves it as it is.
        works, versions, flags = block.work_at, block.version_at, block.flags_at
        same = block.overhead_ms_step == 0
        overhead, overhead_second = overhead_of(block, 0, 0), overhead_of(block, run.version_count - 1, 0)
        plain = 0
        plain_second = 0
        billed = 0
        billed_second = 0
        latency = 0
        latency_second = 0
        for place in range(block.requests):
            busy, second = int(half(works, place).value), byte(versions, place).value
            if byte(flags, place).value == 0 and busy <= in_time:
                if not same:
                    overhead = overhead_of(block, 0, place)
                    overhead_second = overhead_of(block, run.version_count - 1, place)
                waited = busy + (overhead_second if second else overhead)
                if waited <= patience and not waited >> MAX_LATENCY_BITS:
                    billed_ms = begun_ms(busy)
                    plain += 1
                    billed += billed_ms
                    latency += waited
                    plain_second += second
                    billed_second += second * billed_ms
                    latency_second += second * waited
                    latencies_at(run, latency_place(second, latency_bin(waited))).count += 1
                    continue
            _count_one(run, block, place)
        _add(run, 0, plain - plain_second, billed - billed_second, latency - latency_second)
        if plain_second:
            _add(run, 1, plain_second, billed_second, latency_second)

    return entry(count)


@part
def _add(run: Any, version: int, plain: int, billed_ms: int, latency: int) -> None:
    figures = figures_at(run, version)
    figures.requests += plain
    figures.attempts += plain
    figures.served += plain
    figures.ok += plain
    figures.billed_ms += billed_ms
    figures.latency_ticks += latency


@part
def _count_one(run: Any, block: Any, place: int) -> None:
    """Add a request to the figures."""
    own, told = version_at(block, place).value, flags_at(block, place).value
    busy, init, duration = worked(block, place, told)
    waited, status = conclude(run, block, place, told, busy)
    figures = figures_at(run, own)
    figures.requests += 1
    figures.attempts += 1
    if not told & REFUSED:
        figures.served += 1
        if told & COLD:
            figures.cold += 1
        billed = init + duration
        billed_ms = (billed + TICKS_PER_MS - 1) // TICKS_PER_MS
        figures.billed_ms += billed_ms
        if told & PROVISIONED:
            figures.provisioned_billed_ms += billed_ms
        late = busy - run.late_after
        if late > 0:
            figures.late_ticks += min(late, billed)
    if status == _THROTTLED:
        figures.throttled += 1
        refusals_at(run, own, number_at(block, place).value).count += 1
        return
    if status == _OK:
        figures.ok += 1
    else:
        figures.timed_out += 1
    figures.latency_ticks += waited
    if waited >> MAX_LATENCY_BITS:
        figures.beyond += 1
    latencies_at(run, latency_place(own, latency_bin(waited))).count += 1


write_rows = _build_rows(FINGERPRINT)
count = _build_count(FINGERPRINT)
