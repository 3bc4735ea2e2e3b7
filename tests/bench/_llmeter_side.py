"""Runs llmeter in its own virtual environment and prints what it measured as JSON; started by ``bedrock.py``.

Arguments: endpoint URL, model id, clients, requests a client, output tokens.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


def main() -> None:
    import boto3
    from llmeter.endpoints import BedrockConverseStream
    from llmeter.runner import Runner

    url, model, clients, requests, tokens = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    client = boto3.client("bedrock-runtime", endpoint_url=url)
    endpoint = BedrockConverseStream(model_id=model, region="us-east-1", bedrock_boto3_client=client)
    text = f"Write at least {tokens} words."
    payload: dict[str, Any] = BedrockConverseStream.create_payload(text, max_tokens=tokens)
    runner = Runner(
        endpoint,
        clients=clients,
        disable_per_client_progress_bar=True,
        disable_clients_progress_bar=True,
    )
    started_s = time.perf_counter()
    result = asyncio.run(runner.run(payload=payload, n_requests=requests))
    took_s = time.perf_counter() - started_s
    ttft_ms = [r.time_to_first_token * 1000 for r in result.responses if r.time_to_first_token is not None]
    total_ms = [r.time_to_last_token * 1000 for r in result.responses if r.time_to_last_token is not None]
    print(json.dumps({"ttft_ms": ttft_ms, "total_ms": total_ms, "took_s": took_s}))


if __name__ == "__main__":
    main()
