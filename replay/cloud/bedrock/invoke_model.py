"""InvokeModel: the native bodies of the Anthropic and Amazon Nova families."""

from __future__ import annotations

import uuid
from typing import Any

from replay.cloud.bedrock import converse
from replay.cloud.bedrock.prompt import Answer, BadRequestError, Prompt, PromptReader


def read_request(model: str, document: Any) -> Prompt:
    """Read a native request for a model (base id).

    Raises
    ------
    BadRequestError
        The body is not one of that family's, or the family is not known here.
    """
    if not isinstance(document, dict):
        raise BadRequestError("Malformed input request, please reformat your input and try again.")
    if model.startswith("anthropic."):
        return _read_anthropic(document)
    if model.startswith("amazon.nova"):
        # Nova's native schema is Converse's, with an optional version.
        return converse.read_request({name: value for name, value in document.items() if name != "schemaVersion"})
    raise BadRequestError(f"The local cloud does not know the native request of {model}; use Converse.")


def answer_document(model: str, answer: Answer) -> dict[str, Any]:
    """Give the native answer of a model (base id)."""
    if model.startswith("anthropic."):
        return {
            "id": f"msg_bdrk_{uuid.uuid4().hex[:24]}",
            "type": "message",
            "role": "assistant",
            "model": model.removeprefix("anthropic.").partition("-v")[0],
            "content": [{"type": "text", "text": answer.text}],
            "stop_reason": "max_tokens" if answer.cut_short else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": answer.input_tokens,
                "cache_creation_input_tokens": answer.cache_write_tokens,
                "cache_read_input_tokens": answer.cache_read_tokens,
                "output_tokens": answer.output_tokens,
            },
        }
    document = converse.answer_document(answer)
    usage = document["usage"]
    usage["cacheReadInputTokenCount"] = usage.pop("cacheReadInputTokens")
    usage["cacheWriteInputTokenCount"] = usage.pop("cacheWriteInputTokens")
    del document["metrics"]
    return document


def answer_headers(answer: Answer) -> dict[str, str]:
    """Give the headers in which InvokeModel reports its figures."""
    return {
        "X-Amzn-Bedrock-Invocation-Latency": str(round(answer.latency_ms)),
        "X-Amzn-Bedrock-Input-Token-Count": str(answer.input_tokens),
        "X-Amzn-Bedrock-Output-Token-Count": str(answer.output_tokens),
        "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": str(answer.cache_read_tokens),
        "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": str(answer.cache_write_tokens),
    }


def _read_anthropic(document: dict[str, Any]) -> Prompt:
    if "anthropic_version" not in document:
        raise BadRequestError("anthropic_version: Field required")
    limit = document.get("max_tokens")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadRequestError("max_tokens: Field required, a whole number of at least 1")
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages: at least one message is required")
    reader = PromptReader()
    _read_anthropic_content(reader, document.get("system", []), "system")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise BadRequestError(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        if not message.get("content"):
            raise BadRequestError(f"messages.{index}: all messages must have non-empty content")
        _read_anthropic_content(reader, message["content"], f"messages.{index}.content")
    return reader.prompt(limit)


def _read_anthropic_content(reader: PromptReader, content: Any, where: str) -> None:
    if isinstance(content, str):
        reader.text(content)
        return
    if not isinstance(content, list):
        raise BadRequestError(f"{where}: Input should be a string or a list of blocks")
    for index, block in enumerate(content):
        if not isinstance(block, dict) or "type" not in block:
            raise BadRequestError(f"{where}.{index}.type: Field required")
        if block["type"] == "text":
            text = block.get("text")
            if not isinstance(text, str) or not text.strip():
                raise BadRequestError(f"{where}.{index}.text: text content blocks must contain non-whitespace text")
            reader.text(text)
        else:
            reader.other({name: value for name, value in block.items() if name != "cache_control"})
        if cache := block.get("cache_control"):
            reader.cache_point(cache)
