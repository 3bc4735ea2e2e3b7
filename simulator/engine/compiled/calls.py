"""The handler's call of its model: ``simulator/engine/model_calls.py`` and ``bedrock.py``."""

from __future__ import annotations

import math
from typing import Any, Final

from simulator.engine.clock import TICKS_PER_SECOND
from simulator.engine.compiled import buckets, sdk
from simulator.engine.compiled.draws import drawn, rounded
from simulator.engine.compiled.heap import event_key
from simulator.engine.compiled.jit import part
from simulator.engine.compiled.layout import QUOTAS, SETTLE
from simulator.engine.compiled.records import bucket_at, environment_at, quota_at, sdk_at, version_at
from simulator.engine.compiled.settlements import settle_later, settle_until
from simulator.engine.outcomes import Refusal

_PER_SECOND: Final = float(TICKS_PER_SECOND)
_NO_REFUSAL: Final = int(Refusal.NONE)
_MODEL_REQUESTS: Final = int(Refusal.MODEL_REQUESTS)
_MODEL_TOKENS: Final = int(Refusal.MODEL_TOKENS)


@part
def ask(run: Any, index: int, now: int) -> tuple[int, int, int]:
    """Let the handler in an environment ask its model.

    Returns
    -------
    tuple
        When something comes of it, whether that is that it asks (again) and not the handler's end, and the refusal with
        which it ends.
    """
    environment = environment_at(run, index)
    version, request = environment.version, environment.request
    own, client = version_at(run, version), sdk_at(run, index)
    if not environment.has_sdk:
        environment.has_sdk = 1
        sdk.begin(client, environment.ready / _PER_SECOND)
    if not environment.held:
        environment.held = 1
        hold_s = sdk.hold_s(client, now / _PER_SECOND) if own.adaptive else 0.0
        if hold_s > 0:
            # Rounded up: what has to flow in first must have flowed in.
            return now - math.floor(-hold_s * _PER_SECOND), 1, _NO_REFUSAL
    environment.tries += 1
    settle_until(run, now)
    refusal = _reserve(run, own.quota, now, drawn(run, run.input_tokens + version, request) + own.max_tokens)
    if refusal == _NO_REFUSAL:
        end = now + environment.inference
        if quota_at(run, own.quota).tokens:
            output_tokens = drawn(run, run.output_tokens + version, request)
            back = own.max_tokens - output_tokens * quota_at(run, own.quota).burndown
            settle_later(run, end, event_key(SETTLE, environment.attempt, request), own.quota, back)
        sdk.answered(run, own, client, end / _PER_SECOND)
        return end, 0, _NO_REFUSAL
    told = now + own.refusal
    column = run.sdk_jitter + environment.attempt * run.sdk_tries + environment.tries - 1
    wait_s = sdk.throttled(run, own, client, environment.tries, told / _PER_SECOND, drawn(run, column, request))
    if wait_s < 0:
        return told, 0, refusal
    environment.held = 0
    return told + rounded(wait_s * _PER_SECOND), 1, _NO_REFUSAL


@part
def _reserve(run: Any, quota: int, now: int, wanted: float) -> int:
    """Take one request and its tokens, or say which quota has too few left; then nothing is taken."""
    limits = quota_at(run, quota)
    requests, tokens = bucket_at(run, QUOTAS + 2 * quota), bucket_at(run, QUOTAS + 2 * quota + 1)
    if limits.requests and not buckets.holds(requests, now, 1.0):
        return _MODEL_REQUESTS
    if limits.tokens and not buckets.holds(tokens, now, wanted):
        return _MODEL_TOKENS
    if limits.requests:
        buckets.take_held(requests, 1.0)
    if limits.tokens:
        buckets.take_held(tokens, wanted)
    return _NO_REFUSAL
