"""A function for the time-out cases: it asks its model and waits, with no deadline of its own.

The shipped function answers before Lambda's time-out can strike, so it cannot show what that does. This runs inside the
local cloud only, whose Bedrock asks for no signature: an HTTP connection is all it needs.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from typing import Any
from urllib.parse import quote, urlsplit

_ADDRESS = urlsplit(os.environ["AWS_ENDPOINT_URL"]) if "AWS_ENDPOINT_URL" in os.environ else None
_PATH = f"/model/{quote(os.environ.get('MODEL_ID', ''), safe='')}/converse"


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer ``{"prompt": …}``, and leave the record that a trace is made of."""
    began = time.perf_counter()
    usage = _converse(str(event["prompt"]))["usage"]
    record = {
        "tailcast": "inference",
        "request_id": context.aws_request_id,
        "variant": os.environ["VARIANT"],
        "model": os.environ["MODEL_ID"],
        "version": context.function_version,
        "initialization_type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "inference_ms": (time.perf_counter() - began) * 1e3,
        "input_tokens": usage["inputTokens"],
        "output_tokens": usage["outputTokens"],
        "status": "ok",
    }
    print(json.dumps(record))  # noqa: T201  (a function's log is its standard output)
    return {"statusCode": 200}


def _converse(prompt: str) -> dict[str, Any]:
    if _ADDRESS is None:
        raise RuntimeError("AWS_ENDPOINT_URL is not set: this handler runs on a local cloud only")
    body = {
        "messages": [{"role": "user", "content": [{"text": prompt}]}],
        "inferenceConfig": {"maxTokens": int(os.environ["MAX_TOKENS"])},
    }
    # A connection a call: a forked environment must not share one.
    connection = http.client.HTTPConnection(_ADDRESS.hostname or "", _ADDRESS.port, timeout=60.0)
    try:
        connection.request("POST", _PATH, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        document: dict[str, Any] = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"the model answered {answer.status}")
    return document
