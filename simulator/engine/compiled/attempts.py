"""One attempt, from the gateway through its environment and back: ``simulator/engine/reference.py``.

No function here is called from two places: what an event leads to is handed back to the kernel's loop, which goes on
from there. So the compiler can put all of them into the loop, once.
"""

from __future__ import annotations

from typing import Any, Final

from simulator.engine.clock import NEVER, TICKS_PER_SECOND
from simulator.engine.compiled import buckets, pools
from simulator.engine.compiled.draws import drawn, drawn_ms, drawn_s
from simulator.engine.compiled.figures import count_work
from simulator.engine.compiled.heap import event_key, push
from simulator.engine.compiled.jit import part, shared
from simulator.engine.compiled.layout import (
    CALL,
    COLD,
    GATEWAY,
    GIVE_UP,
    NONE,
    PROVISIONED,
    READY,
    RELEASE,
    ROW_REQUEST_MASK,
)
from simulator.engine.compiled.provisioning import observe
from simulator.engine.compiled.records import bucket_at, environment_at, figures_at, row_at, stage_at, version_at
from simulator.engine.outcomes import Refusal, Status
from simulator.platform import INIT_LIMIT_S

_GATEWAY_RATE: Final = pools.refused(Refusal.GATEWAY_RATE)
INIT_LIMIT: Final = round(INIT_LIMIT_S * TICKS_PER_SECOND)
_PER_SECOND: Final = float(TICKS_PER_SECOND)
_OK: Final = int(Status.OK)
_NO_REFUSAL: Final = int(Refusal.NONE)


@part
def weight_of_first(run: Any, arrival_s: float) -> float:
    """Give the weight of the second version when a request arrives; requests ask in order."""
    while run.stage + 1 < run.stage_count and stage_at(run, run.stage + 1).start_s <= arrival_s:
        run.stage += 1
    return stage_at(run, run.stage).weight


@part
def weight_of_further(run: Any, now: int) -> float:
    """Give the weight at a further attempt's own moment."""
    now_s = now / _PER_SECOND
    while run.further_stage + 1 < run.stage_count and stage_at(run, run.further_stage + 1).start_s <= now_s:
        run.further_stage += 1
    return stage_at(run, run.further_stage).weight


@part
def arrive(run: Any, index: int, request: int, attempt: int, now: int, weight: float) -> int:
    """Take an attempt to its environment; give the refusal as a negative number where it gets none."""
    row = row_at(run, index)
    row.sent = now
    row.client = -1
    row.busy = 0
    row.request = request & ROW_REQUEST_MASK
    row.environment = NONE
    row.init = 0
    row.duration = 0
    row.attempt = attempt
    row.version = NONE
    row.status = _OK
    row.refusal = _NO_REFUSAL
    row.flags = 0
    row.tries = 0
    taken = _GATEWAY_RATE
    if buckets.take(bucket_at(run, GATEWAY), now):
        version = 1 if drawn(run, run.route + attempt, request) < weight else 0
        row.version = version
        taken = pools.take_environment(run, version, now)
    if not run.keep_rows:
        figures_at(run, row.version).attempts += 1
    return taken


@part
def serve(run: Any, index: int, request: int, attempt: int, now: int, taken: int) -> int:
    """Let an environment work on the attempt; give when the handler ends, or asks a model that has a quota."""
    row, environment = row_at(run, index), environment_at(run, taken)
    version = environment.version
    before = 0
    init = 0
    again = 0
    if not (environment.fresh or environment.reset):
        handler = drawn_ms(run, run.handler, version, attempt, request)
    else:
        handler = drawn_ms(run, run.cold_handler, version, attempt, request)
        again = drawn_ms(run, run.init, version, attempt, request)
        if environment.fresh:
            environment.fresh = 0
            before = drawn_ms(run, run.setup, version, attempt, request)
            init = again
            again = 0
            if run.lifetimes:
                environment.ends_at = now + drawn_s(run, run.lifetime + attempt, request)
            if init > INIT_LIMIT:
                again = init
                init = INIT_LIMIT
        environment.reset = 0
        environment.ready = now + before + init + again
        handler += again
        row.flags = COLD
        row.init = init
    row.environment = environment.number
    if environment.provisioned:
        row.flags |= PROVISIONED
    environment.request = request
    environment.attempt = attempt
    environment.row = index
    environment.sent = now
    environment.init = init
    environment.tries = 0
    if run.tracking:
        observe(run, version)
    start = now + before + init
    own = version_at(run, version)
    environment.deadline = start + own.timeout
    if own.quota == NONE:
        return start + handler
    environment.give_up = NEVER
    if run.attempts > 1:
        patience = run.gateway_timeout + drawn_ms(run, run.overhead, version, attempt, request)
        environment.give_up = now + min(patience, run.patience)
    inference = min(drawn_ms(run, run.inference, version, attempt, request), handler)
    environment.inference = inference
    environment.held = 0
    return start + handler - inference


@part
def ask_at(run: Any, taken: int, at: int) -> None:
    """Let the handler ask its model at a time.

    Patience with it matters only where it ends before: then an event says so. (The reference engine has one for each
    attempt, and most find that the answer is known.)
    """
    environment = environment_at(run, taken)
    attempt, request = environment.attempt, environment.request
    if environment.give_up < at:
        push(run, environment.give_up, event_key(GIVE_UP, attempt, request), environment.row)
        environment.give_up = NEVER
    push(run, at, event_key(CALL, attempt, request), taken)


@part
def end_work(run: Any, taken: int, end: int) -> int:
    """Let the handler end, or be stopped at its deadline if that comes before; give when."""
    environment = environment_at(run, taken)
    deadline = environment.deadline
    environment.stopped = 0
    if end > deadline:
        environment.stopped = 1
        end = deadline
    key = event_key(RELEASE, environment.attempt, environment.request)
    push(run, end, key, taken)
    if not run.keep_rows:
        version = environment.version
        billed = environment.init + end - deadline + version_at(run, version).timeout
        count_work(run, version, environment.provisioned, environment.sent, end, billed, environment.tries)
    return end


@part
def leave(run: Any, index: int, now: int) -> None:
    """Free an environment that has ended its work, or stop it at the function's time-out: then it is reset or ends."""
    environment = environment_at(run, index)
    attempt, request = environment.attempt, environment.request
    if environment.stopped:
        environment.stopped = 0
        environment.has_sdk = 0
        if environment.provisioned or not run.suppressed_init:
            version = environment.version
            if environment.provisioned:
                environment.replacement = drawn_ms(run, run.setup, version, attempt, request) + drawn_ms(
                    run, run.init, version, attempt, request
                )
            end_stopped(run, index, now)
            return
        environment.reset = 1
    pools.release(run, index, now, drawn_s(run, run.keep_alive + attempt, request))


@shared
def end_stopped(run: Any, index: int, now: int) -> None:
    """End an environment that was stopped; a provisioned one is replaced, and its record says how long that takes."""
    ready = now + environment_at(run, index).replacement
    replacement = pools.end(run, index, now)
    if replacement != NONE:
        new = environment_at(run, replacement)
        new.ready = ready
        push(run, ready, event_key(READY, 0, new.number), replacement)
