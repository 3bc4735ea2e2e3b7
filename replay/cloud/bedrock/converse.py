"""The Converse API: its request checked and measured, its answer in shape."""

from __future__ import annotations

from typing import Any

from replay.cloud.bedrock.prompt import Answer, BadRequestError, Prompt, PromptReader

_NUMBERS = {"temperature": (0.0, 1.0), "topP": (0.0, 1.0)}


def read_request(document: Any) -> Prompt:
    """Read a Converse request.

    Raises
    ------
    BadRequestError
        What Bedrock refuses: no messages, a wrong role or order of roles, empty content, parameters out of range.
    """
    if not isinstance(document, dict):
        raise BadRequestError("The request body is not a JSON object.")
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("A conversation must start with a user message. Try again with a conversation.")
    reader = PromptReader()
    for index, block in enumerate(_blocks(document.get("system", []), "system")):
        _read_block(reader, block, f"system.{index}", "SystemContentBlock")
    expected = "user"
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant"):
            raise BadRequestError(f"Value '{role}' at 'messages.{index}.role' must be one of user, assistant.")
        if role != expected:
            raise BadRequestError(
                "A conversation must start with a user message. Try again with a conversation that starts with a user "
                "message."
                if index == 0
                else "A conversation must alternate between user and assistant roles. Make sure the conversation "
                "alternates between user and assistant roles and try again."
            )
        expected = "assistant" if role == "user" else "user"
        where = f"messages.{index}.content"
        blocks = _blocks(message.get("content", []), where)
        if not blocks:
            raise BadRequestError(f"The content field in the Message object at messages.{index} is empty.")
        for number, block in enumerate(blocks):
            _read_block(reader, block, f"{where}.{number}", "ContentBlock")
    if tools := document.get("toolConfig"):
        reader.other(tools)
    return reader.prompt(_max_tokens(document.get("inferenceConfig") or {}))


def answer_document(answer: Answer) -> dict[str, Any]:
    """Give ``ConverseResponse``."""
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": answer.text}]}},
        "stopReason": "max_tokens" if answer.cut_short else "end_turn",
        "usage": {
            "inputTokens": answer.input_tokens,
            "outputTokens": answer.output_tokens,
            "totalTokens": answer.total_tokens,
            "cacheReadInputTokens": answer.cache_read_tokens,
            "cacheWriteInputTokens": answer.cache_write_tokens,
        },
        "metrics": {"latencyMs": round(answer.latency_ms)},
    }


def _blocks(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequestError(f"Value at '{where}' must be a list.")
    return value


def _read_block(reader: PromptReader, block: Any, where: str, kind: str) -> None:
    if not isinstance(block, dict) or len(block) != 1:
        raise BadRequestError(f"The {kind} object at {where} must set one of its fields.")
    if "text" in block:
        text = block["text"]
        if not isinstance(text, str) or not text.strip():
            raise BadRequestError(
                f"The text field in the {kind} object at {where} is blank. Add text to the text field, and try again."
            )
        reader.text(text)
    elif "cachePoint" in block:
        reader.cache_point(block["cachePoint"])
    else:
        reader.other(block)


def _max_tokens(config: Any) -> int | None:
    if not isinstance(config, dict):
        raise BadRequestError("Malformed input request: inferenceConfig must be an object.")
    for name, (low, high) in _NUMBERS.items():
        value = config.get(name)
        if value is not None and not (isinstance(value, int | float) and low <= value <= high):
            raise BadRequestError(f"Value '{value}' at 'inferenceConfig.{name}' must be between {low:g} and {high:g}.")
    limit = config.get("maxTokens")
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadRequestError(
            f"1 validation error detected: Value '{limit}' at 'inferenceConfig.maxTokens' failed to satisfy "
            "constraint: Member must have value greater than or equal to 1"
        )
    return limit
