"""A function for the time-out cases: it asks its model and waits, with no deadline of its own.

The shipped function answers before Lambda's time-out can strike, so it cannot show what that does. This runs inside
the local cloud, beside the SDK of the shipped package.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import boto3
from botocore.config import Config

_CLIENT = boto3.client(
    "bedrock-runtime",
    config=Config(retries={"mode": "standard", "total_max_attempts": int(os.environ["MODEL_MAX_ATTEMPTS"])}),
)


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer ``{"prompt": …}``, and leave the record that a trace is made of."""
    began = time.perf_counter()
    answer = _CLIENT.converse(
        modelId=os.environ["MODEL_ID"],
        messages=[{"role": "user", "content": [{"text": str(event["prompt"])}]}],
        inferenceConfig={"maxTokens": int(os.environ["MAX_TOKENS"])},
    )
    record = {
        "tailcast": "inference",
        "request_id": context.aws_request_id,
        "variant": os.environ["VARIANT"],
        "model": os.environ["MODEL_ID"],
        "version": context.function_version,
        "initialization_type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "inference_ms": (time.perf_counter() - began) * 1e3,
        "input_tokens": answer["usage"]["inputTokens"],
        "output_tokens": answer["usage"]["outputTokens"],
        "status": "ok",
    }
    print(json.dumps(record))  # noqa: T201  (a function's log is its standard output)
    return {"statusCode": 200}
