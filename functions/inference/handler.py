"""The Lambda entry point: read, complete, answer, and leave one record. INIT builds what every request shares."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from functions.common.environment import ExecutionEnvironment
from functions.common.errors import ServiceError, UpstreamError
from functions.common.fallback import Trail
from functions.common.http import Answer, answer, authorizer_context, failure, header, read_body, tenant
from functions.common.key_rate import KeyRates, key_rate
from functions.common.record import Record, to_line
from functions.common.request import read_request
from functions.common.settings import Settings
from functions.common.stopwatch import Stopwatch
from functions.common.table import table_caller
from functions.inference.answering import Answerer, CachePolicy
from functions.inference.completion import Completion, converse_caller
from functions.inference.response_cache import ResponseCache

SETTINGS = Settings.from_environment(os.environ)
ENVIRONMENT = ExecutionEnvironment(os.environ)
BEDROCK = converse_caller(os.environ, SETTINGS.model_max_attempts)
TABLE = table_caller(os.environ) if SETTINGS.cache is not None or SETTINGS.rate_table else None
CACHE = None if SETTINGS.cache is None or TABLE is None else ResponseCache(SETTINGS.cache, TABLE)
# Where the caller's key has a rate, it is counted here.
KEY_RATES = (
    KeyRates(SETTINGS.rate_table, SETTINGS.rate_timeout_ms / 1000, TABLE) if SETTINGS.rate_table and TABLE else None
)
ANSWERER = Answerer(SETTINGS, BEDROCK, CACHE)


@dataclass(frozen=True)
class Outcome:
    """How a request ended, and what happened on the way."""

    result: Completion | ServiceError
    trail: Trail

    @property
    def cost_usd(self) -> float | None:
        """What the tokens cost; None where nothing came, or the model has no price."""
        if isinstance(self.result, ServiceError) or self.trail.tier is None:
            return None
        cost_usd = self.trail.tier.cost_usd(self.result.usage)
        return None if cost_usd is None else round(cost_usd, 9)


def handle(event: Any, context: Any) -> Answer:
    """Answer one request: payload format 2.0, or a bare ``{"prompt": …}``."""
    total = Stopwatch()
    cold = ENVIRONMENT.serve()
    outcome = infer(event, context)
    total_ms = total.elapsed_ms()
    sys.stdout.write(to_line(make_record(outcome, context, cold, total_ms), int(time.time() * 1000)) + "\n")
    if isinstance(outcome.result, ServiceError):
        return failure(outcome.result, context.aws_request_id)
    tier = outcome.trail.tier
    body = {
        "response": outcome.result.text,
        "total_execution_ms": total_ms,
        "inference_ms": outcome.trail.inference_ms,
        "model": tier.model_id if tier else None,
        "tier": tier.name if tier else None,
        "usage": asdict(outcome.result.usage),
        "cost_usd": outcome.cost_usd,
        "cached": outcome.trail.response_cache == "hit",
    }
    return answer(200, body, context.aws_request_id)


def infer(event: Any, context: Any) -> Outcome:
    """Answer the request. Whatever goes wrong comes back as a ServiceError, so that every request leaves a record."""
    trail = Trail()
    result: Completion | ServiceError
    try:
        limit_s = (context.get_remaining_time_in_millis() - SETTINGS.deadline_margin_ms) / 1000
        # Before anything is read: a request that is refused later counts as well.
        rate = None if KEY_RATES is None else key_rate(authorizer_context(event))
        if KEY_RATES is not None and rate is not None:
            trail.key_rate = "limited"
            trail.key_rate = KEY_RATES.take(rate, limit_s)
        request = read_request(read_body(event, SETTINGS.max_body_bytes), SETTINGS)
        limit_s = (context.get_remaining_time_in_millis() - SETTINGS.deadline_margin_ms) / 1000
        result = ANSWERER.answer(request, cache_policy(event), limit_s, trail)
    except ServiceError as error:
        result = error
    except Exception as error:
        result = UpstreamError("the model call failed", cause=type(error).__name__)
    return Outcome(result, trail)


def cache_policy(event: Any) -> CachePolicy:
    """Read ``Cache-Control``: ``no-store`` neither gives nor keeps an answer, ``no-cache`` only asks for a new one.

    Nothing is given to, or kept of, callers who cannot be told from each other.
    """
    directives = {part.strip().lower() for part in header(event, "cache-control").split(",")}
    who = tenant(event)
    stored = who is not None and "no-store" not in directives
    return CachePolicy(who or "", read=stored and "no-cache" not in directives, write=stored)


def make_record(outcome: Outcome, context: Any, cold: bool, total_ms: float) -> Record:
    """Give the log record of one request."""
    result, trail = outcome.result, outcome.trail
    tier = trail.tier or SETTINGS.tiers[SETTINGS.default_tier]
    details: dict[str, Any]
    if isinstance(result, ServiceError):
        details = {"status": result.status, "http_status": result.http_status, "error": result.cause}
    else:
        details = {"status": "ok", "http_status": 200, "model_attempts": result.model_attempts, **asdict(result.usage)}
    return Record(
        kind="inference",
        request_id=context.aws_request_id,
        function=context.function_name,
        variant=SETTINGS.variant,
        model=tier.model_id,
        version=context.function_version,
        environment_id=ENVIRONMENT.environment_id,
        cold=cold,
        initialization_type=ENVIRONMENT.initialization_type,
        total_ms=total_ms,
        inference_ms=trail.inference_ms,
        cost_usd=outcome.cost_usd,
        tier=trail.tier.name if trail.tier else None,
        fallback_from=trail.fallback_from,
        response_cache=trail.response_cache,
        prompt_cache=trail.prompt_cache,
        key_rate=trail.key_rate,
        **details,
    )
