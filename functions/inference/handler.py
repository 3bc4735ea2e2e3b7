# ruff: noqa: E402
"""The Lambda entry point: read, complete, answer, and leave one record. INIT builds what every request shares."""

from __future__ import annotations

import gc

# Importing the SDK makes some 100,000 objects that all stay. Looking through them again and again for garbage took
# 12 of 145 ms of INIT (measured), so the collector pauses until INIT has ended, and then never looks at them again.
gc.disable()

import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from functions.common.bedrock import bedrock_client
from functions.common.environment import ExecutionEnvironment
from functions.common.errors import ServiceError, UpstreamError
from functions.common.http import Answer, answer, failure, read_body
from functions.common.record import Record, to_line
from functions.inference.completion import Completion, Stopwatch, complete, read_prompt
from functions.inference.settings import Settings

SETTINGS = Settings.from_environment(os.environ)
ENVIRONMENT = ExecutionEnvironment(os.environ)
CLIENT = bedrock_client(SETTINGS.model_max_attempts)

gc.freeze()
gc.enable()


@dataclass(frozen=True)
class Outcome:
    """How a request ended, and how long the model took; None where it was not asked."""

    result: Completion | ServiceError
    inference_ms: float | None


def handle(event: Any, context: Any) -> Answer:
    """Answer one request: payload format 2.0, or a bare ``{"prompt": …}``."""
    total = Stopwatch()
    cold = ENVIRONMENT.serve()
    outcome = infer(event, context)
    total_ms = total.elapsed_ms()
    sys.stdout.write(to_line(make_record(outcome, context, cold, total_ms), int(time.time() * 1000)) + "\n")
    if isinstance(outcome.result, ServiceError):
        return failure(outcome.result, context.aws_request_id)
    body = {
        "response": outcome.result.text,
        "total_execution_ms": total_ms,
        "model": SETTINGS.model_id,
        "usage": asdict(outcome.result.usage),
    }
    return answer(200, body, context.aws_request_id)


def infer(event: Any, context: Any) -> Outcome:
    """Ask the model. Whatever goes wrong comes back as a ServiceError, so that every request leaves a record."""
    inference: Stopwatch | None = None
    result: Completion | ServiceError
    try:
        prompt = read_prompt(read_body(event), SETTINGS)
        inference = Stopwatch()
        limit_s = (context.get_remaining_time_in_millis() - SETTINGS.deadline_margin_ms) / 1000
        result = complete(prompt, SETTINGS, CLIENT, limit_s)
    except ServiceError as error:
        result = error
    except Exception as error:
        result = UpstreamError("the model call failed", cause=type(error).__name__)
    return Outcome(result, inference.elapsed_ms() if inference else None)


def make_record(outcome: Outcome, context: Any, cold: bool, total_ms: float) -> Record:
    """Give the log record of one request."""
    result = outcome.result
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
        model=SETTINGS.model_id,
        version=context.function_version,
        environment_id=ENVIRONMENT.environment_id,
        cold=cold,
        initialization_type=ENVIRONMENT.initialization_type,
        total_ms=total_ms,
        inference_ms=outcome.inference_ms,
        **details,
    )
