"""The Lambda authorizer of an HTTP API (payload format 2.0, simple response).

The gateway keeps the answer for as long as its authorizer says, so that most requests do not come here. A key that is
unknown, wrong, expired or revoked is all the same to a caller: 403. Where the table cannot be read, the function fails,
and the gateway answers 500: a door that cannot see does not open.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from functions.authorizer.keys import from_item, is_good, parse
from functions.common.http import header
from functions.common.table import call_table, table_caller
from functions.common.variables import text

TABLE = text(os.environ, "KEYS_TABLE")
DYNAMODB = table_caller(os.environ, max_attempts=2)

REFUSED = {"isAuthorized": False}


def handle(event: Any, context: Any) -> dict[str, Any]:
    """Say whether the key in ``x-api-key`` is good, and whose it is."""
    presented = parse(header(event, "x-api-key"))
    if presented is None:
        return _say("malformed", None, context, REFUSED)
    # Consistent: a key that was revoked a moment ago is revoked.
    asked = {"TableName": TABLE, "Key": {"key_id": {"S": presented.key_id}}, "ConsistentRead": True}
    item = call_table(DYNAMODB, "GetItem", asked).get("Item")
    if item is None:
        return _say("unknown", presented.key_id, context, REFUSED)
    stored = from_item(item)
    if not is_good(presented, stored, time.time()):
        return _say("refused", presented.key_id, context, REFUSED)
    said: dict[str, Any] = {"tenant": stored.tenant, "key_id": presented.key_id}
    if stored.rate_rps is not None and stored.burst is not None:
        # For whoever answers to count by: the gateway keeps this word for minutes.
        said |= {"rate_rps": stored.rate_rps, "burst": stored.burst}
    return _say("ok", presented.key_id, context, {"isAuthorized": True, "context": said})


def _say(outcome: str, key_id: str | None, context: Any, answer: dict[str, Any]) -> dict[str, Any]:
    """Leave one line in the log, without the secret."""
    line = {"tailcast": "authorizer", "request_id": context.aws_request_id, "outcome": outcome, "key_id": key_id}
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    return answer
