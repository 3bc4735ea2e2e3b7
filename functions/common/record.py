"""The one line that a request leaves in the log: a structured record and, in the same JSON, its metrics.

CloudWatch reads the ``_aws`` member (embedded metric format) and makes metrics by function, version and variant; a
recorder reads the rest. Never in it: the prompt, the answer, or the text of an error from below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

NAMESPACE: Final = "tailcast"
DIMENSIONS: Final = (("function", "version", "variant"), ("function", "version"))
"""What CloudWatch keeps figures by. A version that is promoted keeps the variant that it was published as, so whoever
watches what serves now asks by version."""


@dataclass(frozen=True)
class Record:
    """What happened to one request. Unknown is ``None``, never zero."""

    kind: str
    request_id: str
    function: str
    variant: str
    model: str
    version: str
    environment_id: str
    cold: bool
    initialization_type: str
    status: str
    """``ok``, ``throttled``, ``timeout``, ``error``, ``rejected``; ``disconnected`` where the caller left a stream."""
    http_status: int
    """Of the answer; 499 where the caller left before there was one."""
    total_ms: float
    """Inside the handler, INIT apart."""
    inference_ms: float | None = None
    """The model call, with the SDK's retries."""
    model_attempts: int | None = None
    """Tries of the SDK, the first counted."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None
    """Of the tokens; 0 where a cache answered, None where the model has no price."""
    tier: str | None = None
    """The tier that answered, or was asked last."""
    fallback_from: str | None = None
    """The tier that was asked for, where another one stood in."""
    response_cache: str | None = None
    """``hit``, ``miss``, ``error``, ``bypass``; None where it is off."""
    prompt_cache: str | None = None
    """``hit``, ``write``, ``skipped``; None where there was nothing to cache."""
    key_rate: str | None = None
    """``ok``, ``limited``, ``error`` (could not be counted, and passed); None where the caller's key has no rate."""
    error: str | None = None
    """The name of the failure: the SDK's error code or an exception's type."""


@dataclass(frozen=True)
class StreamRecord(Record):
    """What happened to one request whose answer was streamed."""

    ttft_ms: float | None = None
    """From the model call to its first token, reasoning counted; streams only."""
    inter_token_p50_ms: float | None = None
    """Between two pieces of a stream, which are what the model sends at once: a token, or a few."""
    inter_token_max_ms: float | None = None
    pieces: int | None = None
    """Pieces that a stream gave, also where it did not end well."""


def to_line(record: Record, timestamp_ms: int) -> str:
    """Give ``record`` as one line of JSON.

    Parameters
    ----------
    record
        What happened.
    timestamp_ms
        Wall-clock time of the metrics, ms since the epoch.
    """
    values: dict[str, tuple[float | None, str]] = {
        "TotalMs": (record.total_ms, "Milliseconds"),
        "InferenceMs": (record.inference_ms, "Milliseconds"),
        "Errors": (int(record.status == "error"), "Count"),
        "Throttles": (int(record.status == "throttled"), "Count"),
        "Timeouts": (int(record.status == "timeout"), "Count"),
        "InputTokens": (record.input_tokens, "Count"),
        "OutputTokens": (record.output_tokens, "Count"),
        "CostUsd": (record.cost_usd, "None"),
        "Fallbacks": (None if record.tier is None else int(record.fallback_from is not None), "Count"),
        # Shares: their average is the rate at which the cache answered, or was passed over.
        "ResponseCacheHits": (_share(record.response_cache, "hit"), "Count"),
        "ResponseCacheErrors": (_share(record.response_cache, "error"), "Count"),
        "PromptCacheHits": (_share(record.prompt_cache, "hit"), "Count"),
        "KeyRateLimited": (_share(record.key_rate, "limited"), "Count"),
        "KeyRateErrors": (_share(record.key_rate, "error"), "Count"),
        "PromptCacheSkipped": (_share(record.prompt_cache, "skipped"), "Count"),
    }
    if isinstance(record, StreamRecord):
        values |= {
            "TtftMs": (record.ttft_ms, "Milliseconds"),
            "InterTokenMaxMs": (record.inter_token_max_ms, "Milliseconds"),
            "Disconnects": (int(record.status == "disconnected"), "Count"),
        }
    # A metric that is defined but has no number makes CloudWatch drop the whole line's metrics.
    known = {name: (value, unit) for name, (value, unit) in values.items() if value is not None}
    fields = {name: value for name, value in vars(record).items() if name != "kind"}
    document: dict[str, Any] = {
        "tailcast": record.kind,
        **fields,
        "_aws": {
            "Timestamp": timestamp_ms,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [list(names) for names in DIMENSIONS],
                    "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in known.items()],
                }
            ],
        },
        **{name: value for name, (value, _) in known.items()},
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _share(state: str | None, counted: str) -> int | None:
    return None if state is None else int(state == counted)
