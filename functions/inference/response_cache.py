"""Answers kept in DynamoDB: the same question of the same tenant, asked again within a day, costs nothing.

A cache that is slow, throttled or gone never fails a request: it is given a small part of the request's time, and then
the model is asked as if it were not there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from functions.common.aws_call import AwsCaller, AwsCallError
from functions.common.deadline import CallExpiredError, call_within
from functions.common.request import InferenceRequest
from functions.common.settings import CacheSettings
from functions.common.table import call_table
from functions.common.tiers import NO_TOKENS
from functions.inference.completion import Completion

FORMAT: Final = 1
"""Part of each key: entries of another format are never found, and expire."""
MAX_TEXT_BYTES: Final = 380_000
"""An item of DynamoDB holds 400 KB with its attribute names; longer answers are not kept."""

_FAILURES = (AwsCallError, CallExpiredError)


def cache_key(tenant: str, request: InferenceRequest) -> str:
    """Give the key of a request: a digest, so that the table holds no prompt."""
    parts = [
        FORMAT,
        tenant,
        request.tier.name,
        request.tier.model_id,
        request.max_tokens,
        request.temperature,
        request.tier.latency,
        request.system,
        request.prompt,
    ]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


class ResponseCache:
    """The table of answers.

    Parameters
    ----------
    settings
        Table, time to live, and what a call may take.
    table
        Calls DynamoDB.
    """

    def __init__(self, settings: CacheSettings, table: AwsCaller) -> None:
        self._settings = settings
        self._table = table

    def get(self, key: str, limit_s: float) -> tuple[Completion | None, str]:
        """Look a request up, within ``limit_s`` and the cache's own time-out.

        Returns
        -------
        tuple
            The answer or None, and ``hit``, ``miss`` or ``error``.
        """
        try:
            found = self._call("GetItem", {"Key": {"key": {"S": key}}}, limit_s).get("Item")
            # DynamoDB deletes what has expired within days, not at once.
            if found is None or int(found["expires_at"]["N"]) <= time.time():
                return None, "miss"
            text = found["text"]["S"]
            if not isinstance(text, str):
                return None, "error"
            return Completion(text, NO_TOKENS, model_attempts=0), "hit"
        except (*_FAILURES, KeyError, TypeError, ValueError):  # the latter: an item that is not ours
            return None, "error"

    def put(self, key: str, completion: Completion, limit_s: float) -> bool:
        """Keep an answer; give False where that failed or it is too long."""
        if len(completion.text.encode()) > MAX_TEXT_BYTES:
            return False
        item = {
            "key": {"S": key},
            "text": {"S": completion.text},
            "expires_at": {"N": str(int(time.time()) + self._settings.ttl_s)},
        }
        try:
            self._call("PutItem", {"Item": item}, limit_s)
        except _FAILURES:
            return False
        return True

    def _call(self, operation: str, arguments: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        limit_s = min(limit_s, self._settings.timeout_ms / 1000)
        arguments = {"TableName": self._settings.table, **arguments}
        return call_within(limit_s, lambda: call_table(self._table, operation, arguments))
