"""What a request asks for, read from Converse's JSON or from a model's own (InvokeModel), or the error it deserves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from replay.cloud.bedrock.streaming.catalogue import LATENCIES, Model
from replay.cloud.bedrock.streaming.prompt_cache import MAX_CACHE_POINTS, TTL_S, Prefix

CHARACTERS_PER_TOKEN: Final = 4
"""No tokenizer is at hand, and none is the same for two models; four characters a token is the usual rule of thumb."""

TIERS: Final = ("default", "priority", "flex", "reserved")
_WANTED_WORDS: Final = re.compile(r"at least (\d{1,5}) words", re.IGNORECASE)


class RefusedError(Exception):
    """A request that Bedrock answers with an error.

    Parameters
    ----------
    status, error_type, message
        The HTTP status, the exception's name and its text, as Bedrock has them.
    """

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


def invalid(message: str) -> RefusedError:
    """Make a ValidationException."""
    return RefusedError(400, "ValidationException", message)


@dataclass(frozen=True)
class StreamRequest:
    """One request for a stream, whichever operation it came by."""

    input_tokens: int
    """All of the prompt, cached or not."""
    prefixes: tuple[Prefix, ...]
    """What ends at each cache point, ascending."""
    output_tokens: int
    reaches_limit: bool
    """Whether ``maxTokens`` ends the answer."""
    max_tokens: int | None
    """What a token quota sets aside up front besides the input; None where the request leaves it to the model."""
    optimized: bool
    tier: str


def parse_converse(body: bytes, model: Model) -> StreamRequest:
    """Read the body of ConverseStream.

    Raises
    ------
    RefusedError
        What Bedrock would refuse.
    """
    document = _json_object(body)
    messages = _messages(document)
    if not messages:
        raise invalid("The messages field is required and must hold at least one message.")
    if messages[0].get("role") != "user":
        raise invalid("A conversation must start with a user message. Try again with a conversation that does.")
    limit = _object(document, "inferenceConfig").get("maxTokens")
    latency = _object(document, "performanceConfig").get("latency", "standard")
    tier = _object(document, "serviceTier").get("type", "default")
    return _request(_blocks(document, messages), limit, latency, tier, model)


def parse_invoke(body: bytes, headers: Mapping[str, str], model: Model) -> StreamRequest:
    """Read the body of InvokeModelWithResponseStream in the form of Nova, Anthropic, Titan or OpenAI chat.

    Raises
    ------
    RefusedError
        What Bedrock would refuse.
    """
    document = _json_object(body)
    if "inputText" in document:
        blocks: list[Any] = [{"text": document["inputText"]}]
    else:
        messages = _messages(document)
        if not messages:
            raise invalid("Malformed input request: #: required key [messages] not found, please reformat your input.")
        blocks = _blocks(document, messages)
    config = _object(document, "inferenceConfig") or _object(document, "textGenerationConfig")
    limits = (document.get("max_tokens"), config.get("maxTokens"), config.get("max_new_tokens"))
    limit = next((value for value in (*limits, config.get("maxTokenCount")) if value is not None), None)
    latency = headers.get("X-Amzn-Bedrock-PerformanceConfig-Latency", "standard")
    tier = headers.get("X-Amzn-Bedrock-Service-Tier", "default")
    return _request(blocks, limit, latency, tier, model)


def _request(blocks: list[Any], limit: Any, latency: str, tier: str, model: Model) -> StreamRequest:
    if limit is not None and not (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1):
        raise invalid(f"The value {limit!r} at maxTokens must be a whole number greater than or equal to 1.")
    if latency not in LATENCIES:
        raise invalid(f"Value '{latency}' at 'performanceConfig.latency' must be one of: standard, optimized")
    if latency == "optimized" and not model.latency_optimized:
        raise invalid(f"Latency performance configuration is not supported for {model.model_id}.")
    if tier not in TIERS:
        raise invalid(f"Value '{tier}' at 'serviceTier.type' must be one of: {', '.join(TIERS)}")
    text, prefixes = _prefixes(blocks, model)
    if not text:
        raise invalid("The text field in the ContentBlock object is blank. Add text to the text field, and try again.")
    asked = _WANTED_WORDS.search(text)
    wanted = int(asked[1]) if asked else model.answer_tokens
    output = max(min(wanted, limit) if limit is not None else wanted, 1)
    return StreamRequest(
        input_tokens=_tokens(text),
        prefixes=prefixes,
        output_tokens=output,
        reaches_limit=limit is not None and wanted >= limit,
        max_tokens=limit,
        optimized=latency == "optimized",
        tier=tier,
    )


def _prefixes(blocks: list[Any], model: Model) -> tuple[str, tuple[Prefix, ...]]:
    text = ""
    prefixes: list[Prefix] = []
    for block in blocks:
        if not isinstance(block, dict):
            raise invalid("Malformed input request: a content block must be an object, please reformat your input.")
        text += block["text"] if isinstance(block.get("text"), str) else ""
        for point in _cache_points(block):
            if model.cache_minimum_tokens is None:
                message = "You invoked an unsupported model or your request did not allow prompt caching."
                raise RefusedError(
                    403, "AccessDeniedException", f"{message} See the documentation for more information."
                )
            ttl = str(point.get("ttl", "5m"))
            if ttl not in TTL_S:
                raise invalid(f"Value '{ttl}' at 'cachePoint.ttl' must be one of: {', '.join(TTL_S)}")
            prefixes.append(Prefix(text, _tokens(text), ttl))
    if len(prefixes) > MAX_CACHE_POINTS:
        raise invalid(f"A request may hold at most {MAX_CACHE_POINTS} cache points; this one holds {len(prefixes)}.")
    return text, tuple(prefixes)


def _cache_points(block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("cachePoint", "cache_control"):  # Converse and Nova, Anthropic
        point = block.get(key)
        if isinstance(point, Mapping):
            yield point


def _messages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = document.get("messages") or []
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise _malformed("messages", "a list of objects")
    return messages


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    if not isinstance(value, dict | None):
        raise _malformed(name, "an object")
    return value or {}


def _blocks(document: Mapping[str, Any], messages: list[dict[str, Any]]) -> list[Any]:
    """Give the content blocks of the system prompt and of all messages; text may stand in the place of blocks."""
    blocks: list[Any] = []
    for name, content in (("system", document.get("system")), *(("content", each.get("content")) for each in messages)):
        if not isinstance(content, str | list | None):
            raise _malformed(name, "a text or a list of blocks")
        blocks += [{"text": content}] if isinstance(content, str) else content or []
    return blocks


def _malformed(name: str, wanted: str) -> RefusedError:
    return invalid(f"Malformed input request: {name} must be {wanted}, please reformat your input and try again.")


def _tokens(text: str) -> int:
    return max(-(-len(text) // CHARACTERS_PER_TOKEN), 1) if text else 0


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        raise RefusedError(400, "SerializationException", "The request body is not JSON.") from None
    if not isinstance(document, dict):
        raise RefusedError(400, "SerializationException", "The request body is not a JSON object.")
    return document
