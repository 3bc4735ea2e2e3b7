"""Answers kept in DynamoDB: the same question of the same tenant, asked again within a day, costs nothing.

A cache that is slow, throttled or gone never fails a request: it is given a small part of the request's time, and then
the model is asked as if it were not there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from functions.common.deadline import CallExpiredError, call_within
from functions.common.request import InferenceRequest
from functions.common.settings import CacheSettings
from functions.common.tiers import NO_TOKENS
from functions.inference.completion import Completion

FORMAT: Final = 1
"""Part of each key: entries of another format are never found, and expire."""
MAX_TEXT_BYTES: Final = 380_000
"""An item of DynamoDB holds 400 KB with its attribute names; longer answers are not kept."""

_FAILURES = (ClientError, BotoCoreError, CallExpiredError)


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
    make_client
        Builds the DynamoDB client; called once, at the first use. At INIT it would make every cold start longer, also
        those whose requests say ``no-store``.
    """

    def __init__(self, settings: CacheSettings, make_client: Callable[[], Any]) -> None:
        self._settings = settings
        self._make_client = make_client
        self._client: Any = None

    def prepare(self) -> None:
        """Build the client ahead, where no caller waits for it."""
        if self._client is None:
            self._client = self._make_client()

    def get(self, key: str, limit_s: float) -> tuple[Completion | None, str]:
        """Look a request up, within ``limit_s`` and the cache's own time-out.

        Returns
        -------
        tuple
            The answer or None, and ``hit``, ``miss`` or ``error``.
        """
        try:
            self.prepare()
            found = call_within(
                self._limit_s(limit_s),
                lambda: self._client.get_item(TableName=self._settings.table, Key={"key": {"S": key}}),
            ).get("Item")
            # DynamoDB deletes what has expired within days, not at once.
            if found is None or int(found["expires_at"]["N"]) <= time.time():
                return None, "miss"
            return Completion(str(found["text"]["S"]), NO_TOKENS, model_attempts=0), "hit"
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
            self.prepare()
            call_within(
                self._limit_s(limit_s), lambda: self._client.put_item(TableName=self._settings.table, Item=item)
            )
        except _FAILURES:
            return False
        return True

    def _limit_s(self, limit_s: float) -> float:
        return min(limit_s, self._settings.timeout_ms / 1000)
